package ext4

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// Rename gives what from names in one directory the name to in another. What
// had that name loses it, and is answered, to be evicted where it was the last
// one; with RenameExchange it takes the old name.
func (x *tx) Rename(ctx context.Context, fromDir vfs.Ino, from string, toDir vfs.Ino, to string, flags vfs.RenameFlags) (gone vfs.Ino, err error) {
	src, err := x.directory(ctx, fromDir)
	if err != nil {
		return vfs.Ino{}, err
	}
	dst, err := x.directory(ctx, toDir)
	if err != nil {
		return vfs.Ino{}, err
	}
	if err := checkName(from); err == syscall.EEXIST {
		return vfs.Ino{}, syscall.EBUSY
	}
	if err := checkName(to); err == syscall.EEXIST {
		return vfs.Ino{}, syscall.EBUSY
	} else if err != nil {
		return vfs.Ino{}, err
	}
	s, err := x.findSlot(ctx, src, from)
	if err != nil {
		return vfs.Ino{}, err
	}
	if src.flag(flagAppend) {
		return vfs.Ino{}, syscall.EPERM
	}
	n, err := x.target(ctx, s)
	if err != nil {
		return vfs.Ino{}, err
	}
	isDir := n.fileType() == syscall.S_IFDIR
	if n.flag(flagImmutable | flagAppend) {
		return vfs.Ino{}, syscall.EPERM
	}
	if isDir && src.num != dst.num {
		if err := x.notBelow(ctx, dst, n.num); err != nil {
			return vfs.Ino{}, err
		}
	}
	old, err := dst.find(ctx, dst.nameMatch(to))
	if err != nil {
		return vfs.Ino{}, err
	}
	switch {
	case old == 0 && flags&vfs.RenameExchange != 0:
		return vfs.Ino{}, syscall.ENOENT
	case old == 0:
		err = x.moveTo(ctx, src, dst, n, to)
	case flags&vfs.RenameNoReplace != 0:
		return vfs.Ino{}, syscall.EEXIST
	case old != 0 && dst.flag(flagAppend):
		return vfs.Ino{}, syscall.EPERM
	case old == n.num:
		return vfs.Ino{}, nil // two names of one file: nothing is done, as rename(2) has it
	case flags&vfs.RenameExchange != 0:
		return vfs.Ino{}, x.exchange(ctx, src, from, dst, to, n)
	default:
		gone, err = x.replace(ctx, src, dst, n, to)
	}
	if err != nil {
		return vfs.Ino{}, err
	}
	// The directory may have been split meanwhile: the old name is looked for again.
	if s, err = x.findSlot(ctx, src, from); err != nil {
		return vfs.Ino{}, err
	}
	if s.entry().inode() != n.num {
		return vfs.Ino{}, src.corrupt(ctx, "name %q changes while it is renamed", from)
	}
	x.removeName(s)
	x.changed(n)
	x.touch(src)
	x.touch(dst)
	return gone, nil
}

// moveTo gives n a new name.
func (x *tx) moveTo(ctx context.Context, src, dst, n *inode, to string) error {
	if n.fileType() == syscall.S_IFDIR && src.num != dst.num {
		if err := x.setParent(ctx, n, dst.num); err != nil {
			return err
		}
		x.dropSubdir(src)
		if err := x.addLink(dst); err != nil {
			return err
		}
	}
	return x.addEntry(ctx, dst, dirEntry{to, n.num, fileTypeOf(uint32(n.raw.mode()))})
}

