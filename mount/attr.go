package mount

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/vfs"
)

// fillEntry tells the kernel about f, found under a name: its node id and attributes, and for how long they hold.
func (m *fileSystem) fillEntry(n vfs.Node, f vfs.Inode, out *fuse.EntryOut) (id uint64, a vfs.Attr) {
	number, id := m.number(n)
	a = f.Attr()
	out.NodeId = id
	out.Generation = f.Ino().Gen
	if facts := m.facts(n.Tree); !(facts.made && a.Mode&syscall.S_IFMT == syscall.S_IFREG) {
		out.SetEntryTimeout(m.entryTTL)
		out.SetAttrTimeout(m.attrTTL)
	}
	m.fillAttr(number, n, f, &a, &out.Attr)
	return id, a
}

// attrTimeout is how long the kernel may keep a's attributes: not at all where a file is made at its first look.
func (m *fileSystem) attrTimeout(n vfs.Node, a *vfs.Attr) time.Duration {
	if a.Mode&syscall.S_IFMT == syscall.S_IFREG && m.facts(n.Tree).made {
		return 0
	}
	return m.attrTTL
}

func (m *fileSystem) fillAttr(number uint64, n vfs.Node, f vfs.Inode, a *vfs.Attr, out *fuse.Attr) {
	out.Ino = number
	out.Size = m.size(f, a)
	out.Blocks = uint64(a.Blocks)
	out.Atime, out.Atimensec = uint64(a.Atime.Sec), a.Atime.Nsec
	out.Mtime, out.Mtimensec = uint64(a.Mtime.Sec), a.Mtime.Nsec
	out.Ctime, out.Ctimensec = uint64(a.Ctime.Sec), a.Ctime.Nsec
	out.Mode = a.Mode
	out.Nlink = a.Nlink
	out.Uid, out.Gid = m.owner(a)
	out.Rdev = a.Rdev
	out.Blksize = m.facts(n.Tree).blockSize
}

func (m *fileSystem) owner(a *vfs.Attr) (uid, gid uint32) {
	uid, gid = a.UID, a.GID
	if m.opt.UID != nil {
		uid = *m.opt.UID
	}
	if m.opt.GID != nil {
		gid = *m.opt.GID
	}
	return uid, gid
}

// size is a's, but that of a rebased symlink's target.
func (m *fileSystem) size(f vfs.Inode, a *vfs.Attr) uint64 {
	if m.opt.RebaseLinks && a.Mode&syscall.S_IFMT == syscall.S_IFLNK {
		if target, err := f.Readlink(m.ctx); err == nil {
			return uint64(len(m.rebase(target)))
		}
	}
	return uint64(a.Size)
}

// GetAttr is stat(2).
func (m *fileSystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, f, err := m.inode(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	a := f.Attr()
	out.SetTimeout(m.attrTimeout(n, &a))
	m.fillAttr(m.ns.Number(n), n, f, &a, &out.Attr)
	return fuse.OK
}

// statxFlags are the attributes of statx(2) that a guest's filesystem may tell.
const statxFlags = vfs.FlagCompressed | vfs.FlagImmutable | vfs.FlagAppend | vfs.FlagNoDump | vfs.FlagEncrypted | vfs.FlagVerity

// Statx is statx(2) where it asks for what stat(2) does not tell: the time of birth.
func (m *fileSystem) Statx(_ <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	n, f, err := m.inode(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	a := f.Attr()
	out.SetTimeout(m.attrTimeout(n, &a))
	out.Mask = unix.STATX_BASIC_STATS
	out.Blksize = m.facts(n.Tree).blockSize
	out.Attributes = uint64(a.Flags & statxFlags)
	out.AttributesMask = uint64(statxFlags)
	out.Nlink = a.Nlink
	out.Uid, out.Gid = m.owner(&a)
	out.Mode = uint16(a.Mode)
	out.Ino = m.ns.Number(n)
	out.Size = m.size(f, &a)
	out.Blocks = uint64(a.Blocks)
	out.Atime, out.Ctime, out.Mtime = sxTime(a.Atime), sxTime(a.Ctime), sxTime(a.Mtime)
	if a.Btime != (vfs.Time{}) {
		out.Mask |= unix.STATX_BTIME
		out.Btime = sxTime(a.Btime)
	}
	// new_encode_dev, include/linux/kdev_t.h.
	out.RdevMajor = a.Rdev & 0xfff00 >> 8
	out.RdevMinor = a.Rdev&0xff | a.Rdev>>12&0xfff00
	return fuse.OK
}

func sxTime(t vfs.Time) fuse.SxTime { return fuse.SxTime{Sec: uint64(t.Sec), Nsec: t.Nsec} }
