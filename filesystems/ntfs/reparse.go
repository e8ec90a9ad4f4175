package ntfs

import (
	"bytes"
	"context"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A tag says what a reparse point is ([MS-FSCC] 2.1.2.1).
type tag uint32

const (
	tagMountPoint = 0xA0000003
	tagHSM        = 0xC0000004
	tagHSM2       = 0x80000006
	tagSIS        = 0x80000007
	tagWIM        = 0x80000008
	tagCSV        = 0x80000009
	tagSymlink    = 0xA000000C
	tagDedup      = 0x80000013
	tagNFS        = 0x80000014
	tagWOF        = 0x80000017
	tagLXSymlink  = 0xA000001D
	tagAFUnix     = 0x80000023
	tagLXFIFO     = 0x80000024
	tagLXChar     = 0x80000025
	tagLXBlock    = 0x80000026

	tagMicrosoft = 1 << 31 // others have a GUID before their data
)

// elsewhere names the tags whose files keep their bytes somewhere that is not
// read: what $DATA holds is zeros, and is refused rather than shown.
func (t tag) elsewhere() string {
	switch t {
	case tagHSM, tagHSM2:
		return "hierarchical storage"
	case tagSIS:
		return "single-instance storage"
	case tagWIM:
		return "a mounted WIM image"
	case tagCSV:
		return "a cluster shared volume"
	case tagDedup:
		return "data deduplication"
	}
	return ""
}

// reparsePoint is the value of $REPARSE_POINT (REPARSE_DATA_BUFFER, [MS-FSCC]
// 2.1.2.2).
type reparsePoint []byte

func (r reparsePoint) tag() tag           { return tag(le.Uint32(r)) }
func (r reparsePoint) dataLength() uint16 { return le.Uint16(r[4:]) }

// data is what the tag's owner keeps, or false where it does not fit.
func (r reparsePoint) data() ([]byte, bool) {
	from := reparseHeader
	if r.tag()&tagMicrosoft == 0 {
		from = reparseGUIDHeader
	}
	return ondisk.Slice(r, from, int(r.dataLength()))
}

const (
	reparseHeader     = 8
	reparseGUIDHeader = 24
	maxReparse        = 16 << 10 // MAXIMUM_REPARSE_DATA_BUFFER_SIZE
)

// linkData is the data of symlinks and mount points ([MS-FSCC] 2.1.2.4 and
// 2.1.2.5). A symlink has flags before its names.
type linkData []byte

func (l linkData) substituteOffset() int { return int(le.Uint16(l)) }
func (l linkData) substituteLength() int { return int(le.Uint16(l[2:])) }
func (l linkData) flags() uint32         { return le.Uint32(l[8:]) }

const (
	mountPointHeader = 8
	symlinkHeader    = 12
	symlinkRelative  = 1

	lxSymlinkVersion = 2 // before the UTF-8 target of an LX symlink

	// Kinds of NFS special files ([MS-FSCC] 2.1.2.6).
	nfsLink   = 0x014B4E4C
	nfsChar   = 0x0152_4843
	nfsBlock  = 0x014B_4C42
	nfsFIFO   = 0x4F46_4946
	nfsSocket = 0x4B434F53
)

// readReparse reads $REPARSE_POINT; nil where there is none.
func (f *file) readReparse(ctx context.Context) (reparsePoint, error) {
	var s stream
	ok, err := f.find(ctx, typeReparsePoint, nil, &s)
	if err != nil || !ok {
		return nil, err
	}
	if s.size < reparseHeader || s.size > maxReparse+reparseGUIDHeader {
		return nil, f.corrupt("a reparse point of %d bytes", s.size)
	}
	if s.resident() {
		return s.value, nil
	}
	b := make([]byte, s.size)
	return b, s.readFull(ctx, b, 0)
}

// loadReparse makes the inode what its reparse point says.
func (n *inode) loadReparse(ctx context.Context) error {
	r, err := n.f.readReparse(ctx)
	if err != nil || r == nil {
		return err
	}
	n.reparse = r.tag()
	data, ok := r.data()
	if !ok {
		return n.f.corrupt("a reparse point of %d bytes with %d bytes of data", len(r), r.dataLength())
	}
	switch n.reparse {
	case tagSymlink, tagMountPoint:
		return n.loadLink(ctx, linkData(data))
	case tagLXSymlink:
		if len(data) < 4 || le.Uint32(data) != lxSymlinkVersion || bytes.IndexByte(data[4:], 0) >= 0 {
			return n.f.corrupt("an LX symlink of %d bytes", len(data))
		}
		n.setLink(string(data[4:]))
	case tagAFUnix:
		n.setType(syscall.S_IFSOCK)
	case tagLXFIFO:
		n.setType(syscall.S_IFIFO)
	case tagLXChar:
		n.setType(syscall.S_IFCHR) // $LXDEV has the numbers
	case tagLXBlock:
		n.setType(syscall.S_IFBLK)
	case tagNFS:
		return n.loadNFS(data)
	case tagWOF:
		return n.loadWOF(ctx, data)
	default:
		n.refuse = n.refusal()
	}
	return nil
}

// refusal says why the bytes of a reparse point are not shown, where they are
// not here.
func (n *inode) refusal() error {
	what := n.reparse.elsewhere()
	if what == "" && n.info.attributes()&(attrOffline|attrRecallOnDataAccess) != 0 {
		what = "storage that it is recalled from"
	}
	if what == "" || n.isDir() {
		return nil
	}
	return &ondisk.UnsupportedError{What: "NTFS file", Detail: fmt.Sprintf("the reparse tag %#x, whose bytes are in %s,", uint32(n.reparse), what),
		Remedy: "have Windows bring the file back, then read it"}
}

// loadNFS is a special file of the NFS server.
func (n *inode) loadNFS(data []byte) error {
	if len(data) < 8 {
		return n.f.corrupt("an NFS reparse point of %d bytes", len(data))
	}
	kind, data := le.Uint64(data), data[8:]
	switch {
	case kind == nfsLink:
		n.setLink(cutNUL(decodeText(data)))
	case kind == nfsFIFO:
		n.setType(syscall.S_IFIFO)
	case kind == nfsSocket:
		n.setType(syscall.S_IFSOCK)
	case (kind == nfsChar || kind == nfsBlock) && len(data) >= 8:
		mode := uint32(syscall.S_IFCHR)
		if kind == nfsBlock {
			mode = syscall.S_IFBLK
		}
		n.setDevice(mode, le.Uint32(data), le.Uint32(data[4:]))
	}
	return nil
}

// loadLink is a symlink or a mount point (junction).
func (n *inode) loadLink(ctx context.Context, l linkData) error {
	header, relative := mountPointHeader, false
	if n.reparse == tagSymlink {
		header = symlinkHeader
	}
	if len(l) < header {
		return n.f.corrupt("a link of %d bytes", len(l))
	}
	if n.reparse == tagSymlink {
		relative = l.flags()&symlinkRelative != 0
	}
	name, ok := ondisk.Slice(l[header:], l.substituteOffset(), l.substituteLength())
	if !ok {
		return n.f.corrupt("a link with its name at %d, %d bytes of %d", l.substituteOffset(), l.substituteLength(), len(l))
	}
	target, err := n.linkTarget(ctx, cutNUL(decodeText(name)), relative)
	if err != nil {
		return err
	}
	n.setLink(target)
	return nil
}
