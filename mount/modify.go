package mount

import (
	"errors"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/vfs"
)

// What follows changes directories. A read-only mount never gets these requests, since the kernel knows that it is one;
// what reaches it all the same is refused, as is every change of a tree that is read-only.

// client gives the node that a change is about, and who makes it.
func (m *fileSystem) client(id uint64) (vfs.Node, *vfs.Client, error) {
	if !m.writable {
		return vfs.Node{}, nil, syscall.EROFS
	}
	n, err := m.node(id)
	if err != nil {
		return n, nil, err
	}
	return n, m.clients[n.Tree], nil
}

// newFile is what a request wants made. Who alone reaches the mount acts as root, and so what he makes is root's.
func (m *fileSystem) newFile(in *fuse.InHeader, mode, umask uint32) vfs.New {
	what := vfs.New{Mode: mode, Mask: umask & 0o777}
	if m.opt.DefaultPermissions {
		what.UID, what.GID = in.Uid, in.Gid
	}
	if m.opt.UID != nil {
		what.UID = *m.opt.UID
	}
	if m.opt.GID != nil {
		what.GID = *m.opt.GID
	}
	return what
}

// create makes something and tells the kernel about it.
func (m *fileSystem) create(in *fuse.InHeader, name string, what vfs.New, use bool, out *fuse.EntryOut) (vfs.Node, fuse.Status) {
	dir, c, err := m.client(in.NodeId)
	if err != nil {
		return dir, m.status(err)
	}
	ino, err := c.Create(m.ctx, dir.Ino, name, what, use)
	if err != nil {
		return dir, m.status(err)
	}
	n := vfs.Node{Tree: dir.Tree, Ino: ino}
	id, status := m.entry(n, out)
	if status.Ok() && what.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		m.places.put(id, place{dir: in.NodeId})
	}
	return n, status
}

// entry tells the kernel about a node.
func (m *fileSystem) entry(n vfs.Node, out *fuse.EntryOut) (uint64, fuse.Status) {
	f, err := m.ns.Inode(m.ctx, n)
	if err != nil {
		return 0, m.status(err)
	}
	id, _ := m.fillEntry(n, f, out)
	return id, fuse.OK
}

// Create makes and opens a file.
func (m *fileSystem) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	_, status := m.create(&in.InHeader, name, m.newFile(&in.InHeader, syscall.S_IFREG|in.Mode&0o7777, in.Umask), true, &out.EntryOut)
	out.OpenFlags = m.openFlags(false)
	return status
}

// Tmpfile makes and opens a file without a name: O_TMPFILE.
func (m *fileSystem) Tmpfile(_ <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	dir, c, err := m.client(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	ino, err := c.CreateUnnamed(m.ctx, dir.Ino, m.newFile(&in.InHeader, syscall.S_IFREG|in.Mode&0o7777, in.Umask))
	if err != nil {
		return m.status(err)
	}
	out.OpenFlags = m.openFlags(false)
	_, status := m.entry(vfs.Node{Tree: dir.Tree, Ino: ino}, &out.EntryOut)
	return status
}

// Mknod makes a file, device node, FIFO or socket.
func (m *fileSystem) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	what := m.newFile(&in.InHeader, in.Mode, in.Umask)
	what.Rdev = in.Rdev
	_, status := m.create(&in.InHeader, name, what, false, out)
	return status
}

// Mkdir makes a directory.
func (m *fileSystem) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	_, status := m.create(&in.InHeader, name, m.newFile(&in.InHeader, syscall.S_IFDIR|in.Mode&0o7777, in.Umask), false, out)
	return status
}

// Symlink makes a symlink. Where absolute ones are shown below the mount point they are taken so too.
func (m *fileSystem) Symlink(_ <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	what := m.newFile(in, syscall.S_IFLNK|0o777, 0)
	what.Target = target
	if rest, below := strings.CutPrefix(target, m.dir+"/"); below && m.opt.RebaseLinks {
		what.Target = "/" + rest
	}
	_, status := m.create(in, name, what, false, out)
	return status
}

// Link gives a file another name in its own filesystem.
func (m *fileSystem) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	dir, c, err := m.client(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	n, err := m.node(in.Oldnodeid)
	if err != nil {
		return m.status(err)
	}
	if n.Tree != dir.Tree {
		return fuse.EXDEV
	}
	if err := c.Link(m.ctx, n.Ino, dir.Ino, name); err != nil {
		return m.status(err)
	}
	_, status := m.entry(n, out)
	return status
}

// Unlink takes a file's name away.
func (m *fileSystem) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return m.unlink(in, name, false)
}

// Rmdir removes an empty directory.
func (m *fileSystem) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return m.unlink(in, name, true)
}

func (m *fileSystem) unlink(in *fuse.InHeader, name string, isDir bool) fuse.Status {
	dir, c, err := m.client(in.NodeId)
	if err == nil {
		err = m.movable(dir, name)
	}
	if err == nil {
		err = c.Unlink(m.ctx, dir.Ino, name, isDir)
	}
	return m.status(err)
}

// movable is EBUSY for a name that the guest's filesystem does not decide about: a mount point, .guest.
func (m *fileSystem) movable(dir vfs.Node, name string) error {
	fixed, err := m.ns.Fixed(m.ctx, dir, name)
	if err == nil && fixed {
		err = syscall.EBUSY
	}
	return err
}

// Rename is renameat2(2).
func (m *fileSystem) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	src, c, err := m.client(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	dst, err := m.node(in.Newdir)
	if err != nil {
		return m.status(err)
	}
	if src.Tree != dst.Tree {
		return fuse.EXDEV
	}
	if err := errors.Join(m.movable(src, from), m.movable(dst, to)); err != nil {
		return m.status(err)
	}
	if err := c.Rename(m.ctx, src.Ino, from, dst.Ino, to, vfs.RenameFlags(in.Flags)); err != nil {
		return m.status(err)
	}
	if in.NodeId != in.Newdir {
		m.moved(dst, in.Newdir, to)
		if in.Flags&uint32(vfs.RenameExchange) != 0 {
			m.moved(src, in.NodeId, from)
		}
	}
	return fuse.OK
}

// moved remembers the new parent of a directory whose old one was remembered.
func (m *fileSystem) moved(dir vfs.Node, dirID uint64, name string) {
	n, err := m.ns.Lookup(m.ctx, dir, name)
	if err != nil {
		return
	}
	if _, id := m.number(n); id != dirID {
		if _, known := m.places.get(id); known {
			m.places.put(id, place{dir: dirID})
		}
	}
}
