package mount

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// openFlags are the answer to an open where files change: the pages stay, since the kernel knows of all changes, and a
// close has nothing to say, since each write has been answered. A file that is made when it is looked at is read anew.
func (m *fileSystem) openFlags(made bool) uint32 {
	if made {
		return fuse.FOPEN_NOFLUSH
	}
	return fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
}

// Open latches where nothing changes: the kernel opens files without asking, keeps their pages, and sends neither OPEN
// nor RELEASE.
func (m *fileSystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if !m.live {
		return fuse.ENOSYS
	}
	n, err := m.node(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	write := in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY
	if write && !m.writable {
		return fuse.EROFS
	}
	if err := m.clients[n.Tree].Open(m.ctx, n.Ino, write, in.Flags&syscall.O_APPEND != 0); err != nil {
		return m.status(err)
	}
	out.OpenFlags = m.openFlags(m.facts(n.Tree).made)
	return fuse.OK
}

// Release ends what Open or Create began.
func (m *fileSystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { m.release(in.NodeId) }

func (m *fileSystem) release(id uint64) {
	if n, err := m.node(id); err == nil {
		m.clients[n.Tree].Release(m.ctx, n.Ino)
	}
}

// Flush latches: there is nothing to write at a close.
func (m *fileSystem) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }

// Fsync latches where nothing changes, for there is nothing to write.
func (m *fileSystem) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status { return m.sync(in) }

// sync makes durable all that the inode's filesystem was told.
func (m *fileSystem) sync(in *fuse.FsyncIn) fuse.Status {
	if !m.live {
		return fuse.ENOSYS
	}
	n, err := m.node(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	return m.status(m.clients[n.Tree].Sync(m.ctx))
}
