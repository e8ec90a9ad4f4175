package files

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/vfs"
)

// attributes gives an open file of the host the owner, extended attributes,
// mode and times of e. The order matters: a change of owner takes the set-id
// bits and capabilities away.
func (c *copier) attributes(e *Entry, fd int) error {
	if c.opt.Plain {
		return unix.Fchmod(fd, plainMode(e))
	}
	mode := e.Attr.Mode & 0o7777
	if !c.chown(e, func(uid, gid int) error { return unix.Fchown(fd, uid, gid) }) {
		mode &^= syscall.S_ISUID | syscall.S_ISGID
	}
	errs := c.xattrs(e, func(name string, value []byte) error { return unix.Fsetxattr(fd, name, value, 0) })
	if err := unix.Fchmod(fd, mode); err != nil {
		errs = append(errs, fmt.Errorf("set the mode %#o: %w", mode, err))
	}
	times := hostTimes(e)
	err := unix.UtimesNanoAt(fd, "", times[:], unix.AT_EMPTY_PATH)
	if err == unix.EINVAL || err == unix.ENOENT { // before Linux 5.8
		err = unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), times[:], 0)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("set the times: %w", err))
	}
	return errors.Join(errs...)
}

// attributesAt is attributes for what cannot be opened: a symlink, a device.
func (c *copier) attributesAt(e *Entry, dir hostDir, name string) error {
	if c.opt.Plain {
		return nil
	}
	mode := e.Attr.Mode & 0o7777
	if !c.chown(e, func(uid, gid int) error { return unix.Fchownat(dir.fd, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW) }) {
		mode &^= syscall.S_ISUID | syscall.S_ISGID
	}
	// The last name of the path is not followed; what stands before it is our own descriptor.
	full := procPath(dir.fd) + "/" + name
	errs := c.xattrs(e, func(xattr string, value []byte) error { return unix.Lsetxattr(full, xattr, value, 0) })
	if e.Type() != syscall.S_IFLNK {
		if err := dir.chmod(name, mode); err != nil {
			errs = append(errs, fmt.Errorf("set the mode %#o: %w", mode, err))
		}
	}
	times := hostTimes(e)
	if err := unix.UtimesNanoAt(dir.fd, name, times[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		errs = append(errs, fmt.Errorf("set the times: %w", err))
	}
	return errors.Join(errs...)
}

func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// plainMode is what a file gets without the guest's attributes.
func plainMode(e *Entry) uint32 {
	if e.isDir() {
		return 0o755
	}
	return 0o644
}

// chown sets the owner, and says whether it is what the guest has. An ordinary
// user keeps files as his own, as with cp -a.
func (c *copier) chown(e *Entry, chown func(uid, gid int) error) bool {
	err := chown(int(e.Attr.UID), int(e.Attr.GID))
	if err == nil {
		return true
	}
	if c.uid == 0 {
		c.opt.Problem(&Error{Op: fmt.Sprintf("set the owner %d:%d of the copy of", e.Attr.UID, e.Attr.GID), Path: e.Path, Err: err})
	} else {
		_ = chown(-1, int(e.Attr.GID)) // a group of his
	}
	return false
}

// xattrs sets the extended attributes that this user may set and the target
// can hold.
func (c *copier) xattrs(e *Entry, set func(name string, value []byte) error) []error {
	if e.Attr.NoXattr {
		return nil
	}
	m, errs := xattrs(c.ctx, e)
	for name, value := range m {
		err := set(name, []byte(value))
		switch {
		case err == nil:
		case errors.Is(err, unix.ENOTSUP), c.uid != 0 && !strings.HasPrefix(name, "user.") && errors.Is(err, unix.EPERM):
			c.warn(e, fmt.Errorf("the extended attribute %q is not kept: %w", name, err))
		default:
			errs = append(errs, fmt.Errorf("set the extended attribute %q: %w", name, err))
		}
	}
	return errs
}

func hostTimes(e *Entry) [2]unix.Timespec {
	spec := func(t vfs.Time) unix.Timespec { return unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)} }
	return [2]unix.Timespec{spec(e.Attr.Atime), spec(e.Attr.Mtime)}
}
