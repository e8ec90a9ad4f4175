package mount

import (
	"io"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// Read fills buf, which go-fuse lends. Where a part cannot be read the whole request fails: the kernel takes a short
// reply for the end of the file, and asks again page by page for one that failed.
func (m *fileSystem) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	m.reads.Add(1)
	n, f, err := m.inode(in.NodeId)
	if err != nil {
		return nil, m.status(err)
	}
	size := f.Attr().Size
	if in.Offset >= uint64(size) {
		return fuse.ReadResultData(nil), fuse.OK
	}
	off := int64(in.Offset)
	if m.push != nil && off == 0 && size <= pushFile {
		m.push.wasRead(in.NodeId)
	}
	buf = buf[:block.Clamp(off, min(int64(in.Size), int64(len(buf))), size)]
	got, err := vfs.ReadAt(m.ctx, f, buf, off)
	if err != nil && err != io.EOF {
		return nil, m.status(&vfs.OpError{Op: "read file", Volume: n.Tree.Name(), Ino: n.Ino, Err: err})
	}
	return fuse.ReadResultData(buf[:got]), fuse.OK // fewer where the file was cut since
}

// Lseek is SEEK_DATA and SEEK_HOLE; the kernel does the others.
func (m *fileSystem) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	const seekData, seekHole = 3, 4
	n, f, err := m.inode(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	if in.Offset > 1<<63-1 {
		return fuse.Status(syscall.ENXIO)
	}
	var at int64
	switch in.Whence {
	case seekData:
		at, err = vfs.SeekData(m.ctx, f, int64(in.Offset))
	case seekHole:
		at, err = vfs.SeekHole(m.ctx, f, int64(in.Offset))
	default:
		return fuse.EINVAL
	}
	if err == syscall.ENXIO {
		return fuse.Status(syscall.ENXIO)
	}
	if err != nil {
		return m.status(&vfs.OpError{Op: "map file", Volume: n.Tree.Name(), Ino: n.Ino, Err: err})
	}
	out.Offset = uint64(at)
	return fuse.OK
}

// Readlink gives a symlink's target, which the kernel keeps.
func (m *fileSystem) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	n, f, err := m.inode(in.NodeId)
	if err != nil {
		return nil, m.status(err)
	}
	target, err := f.Readlink(m.ctx)
	if err == syscall.EINVAL {
		return nil, fuse.EINVAL
	}
	if err != nil {
		return nil, m.status(&vfs.OpError{Op: "read symlink", Volume: n.Tree.Name(), Ino: n.Ino, Err: err})
	}
	if m.opt.RebaseLinks {
		target = m.rebase(target)
	}
	return []byte(target), fuse.OK
}

// rebase puts an absolute target below the mount point.
func (m *fileSystem) rebase(target string) string {
	if !strings.HasPrefix(target, "/") {
		return target
	}
	if m.dir == "/" {
		return target
	}
	return m.dir + target
}
