package ext4

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// The name indexes, each for a prefix that is not stored.
const (
	xattrUser       = 1
	xattrACLAccess  = 2
	xattrACLDefault = 3
	xattrTrusted    = 4
	xattrSecurity   = 6
	xattrSystem     = 7 // of inline data, which is no attribute to anybody
	xattrRichACL    = 8
	xattrEncryption = 9 // the encryption context
	xattrHurd       = 10
)

// xattrValueMax bounds a value, in bytes, as the kernel does.
const xattrValueMax = 1 << 24

// xattrName is the name by which Linux knows an attribute; empty for those
// that it does not show.
func xattrName(index uint8, name []byte) string {
	switch index {
	case xattrUser:
		return "user." + string(name)
	case xattrACLAccess:
		return "system.posix_acl_access"
	case xattrACLDefault:
		return "system.posix_acl_default"
	case xattrTrusted:
		return "trusted." + string(name)
	case xattrSecurity:
		return "security." + string(name)
	case xattrRichACL:
		return "system.richacl"
	case xattrHurd:
		return "gnu." + string(name)
	}
	return ""
}

// xattrArea is a list of attributes, in an inode or a block.
type xattrArea struct {
	name   string
	list   []byte // from the first entry on
	values []byte // what value offsets count in
	off    int64  // of list in the device, for errors
}

// xattrBody is the attributes in the inode; empty where there are none.
func (n *inode) xattrBody(ctx context.Context) (xattrArea, error) {
	a := n.body()
	if a.list != nil {
		a.name = fmt.Sprintf("ext4 attributes in inode %d", n.num)
		a.off = n.fs.inodeOffset(ctx, n.num) + int64(len(n.raw)-len(a.list))
	}
	return a, nil
}

// body is xattrBody without what only errors need.
func (n *inode) body() xattrArea {
	if len(n.raw) == oldInodeSize || n.raw.extraSize() == 0 {
		return xattrArea{}
	}
	at := oldInodeSize + n.raw.extraSize()
	if at+xattrBodyStart > len(n.raw) || u32(n.raw, at) != xattrMagic {
		return xattrArea{}
	}
	list := n.raw[at+xattrBodyStart:]
	return xattrArea{list: list, values: list}
}

// verifyXattrBlock is the Verify of attribute blocks.
func (fs *FileSystem) verifyXattrBlock(b []byte, at txn.Addr) error {
	x := xattrBlock(b)
	if x.magic() != xattrMagic || x.blocks() != 1 {
		return ondisk.Corrupt(fs.kinds.xattrs.Name, at.Off, "h_magic %#x and h_blocks %d, expected %#x and 1", x.magic(), x.blocks(), uint32(xattrMagic))
	}
	if !fs.geo.metadataCsum {
		return nil
	}
	var num [8]byte
	binary.LittleEndian.PutUint64(num[:], uint64(at.Off)>>fs.geo.blockBits)
	crc := ondisk.CRC32C(fs.geo.seed, num[:])
	crc = ondisk.CRC32C(crc, b[:xattrChecksum])
	crc = ondisk.CRC32C(crc, make([]byte, 4))
	if crc = ondisk.CRC32C(crc, b[xattrChecksum+4:]); crc != x.checksum() {
		return ondisk.BadChecksum(fs.kinds.xattrs.Name, at.Off, x.checksum(), crc)
	}
	return nil
}

// entries walks the list. Each entry is longer than nothing and inside the
// list, so that it ends.
func (a xattrArea) entries() iter.Seq2[xattrEntry, error] {
	return func(yield func(xattrEntry, error) bool) {
		for at := 0; ; {
			if a.list == nil || len(a.list)-at >= xattrAlign && u32(a.list, at) == 0 {
				return
			}
			if len(a.list)-at < xattrHeader+xattrAlign || len(a.list)-at < xattrHeader+int(a.list[at]) {
				yield(nil, ondisk.Corrupt(a.name, a.off+int64(at), "entry reaches beyond the end"))
				return
			}
			e := xattrEntry(a.list[at:])
			if !yield(e, nil) {
				return
			}
			at += (xattrHeader + e.nameLen() + xattrAlign - 1) &^ (xattrAlign - 1)
			if at > len(a.list)-xattrAlign {
				// The kernel needs the four zeros of the end too.
				yield(nil, ondisk.Corrupt(a.name, a.off+int64(len(a.list)), "list without an end"))
				return
			}
		}
	}
}

// value is the value of an entry that has it in the area.
func (a xattrArea) value(e xattrEntry) ([]byte, error) {
	if e.valueInum() != 0 {
		return nil, ondisk.Corrupt(a.name, a.off, "value of %q in an inode, expected here", e.name())
	}
	if e.valueSize() == 0 {
		return []byte{}, nil
	}
	if e.valueSize() > xattrValueMax {
		return nil, ondisk.Corrupt(a.name, a.off, "value of %q has %d bytes", e.name(), e.valueSize())
	}
	v, ok := ondisk.Slice(a.values, e.valueOff(), int(e.valueSize()))
	if !ok {
		return nil, ondisk.Corrupt(a.name, a.off, "value of %q at %d, %d long, reaches beyond the end", e.name(), e.valueOff(), e.valueSize())
	}
	return v, nil
}

