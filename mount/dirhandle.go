package mount

import (
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/vfs"
)

// A dirHandle is an open directory where directories change: its listing stays as it was when it began, so that nothing
// is left out or comes twice while a program deletes what it is told, as rm -r does. Rewinding begins anew.
type dirHandle struct {
	mu      sync.Mutex // held while a window is made; before the locks of vfs
	index   uint64
	current *window
	starts  []vfs.Cursor // of windows 1, 2, ...
}

// dirHandles are the open directories by their handles.
type dirHandles struct {
	mu   sync.Mutex // guards both; a leaf
	last uint64
	open map[uint64]*dirHandle
}

func newDirHandles() *dirHandles { return &dirHandles{open: make(map[uint64]*dirHandle)} }

func (h *dirHandles) add() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	h.open[h.last] = new(dirHandle)
	return h.last
}

// get is the handle of a directory that is open; an empty one where the kernel made none.
func (h *dirHandles) get(fh uint64) *dirHandle {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.open[fh]; d != nil {
		return d
	}
	return new(dirHandle)
}

func (h *dirHandles) remove(fh uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, fh)
}

// window is window k; anew says that the listing begins.
func (d *dirHandle) window(m *fileSystem, dir vfs.Node, k uint64, anew bool) (*window, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if anew && k == 0 {
		d.current, d.starts = nil, nil
	}
	if d.current != nil && d.index == k {
		return d.current, nil
	}
	for i := min(k, uint64(len(d.starts))); ; i++ {
		var from vfs.Cursor
		if i > 0 {
			from = d.starts[i-1]
		}
		w, err := m.dirs.read(m.ctx, dir, from)
		if err != nil && (i < k || len(w.entries) == 0) {
			return nil, err
		}
		if err == nil && !w.last && uint64(len(d.starts)) == i {
			d.starts = append(d.starts, w.next)
		}
		if i == k {
			d.index, d.current = k, w
			return w, err
		}
		if w.last {
			return nil, nil
		}
	}
}

// stillThere says whether a name that was listed still means what it meant. The kernel would take one that was deleted
// meanwhile for one that is there.
func (m *fileSystem) stillThere(dir vfs.Node, w *window, at int) bool {
	if !m.live || dir.Tree.Removals() == w.removals {
		return true
	}
	f, err := m.ns.Inode(m.ctx, dir)
	if err != nil {
		return false
	}
	ino, err := f.Lookup(m.ctx, w.name(at))
	return err == nil && ino.Tree == w.entries[at].ino.Tree && ino.Num == w.entries[at].ino.Num
}

// OpenDir latches where nothing changes: the kernel never asks again, keeps the listing, and sends neither OPENDIR nor
// RELEASEDIR.
func (m *fileSystem) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if !m.live {
		return fuse.ENOSYS
	}
	n, err := m.node(in.NodeId)
	if err == nil {
		err = m.clients[n.Tree].Open(m.ctx, n.Ino, false, false)
	}
	if err != nil {
		return m.status(err)
	}
	out.Fh = m.handles.add()
	return fuse.OK
}

// ReleaseDir ends what OpenDir began.
func (m *fileSystem) ReleaseDir(in *fuse.ReleaseIn) {
	m.handles.remove(in.Fh)
	m.release(in.NodeId)
}

// FsyncDir latches where nothing changes.
func (m *fileSystem) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status { return m.sync(in) }