// replace gives n the name of something else, which loses it.
func (x *tx) replace(ctx context.Context, src, dst, n *inode, to string) (vfs.Ino, error) {
	s, err := x.findSlot(ctx, dst, to)
	if err != nil {
		return vfs.Ino{}, err
	}
	old, err := x.target(ctx, s)
	if err != nil {
		return vfs.Ino{}, err
	}
	if err := x.removable(ctx, old, n.fileType() == syscall.S_IFDIR); err != nil {
		return vfs.Ino{}, err
	}
	if err := x.point(ctx, s, src, dst, n); err != nil {
		return vfs.Ino{}, err
	}
	if n.fileType() == syscall.S_IFDIR {
		// dst loses the directory that is replaced, by dropName, and gains n.
		x.dropSubdir(src)
		if err := x.addLink(dst); err != nil {
			return vfs.Ino{}, err
		}
	}
	return old.Ino(), x.dropName(ctx, dst, old)
}

// point makes a slot's entry name n, which comes from src into dst.
func (x *tx) point(ctx context.Context, s slot, src, dst, n *inode) error {
	s.entry().setInode(n.num)
	if !x.fs.geo.noFiletype {
		s.entry().setFileType(fileTypeOf(uint32(n.raw.mode())))
	}
	if n.fileType() == syscall.S_IFDIR && src.num != dst.num {
		return x.setParent(ctx, n, dst.num)
	}
	return nil
}

// exchange makes each of two names mean what the other one meant.
func (x *tx) exchange(ctx context.Context, src *inode, from string, dst *inode, to string, n *inode) error {
	b, err := x.findSlot(ctx, dst, to)
	if err != nil {
		return err
	}
	other, err := x.target(ctx, b)
	if err != nil {
		return err
	}
	if other.flag(flagImmutable | flagAppend) {
		return syscall.EPERM
	}
	if other.fileType() == syscall.S_IFDIR && src.num != dst.num {
		if err := x.notBelow(ctx, src, other.num); err != nil {
			return err
		}
	}
	a, err := x.findSlot(ctx, src, from)
	if err != nil {
		return err
	}
	if err := x.point(ctx, a, dst, src, other); err != nil {
		return err
	}
	if err := x.point(ctx, b, src, dst, n); err != nil {
		return err
	}
	nDir, otherDir := n.fileType() == syscall.S_IFDIR, other.fileType() == syscall.S_IFDIR
	if src.num != dst.num && nDir != otherDir {
		loses, gains := src, dst
		if otherDir {
			loses, gains = dst, src
		}
		x.dropSubdir(loses)
		if err := x.addLink(gains); err != nil {
			return err
		}
	}
	x.changed(n)
	x.changed(other)
	x.touch(src)
	x.touch(dst)
	return nil
}

// setParent makes a directory's .. name its new parent.
func (x *tx) setParent(ctx context.Context, dir *inode, parent uint32) error {
	if dir.flag(flagInlineData) {
		set32(dir.raw.iBlock(), 0, parent)
		return nil
	}
	b, err := x.editDirBlock(ctx, dir, 0)
	if err != nil {
		return err
	}
	d := dirent(b[direntMin:])
	if recLen(dirent(b).rawRecLen(), len(b)) != direntMin || d.inode() == 0 || d.nameLen() != 2 || string(d.name()) != ".." {
		return dir.corrupt(ctx, "the directory does not begin with . and ..")
	}
	d.setInode(parent)
	return nil
}

// maxDepth bounds the walk from a directory to the root.
const maxDepth = 1 << 16

// notBelow says EINVAL where dir is the directory num or lies below it.
func (x *tx) notBelow(ctx context.Context, dir *inode, num uint32) error {
	for range maxDepth {
		if dir.num == num {
			return syscall.EINVAL
		}
		if dir.num == rootIno {
			return nil
		}
		up, err := dir.find(ctx, dir.nameMatch(".."))
		if err != nil {
			return err
		}
		if up == dir.num || up == 0 {
			return dir.corrupt(ctx, ".. is inode %d", up)
		}
		if up == num {
			return syscall.EINVAL
		}
		if e := x.inodes[up]; e != nil {
			dir = e
		} else if dir, err = x.fs.iget(ctx, up); err != nil {
			return err
		}
	}
	return dir.corrupt(ctx, "the way to the root is too long")
}
