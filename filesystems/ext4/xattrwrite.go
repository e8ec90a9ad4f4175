package ext4

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// An attribute is one extended attribute as it is stored.
type attribute struct {
	index uint8
	name  string // without its prefix
	value []byte
}

// entryLen is the room of its entry, valueLen that of its value.
func (a attribute) entryLen() int {
	return (xattrHeader + len(a.name) + xattrAlign - 1) &^ (xattrAlign - 1)
}
func (a attribute) valueLen() int { return (len(a.value) + xattrAlign - 1) &^ (xattrAlign - 1) }

// hash is e_hash: of the name, then of the value's words.
func (a attribute) hash() uint32 {
	h := uint32(0)
	if a.isInlineData() {
		return h // as the kernel, which writes to it without looking at its hash
	}
	for _, c := range []byte(a.name) {
		h = h<<5 ^ h>>27 ^ uint32(c)
	}
	padded := make([]byte, a.valueLen())
	copy(padded, a.value)
	for ; len(padded) > 0; padded = padded[4:] {
		h = h<<16 ^ h>>16 ^ binary.LittleEndian.Uint32(padded)
	}
	return h
}

// storedName splits a name as Linux has it.
func storedName(name string) (index uint8, rest string, ok bool) {
	for _, p := range [...]struct {
		prefix string
		index  uint8
	}{{"user.", xattrUser}, {"trusted.", xattrTrusted}, {"security.", xattrSecurity}} {
		if rest, ok := strings.CutPrefix(name, p.prefix); ok {
			return p.index, rest, rest != ""
		}
	}
	switch name {
	case "system.posix_acl_access":
		return xattrACLAccess, "", true
	case "system.posix_acl_default":
		return xattrACLDefault, "", true
	}
	return 0, "", false
}

// The flags of setxattr(2).
const (
	xattrCreate  = 1
	xattrReplace = 2
)

// SetXattr sets an attribute, or removes it where value is nil.
func (x *tx) SetXattr(ctx context.Context, ino vfs.Ino, name string, value []byte, flags int) error {
	n, err := x.named(ctx, ino)
	if err != nil {
		return err
	}
	if n.flag(flagImmutable | flagAppend) {
		return syscall.EPERM
	}
	index, rest, ok := storedName(name)
	switch {
	case !ok:
		return syscall.EOPNOTSUPP
	case len(rest) > nameMax:
		return syscall.ERANGE
	case index == xattrUser && n.fileType() != syscall.S_IFREG && n.fileType() != syscall.S_IFDIR:
		return syscall.EPERM
	}
	if value != nil && (index == xattrACLAccess || index == xattrACLDefault) {
		if value, err = x.storeACL(n, index, value); err != nil {
			return err
		}
	}
	all, err := n.attributes(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(a attribute) bool { return a.index == index && a.name == rest })
	switch {
	case at >= 0 && flags&xattrCreate != 0:
		return syscall.EEXIST
	case at < 0 && (flags&xattrReplace != 0 || value == nil && flags&xattrCreate == 0 && index != xattrACLAccess && index != xattrACLDefault):
		return syscall.ENODATA
	case value == nil && at < 0:
		return nil
	case value == nil:
		all = slices.Delete(all, at, at+1)
	case at >= 0:
		all[at].value = value
	default:
		all = append(all, attribute{index, rest, value})
	}
	x.changed(n)
	return x.storeAttributes(ctx, n, all)
}

// attributes are all that an inode has: in it, and in its block.
func (n *inode) attributes(ctx context.Context) ([]attribute, error) {
	body, err := n.xattrBody(ctx)
	if err != nil {
		return nil, err
	}
	areas := []xattrArea{body}
	if n.fileACL() != 0 {
		b, err := n.fs.readBlock(ctx, n.fileACL(), n.fs.kinds.xattrs, n)
		if err != nil {
			return nil, err
		}
		areas = append(areas, xattrArea{name: n.fs.kinds.xattrs.Name, list: b[xattrBlockStart:], values: b, off: n.fs.at(n.fileACL()).Off})
	}
	var all []attribute
	for _, a := range areas {
		for e, err := range a.entries() {
			if err != nil {
				return nil, err
			}
			v, err := a.value(e)
			if err != nil {
				return nil, err
			}
			all = append(all, attribute{e.nameIndex(), string(e.name()), bytes.Clone(v)})
		}
	}
	return all, nil
}

