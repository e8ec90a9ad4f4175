package mount

import (
	"math"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/vfs"
)

// SetAttr changes a size, mode, owner or times.
func (m *fileSystem) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, c, err := m.client(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	ch, any := change(in)
	if in.Valid&fuse.FATTR_KILL_SUIDGID != 0 && ch.Mode == nil {
		if ch.Mode, err = m.lessMode(n, &in.InHeader); err != nil {
			return m.status(err)
		}
		any = any || ch.Mode != nil
	}
	if size, ok := in.GetSize(); ok {
		if size > math.MaxInt64 {
			return fuse.Status(syscall.EFBIG)
		}
		if err := c.Truncate(m.ctx, n.Ino, int64(size)); err != nil {
			return m.status(err)
		}
	}
	if any {
		if err := c.Setattr(m.ctx, n.Ino, ch); err != nil {
			return m.status(err)
		}
	}
	f, err := m.ns.Inode(m.ctx, n)
	if err != nil {
		return m.status(err)
	}
	a := f.Attr()
	out.SetTimeout(m.attrTimeout(n, &a))
	m.fillAttr(m.ns.Number(n), n, f, &a, &out.Attr)
	return fuse.OK
}

// change is what a request changes besides the size. Cutting a file sets its times by itself.
func change(in *fuse.SetAttrIn) (ch vfs.Change, any bool) {
	if mode, ok := in.GetMode(); ok {
		ch.Mode, any = &mode, true
	}
	if uid, ok := in.GetUID(); ok {
		ch.UID, any = &uid, true
	}
	if gid, ok := in.GetGID(); ok {
		ch.GID, any = &gid, true
	}
	if t, ok := in.GetATime(); ok {
		ch.Atime, any = when(t), true
	}
	_, cut := in.GetSize()
	if t, ok := in.GetMTime(); ok && !(cut && in.Valid&fuse.FATTR_MTIME_NOW != 0) {
		ch.Mtime, any = when(t), true
	}
	return ch, any
}

func when(t time.Time) *vfs.Time { return &vfs.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())} }

// lessMode is the mode without the set-ID bits that go when somebody else writes a file or its owner changes; nil where
// there are none. A set-group-ID bit without the group's x goes where the caller, of whom one group is known, is neither
// root nor in the file's group.
func (m *fileSystem) lessMode(n vfs.Node, by *fuse.InHeader) (*uint32, error) {
	f, err := m.ns.Inode(m.ctx, n)
	if err != nil {
		return nil, err
	}
	a := f.Attr()
	mode := a.Mode
	less := mode &^ syscall.S_ISUID
	if mode&syscall.S_IXGRP != 0 || by.Uid != 0 && by.Gid != a.GID {
		less &^= syscall.S_ISGID
	}
	if mode&syscall.S_IFMT != syscall.S_IFREG || less == mode {
		return nil, nil
	}
	less &= 0o7777
	return &less, nil
}

// kill clears set-ID bits before a file is written.
func (m *fileSystem) kill(n vfs.Node, c *vfs.Client, by *fuse.InHeader) error {
	mode, err := m.lessMode(n, by)
	if err == nil && mode != nil {
		err = c.Setattr(m.ctx, n.Ino, vfs.Change{Mode: mode})
	}
	return err
}

// Write writes in.Size bytes; a part is a success, and the kernel asks again for the rest.
func (m *fileSystem) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	n, c, err := m.client(in.NodeId)
	if err != nil {
		return 0, m.status(err)
	}
	if in.Offset > math.MaxInt64-uint64(len(data)) {
		return 0, fuse.Status(syscall.EFBIG)
	}
	if in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0 {
		if err := m.kill(n, c, &in.InHeader); err != nil {
			return 0, m.status(err)
		}
	}
	done, err := c.WriteAt(m.ctx, n.Ino, data, int64(in.Offset))
	if done > 0 {
		return uint32(done), fuse.OK
	}
	return 0, m.status(err)
}

// Writev has Write called with the bytes in one piece, as they come from /dev/fuse.
func (m *fileSystem) Writev(_ <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	if len(data) == 1 {
		return m.Write(nil, in, data[0])
	}
	return 0, fuse.ENOSYS
}

// Fallocate gives a range blocks, a hole or zeros.
func (m *fileSystem) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	n, c, err := m.client(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	if in.Offset > math.MaxInt64 || in.Length > math.MaxInt64 {
		return fuse.Status(syscall.EFBIG)
	}
	if in.Uid != 0 {
		if err := m.kill(n, c, &in.InHeader); err != nil {
			return m.status(err)
		}
	}
	return m.status(c.Fallocate(m.ctx, n.Ino, int64(in.Offset), int64(in.Length), vfs.Fallocation(in.Mode)))
}

// maxCopy bounds what one COPY_FILE_RANGE copies, in bytes: the caller asks again.
const maxCopy = 16 << 20

// CopyFileRange copies within the mount, without the bytes going to the kernel and back.
func (m *fileSystem) CopyFileRange(_ <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	n, c, err := m.client(in.NodeIdOut)
	if err != nil {
		return 0, m.status(err)
	}
	_, from, err := m.inode(in.NodeId)
	if err != nil {
		return 0, m.status(err)
	}
	if in.OffIn > math.MaxInt64-maxCopy || in.OffOut > math.MaxInt64-maxCopy {
		return 0, fuse.Status(syscall.EFBIG)
	}
	if in.Uid != 0 {
		if err := m.kill(n, c, &in.InHeader); err != nil {
			return 0, m.status(err)
		}
	}
	done, err := c.CopyRange(m.ctx, from, int64(in.OffIn), n.Ino, int64(in.OffOut), int64(min(in.Len, maxCopy)))
	if done > 0 {
		return uint32(done), fuse.OK
	}
	return 0, m.status(err)
}

// SetXAttr sets an extended attribute.
func (m *fileSystem) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, value []byte) fuse.Status {
	n, c, err := m.client(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	return m.status(c.SetXattr(m.ctx, n.Ino, name, append([]byte{}, value...), int(in.Flags)))
}

// RemoveXAttr removes one.
func (m *fileSystem) RemoveXAttr(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	n, c, err := m.client(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	return m.status(c.RemoveXattr(m.ctx, n.Ino, name))
}

// Ioctl knows none. ENOSYS would be the same to the caller.
func (m *fileSystem) Ioctl(<-chan struct{}, *fuse.IoctlIn, []byte, *fuse.IoctlOut, []byte) fuse.Status {
	return fuse.Status(syscall.ENOTTY)
}
