package ext4

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// addLink counts another link. A directory with very many has one, by dir_nlink.
func (x *tx) addLink(n *inode) error {
	links := uint32(n.raw.links())
	if n.fileType() == syscall.S_IFDIR {
		switch {
		case links == 1 && x.fs.sb.hasRoCompat(roDirNlink):
			return nil
		case links+1 >= linkMax && x.fs.sb.hasRoCompat(roDirNlink):
			n.raw.setLinks(1)
			return nil
		}
	}
	if links >= linkMax {
		return syscall.EMLINK
	}
	n.raw.setLinks(uint16(links + 1))
	return nil
}

// dropSubdir counts one subdirectory less.
func (x *tx) dropSubdir(dir *inode) {
	if links := dir.raw.links(); links > 2 {
		dir.raw.setLinks(links - 1)
	}
}

// Link gives a file another name.
func (x *tx) Link(ctx context.Context, ino, in vfs.Ino, name string) error {
	n, err := x.named(ctx, ino)
	if err != nil {
		return err
	}
	dir, err := x.directory(ctx, in)
	if err != nil {
		return err
	}
	if n.fileType() == syscall.S_IFDIR || n.flag(flagImmutable|flagAppend) {
		return syscall.EPERM
	}
	if err := x.absent(ctx, dir, name); err != nil {
		return err
	}
	if n.raw.links() == 0 {
		if err := x.dropOrphan(ctx, n); err != nil { // ENOENT where it is no unnamed file
			return err
		}
	}
	if err := x.addLink(n); err != nil {
		return err
	}
	x.changed(n)
	x.touch(dir)
	return x.addEntry(ctx, dir, dirEntry{name, n.num, fileTypeOf(uint32(n.raw.mode()))})
}