// provesNoXattr says whether it is certain that the inode has no attribute
// that is shown.
func (n *inode) provesNoXattr() bool {
	if n.fileACL() != 0 {
		return false
	}
	a := n.body()
	if len(a.list) < xattrAlign || u32(a.list, 0) == 0 {
		return true
	}
	for e, err := range a.entries() {
		if err != nil || e.nameIndex() != xattrSystem && e.nameIndex() != xattrEncryption {
			return false
		}
	}
	return true
}

// Xattrs lists the attributes: those in the inode, then those in the block.
func (n *inode) Xattrs(ctx context.Context) iter.Seq2[vfs.Xattr, error] {
	return func(yield func(vfs.Xattr, error) bool) {
		body, err := n.xattrBody(ctx)
		if err != nil {
			yield(vfs.Xattr{}, err)
			return
		}
		if !n.xattrsOf(body, yield) || n.fileACL() == 0 {
			return
		}
		b, err := n.fs.readBlock(ctx, n.fileACL(), n.fs.kinds.xattrs, n)
		if err != nil {
			yield(vfs.Xattr{}, err)
			return
		}
		n.xattrsOf(xattrArea{
			name: fmt.Sprintf("%s of inode %d", n.fs.kinds.xattrs.Name, n.num), list: b[xattrBlockStart:], values: b,
			off: int64(n.fileACL()<<n.fs.geo.blockBits) + xattrBlockStart,
		}, yield)
	}
}

// xattrsOf lists one area. It answers false where the listing is to end.
func (n *inode) xattrsOf(a xattrArea, yield func(vfs.Xattr, error) bool) bool {
	for e, err := range a.entries() {
		if err != nil {
			yield(vfs.Xattr{}, err)
			return false
		}
		name := xattrName(e.nameIndex(), e.name())
		if name == "" {
			continue
		}
		x := vfs.Xattr{Name: name, Size: int64(e.valueSize())}
		acl := e.nameIndex() == xattrACLAccess || e.nameIndex() == xattrACLDefault
		if acl {
			x.Size = aclSize(x.Size)
		}
		x.Read = func(ctx context.Context) ([]byte, error) {
			v, err := n.xattrValue(ctx, a, e)
			if err == nil && acl {
				return linuxACL(v, a)
			}
			return v, err
		}
		if !yield(x, nil) {
			return false
		}
	}
	return true
}

// xattrValue is a copy of an entry's value, which with ea_inode may be the
// contents of an inode.
func (n *inode) xattrValue(ctx context.Context, a xattrArea, e xattrEntry) ([]byte, error) {
	if e.valueInum() == 0 || !n.fs.sb.hasIncompat(incompatEAInode) {
		v, err := a.value(e)
		if err != nil {
			return nil, err
		}
		return append([]byte{}, v...), nil
	}
	ea, err := n.fs.iget(ctx, e.valueInum())
	if err != nil {
		return nil, fmt.Errorf("value of %q: %w", e.name(), err)
	}
	if !ea.flag(flagEAInode) || ea.size() != int64(e.valueSize()) || ea.size() > xattrValueMax {
		return nil, ondisk.Corrupt(a.name, a.off, "value of %q in inode %d, which has flags %#x and %d bytes, expected %d",
			e.name(), ea.num, ea.raw.flags(), ea.size(), e.valueSize())
	}
	v, err := ea.readAll(ctx, xattrValueMax)
	if err != nil {
		return nil, err
	}
	// The value's hash stands in the inode's atime. Lustre's older form has the parent in mtime and generation.
	hash := ondisk.CRC32C(n.fs.geo.seed, v)
	if hash == ea.raw.atime() && (e.hash() == xattrHash(e.name(), hash, false) || e.hash() == xattrHash(e.name(), hash, true)) {
		return v, nil
	}
	if ea.raw.mtime() == n.num && ea.raw.generation() == n.raw.generation() {
		return v, nil
	}
	return nil, ondisk.BadChecksum(fmt.Sprintf("value of attribute %q in ext4 inode %d", e.name(), ea.num), n.fs.inodeOffset(ctx, ea.num), ea.raw.atime(), hash)
}

// xattrHash is an entry's e_hash where the value is in an inode: over the name,
// once taken as signed bytes, and the value's hash.
func xattrHash(name []byte, value uint32, signed bool) uint32 {
	h := uint32(0)
	for _, c := range name {
		h = h<<5 ^ h>>27 ^ octet(c, signed)
	}
	return h<<16 ^ h>>16 ^ value
}