// storeAttributes lays all attributes out anew: what fits in the inode, the
// others in a block.
func (x *tx) storeAttributes(ctx context.Context, n *inode, all []attribute) error {
	// Inline data come first: they are in the inode and stay there.
	if i := slices.IndexFunc(all, attribute.isInlineData); i > 0 {
		all = slices.Insert(slices.Delete(slices.Clone(all), i, i+1), 0, all[i])
	}
	var body, rest []attribute
	room := 0
	if len(n.raw) > oldInodeSize && n.raw.extraSize() > 0 {
		room = len(n.raw) - oldInodeSize - n.raw.extraSize() - xattrBodyStart - xattrAlign
	}
	for _, a := range all {
		if size := a.entryLen() + a.valueLen(); size <= room {
			body = append(body, a)
			room -= size
		} else {
			rest = append(rest, a)
		}
	}
	if len(n.raw) > oldInodeSize && n.raw.extraSize() > 0 {
		if at := oldInodeSize + n.raw.extraSize(); at+xattrBodyStart+xattrAlign <= len(n.raw) {
			clear(n.raw[at:])
			if len(body) > 0 {
				set32(n.raw, at, xattrMagic)
				list := n.raw[at+xattrBodyStart:]
				layAttributes(list, list, body)
			}
		}
	}
	if len(all) > 0 && !x.fs.sb.hasCompat(compatExtAttr) {
		sb, err := x.fs.editSuper(ctx, x.t)
		if err != nil {
			return err
		}
		sb.setFeatureCompat(sb.featureCompat() | compatExtAttr)
	}
	if len(rest) == 0 {
		return x.dropXattrBlock(ctx, n)
	}
	size := xattrBlockStart + xattrAlign
	for _, a := range rest {
		size += a.entryLen() + a.valueLen()
	}
	if size > x.fs.geo.blockSize {
		return syscall.ENOSPC
	}
	b, err := x.ownXattrBlock(ctx, n)
	if err != nil {
		return err
	}
	slices.SortFunc(rest, func(a, b attribute) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	clear(b)
	set32(b, 0, xattrMagic)
	xattrBlock(b).setRefcount(1)
	set32(b, 8, 1) // h_blocks
	layAttributes(b[xattrBlockStart:], b, rest)
	hash := uint32(0)
	for _, a := range rest {
		h := a.hash()
		if h == 0 {
			hash = 0
			break
		}
		hash = hash<<16 ^ hash>>16 ^ h
	}
	set32(b, 12, hash) // h_hash
	return nil
}

// layAttributes writes entries from the start of list and values from the end
// of values on. Value offsets count from the start of values.
func layAttributes(list, values []byte, all []attribute) {
	at, end := 0, len(values)
	for _, a := range all {
		e := list[at:]
		e[0], e[1] = byte(len(a.name)), a.index
		if len(a.value) > 0 {
			end -= a.valueLen()
			copy(values[end:], a.value)
			set16(e, 2, uint16(end))
		}
		set32(e, 8, uint32(len(a.value)))
		set32(e, 12, a.hash())
		copy(e[xattrHeader:], a.name)
		at += a.entryLen()
	}
}

// ownXattrBlock gives an inode's attribute block to be written anew: its own,
// or a new one where it has none or shares it.
func (x *tx) ownXattrBlock(ctx context.Context, n *inode) ([]byte, error) {
	if blk := n.fileACL(); blk != 0 {
		b, err := x.block(ctx, blk, x.fs.kinds.xattrs, n)
		if err != nil {
			return nil, err
		}
		if xattrBlock(b).refcount() == 1 {
			return b, nil
		}
		if err := x.dropXattrBlock(ctx, n); err != nil {
			return nil, err
		}
	}
	s, err := x.allocate(ctx, x.fs.geo.groupStart((n.num-1)/x.fs.geo.inodesPerGroup), 1)
	if err != nil {
		return nil, err
	}
	n.raw.setFileACL(s.start)
	x.addBlocks(n, 1)
	return x.fresh(s.start, x.fs.kinds.xattrs, n)
}

// dropXattrBlock takes an inode's attribute block away, and frees it where no
// other inode has it.
func (x *tx) dropXattrBlock(ctx context.Context, n *inode) error {
	blk := n.fileACL()
	if blk == 0 {
		return nil
	}
	b, err := x.block(ctx, blk, x.fs.kinds.xattrs, n)
	if err != nil {
		return err
	}
	switch refs := xattrBlock(b).refcount(); refs {
	case 0:
		return ondisk.Corrupt(x.fs.kinds.xattrs.Name, x.fs.at(blk).Off, "h_refcount 0, but inode %d has it", n.num)
	case 1:
		if err := x.freeMeta(ctx, blk, x.fs.kinds.xattrs); err != nil {
			return err
		}
	default:
		xattrBlock(b).setRefcount(refs - 1)
	}
	n.raw.setFileACL(0)
	x.addBlocks(n, -1)
	return nil
}
