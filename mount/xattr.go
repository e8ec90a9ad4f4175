package mount

import (
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/vfs"
)

// xattrMax is the largest value, and the largest list of names, that Linux lets through: XATTR_SIZE_MAX and
// XATTR_LIST_MAX of linux/limits.h.
const xattrMax = 64 << 10

// GetXAttr reads one attribute; an empty dest asks for its size.
func (m *fileSystem) GetXAttr(_ <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	n, f, err := m.inode(in.NodeId)
	if err != nil {
		return 0, m.status(err)
	}
	if foreignXattr(name) && n.Tree.FileSystem().Info().NoACLs {
		// A program that lists many files, such as ls, asks no further then.
		return 0, fuse.Status(syscall.EOPNOTSUPP)
	}
	if f.Attr().NoXattr {
		return 0, fuse.ENODATA
	}
	for x, err := range f.Xattrs(m.ctx) {
		if err != nil {
			return 0, m.xattrStatus(n, err)
		}
		if x.Name != name {
			continue
		}
		switch {
		case x.Size > xattrMax:
			return 0, fuse.Status(syscall.E2BIG)
		case len(dest) == 0:
			return uint32(x.Size), fuse.OK
		case x.Size > int64(len(dest)):
			return uint32(x.Size), fuse.ERANGE
		}
		value, err := x.Read(m.ctx)
		if err != nil {
			return 0, m.xattrStatus(n, err)
		}
		if len(value) > len(dest) {
			return uint32(len(value)), fuse.ERANGE
		}
		return uint32(copy(dest, value)), fuse.OK
	}
	return 0, fuse.ENODATA
}

// ListXAttr lists the names, each with a NUL behind; an empty dest asks for the size of the list. "trusted" ones are for
// root, as the kernel's own filesystems have it.
func (m *fileSystem) ListXAttr(_ <-chan struct{}, in *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	n, f, err := m.inode(in.NodeId)
	if err != nil {
		return 0, m.status(err)
	}
	if f.Attr().NoXattr {
		return 0, fuse.OK
	}
	var list []byte
	for x, err := range f.Xattrs(m.ctx) {
		if err != nil {
			return 0, m.xattrStatus(n, err)
		}
		if x.Hidden || in.Uid != 0 && strings.HasPrefix(x.Name, "trusted.") {
			continue
		}
		list = append(append(list, x.Name...), 0)
		if len(list) > xattrMax {
			return 0, fuse.Status(syscall.E2BIG)
		}
	}
	switch {
	case len(dest) == 0:
		return uint32(len(list)), fuse.OK
	case len(list) > len(dest):
		return uint32(len(list)), fuse.ERANGE
	}
	return uint32(copy(dest, list)), fuse.OK
}

// foreignXattr says whether name belongs to Linux's own use of attributes, which some filesystems have no place for.
func foreignXattr(name string) bool {
	return strings.HasPrefix(name, "system.posix_acl_") || strings.HasPrefix(name, "security.") || strings.HasPrefix(name, "trusted.")
}

func (m *fileSystem) xattrStatus(n vfs.Node, err error) fuse.Status {
	return m.status(&vfs.OpError{Op: "read extended attributes of", Volume: n.Tree.Name(), Ino: n.Ino, Err: err})
}
