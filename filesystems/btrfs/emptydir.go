package btrfs

import (
	"context"
	"iter"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// emptyDir stands where a snapshot has the entry of a subvolume that it does
// not contain, as in Linux.
type emptyDir struct {
	ino  vfs.Ino
	attr vfs.Attr
}

// emptyDir makes the directory. The owner and access time are those of the
// directory that it is in, as in Linux, which gives it the time of its lookup
// for the others.
func (fs *FileSystem) emptyDir(ctx context.Context, ino vfs.Ino) (vfs.Inode, error) {
	id := ino.Num &^ emptyBit
	if !isSubvolume(id) {
		return nil, syscall.ENOENT
	}
	// The snapshot's directory has the number that the source's has.
	parent := vfs.Ino{Tree: ino.Tree, Num: firstFreeID}
	c, err := fs.roots.ceil(ctx, key{id, rootBackrefType, 0})
	if err != nil {
		return nil, err
	}
	if c.ok && c.key.id == id && c.key.typ == rootBackrefType && len(c.data) >= rootRefSize {
		parent.Num = rootRef(c.data).dirid()
	}
	dir, err := fs.iget(ctx, parent)
	if err == syscall.ENOENT {
		parent.Num = firstFreeID
		dir, err = fs.iget(ctx, parent)
	}
	if err != nil {
		return nil, err
	}
	a := dir.Attr()
	return emptyDir{vfs.Ino{Tree: dir.tree(), Num: ino.Num}, vfs.Attr{Mode: syscall.S_IFDIR | 0o755, Nlink: 1, UID: a.UID, GID: a.GID,
		Atime: a.Atime, Mtime: a.Mtime, Ctime: a.Ctime, NoXattr: true}}, nil
}

func (d emptyDir) Ino() vfs.Ino   { return d.ino }
func (d emptyDir) Attr() vfs.Attr { return d.attr }

func (d emptyDir) Lookup(context.Context, string) (vfs.Ino, error) {
	return vfs.Ino{}, syscall.ENOENT
}

func (d emptyDir) Entries(context.Context, vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	return func(func(vfs.Entry, error) bool) {}
}

func (d emptyDir) Map(context.Context, int64, int64) (vfs.Extent, error) {
	return vfs.Extent{}, syscall.EINVAL
}

func (d emptyDir) Readlink(context.Context) (string, error) { return "", syscall.EINVAL }

func (d emptyDir) Xattrs(context.Context) iter.Seq2[vfs.Xattr, error] {
	return func(func(vfs.Xattr, error) bool) {}
}
