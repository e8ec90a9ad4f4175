package ext4

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// Setattr changes what c names, and ctime.
func (x *tx) Setattr(ctx context.Context, ino vfs.Ino, c vfs.Change) error {
	n, err := x.named(ctx, ino)
	if err != nil {
		return err
	}
	if n.flag(flagImmutable|flagAppend) && (c.Mode != nil || c.UID != nil || c.GID != nil) {
		return syscall.EPERM
	}
	if c.Mode != nil {
		mode := uint32(n.raw.mode())&syscall.S_IFMT | *c.Mode&0o7777
		n.raw.setMode(uint16(mode))
		if err := x.chmodACL(ctx, n, *c.Mode); err != nil {
			return err
		}
	}
	if c.UID != nil {
		n.raw.setUID(*c.UID)
	}
	if c.GID != nil {
		n.raw.setGID(*c.GID)
	}
	if c.Atime != nil {
		n.raw.setTime(inodeAtime, inodeAtimeExtra, *c.Atime)
	}
	if c.Mtime != nil {
		n.raw.setTime(inodeMtime, inodeMtimeExtra, *c.Mtime)
	}
	x.changed(n)
	if c.Ctime != nil {
		n.raw.setTime(inodeCtime, inodeCtimeExtra, *c.Ctime)
	}
	return nil
}
