package ntfs

import (
	"bytes"
	"context"
	"iter"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

const (
	// streamPrefix stands before the name of a stream as an attribute.
	streamPrefix = "user.ntfs.stream."

	// What ntfs-3g calls the raw forms of what NTFS keeps.
	xattrACL     = "system.ntfs_acl"
	xattrAttrib  = "system.ntfs_attrib"
	xattrEA      = "system.ntfs_ea"
	xattrReparse = "system.ntfs_reparse_data"
	xattrTimes   = "system.ntfs_times"

	// maxXattr bounds a stream that is read as an attribute, in bytes. A larger
	// one is read as a file.
	maxXattr = 64 << 20
)

// Xattrs lists the alternate streams, and what NTFS keeps that Linux has no
// place for.
func (n *inode) Xattrs(ctx context.Context) iter.Seq2[vfs.Xattr, error] {
	return func(yield func(vfs.Xattr, error) bool) {
		if n.stream != 0 {
			return
		}
		if stop, err := n.streamXattrs(ctx, yield); stop || err != nil {
			if err != nil {
				yield(vfs.Xattr{}, err)
			}
			return
		}
		if err := n.systemXattrs(ctx, yield); err != nil {
			yield(vfs.Xattr{}, err)
		}
	}
}

func (n *inode) streamXattrs(ctx context.Context, yield func(vfs.Xattr, error) bool) (stop bool, err error) {
	for s, err := range n.f.streams() {
		if err != nil {
			return false, err
		}
		name := decodeName(s.name)
		if n.wof != nil && name == wofStream || bytes.IndexByte([]byte(name), 0) >= 0 {
			continue
		}
		data := new(stream)
		if _, err := n.f.find(ctx, typeData, s.name, data); err != nil {
			return false, err
		}
		x := vfs.Xattr{Name: streamPrefix + name, Size: data.size, Read: func(ctx context.Context) ([]byte, error) {
			if data.size > maxXattr {
				return nil, syscall.E2BIG
			}
			b := make([]byte, data.size)
			return b, data.readFull(ctx, b, 0)
		}}
		if !yield(x, nil) {
			return true, nil
		}
	}
	return false, nil
}

// systemXattrs gives what ntfs-3g answers under the same names, and like it
// does not list.
func (n *inode) systemXattrs(ctx context.Context, yield func(vfs.Xattr, error) bool) error {
	give := func(name string, value []byte) bool {
		return yield(vfs.Xattr{Name: name, Hidden: true, Size: int64(len(value)), Read: func(context.Context) ([]byte, error) {
			return bytes.Clone(value), nil
		}}, nil)
	}
	if !give(xattrAttrib, le.AppendUint32(nil, n.attrib())) || !give(xattrTimes, n.times()) {
		return nil
	}
	if n.info.attributes()&attrReparsePoint != 0 {
		r, err := n.f.readReparse(ctx)
		if err != nil {
			return err
		}
		if r != nil && !give(xattrReparse, r) {
			return nil
		}
	}
	ea, err := n.f.readEA(ctx)
	if err != nil {
		return err
	}
	if len(ea) > 0 && !give(xattrEA, ea) {
		return nil
	}
	acl, err := n.descriptor(ctx)
	if err != nil {
		return err
	}
	if len(acl) > 0 {
		give(xattrACL, acl)
	}
	return nil
}

// attrib are the DOS attributes, with that of directories, and FILE_ATTRIBUTE_NORMAL
// for none ([MS-FSCC] 2.6).
func (n *inode) attrib() uint32 {
	const normal = 0x80
	a := n.info.attributes() &^ attrDirectory
	if n.f.rec.flags()&recordDirectory != 0 {
		a |= attrDirectory
	}
	if a == 0 {
		a = normal
	}
	return a
}

// times are NTFS's four, of 64 bits each, in the order of ntfs-3g: creation,
// change of data, access, change of the record.
func (n *inode) times() []byte {
	b := le.AppendUint64(nil, uint64(n.info.creation()))
	b = le.AppendUint64(b, uint64(n.info.modified()))
	b = le.AppendUint64(b, uint64(n.info.accessed()))
	return le.AppendUint64(b, uint64(n.info.changed()))
}
