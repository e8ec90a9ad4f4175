package xfs

import (
	"syscall"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/vfs"
)

// Attr decodes the inode's bytes.
func (n *inode) Attr() vfs.Attr {
	r := n.raw
	a := vfs.Attr{
		Mode: uint32(r.Mode()), Nlink: n.links(), UID: r.UID(), GID: r.GID(),
		Size: n.size(), Blocks: n.blocks() << (n.fs.geo.BlockLog - layout.SectorLog),
		Atime: n.time(r.Atime()), Mtime: n.time(r.Mtime()), Ctime: n.time(r.Ctime()),
		Project: n.project(), NoXattr: n.provesNoXattr(),
	}
	if r.Version() >= 3 {
		a.Btime = n.time(r.Crtime())
	}
	for _, f := range [...]struct {
		bit  uint16
		flag vfs.Flags
	}{{layout.FlagImmutable, vfs.FlagImmutable}, {layout.FlagAppend, vfs.FlagAppend}, {layout.FlagNoDump, vfs.FlagNoDump}} {
		if r.Flags()&f.bit != 0 {
			a.Flags |= f.flag
		}
	}
	switch n.fileType() {
	case syscall.S_IFCHR, syscall.S_IFBLK:
		a.Rdev = rdev(n.fork(dataFork).bytes)
	}
	return a
}

// blocks is di_nblocks, both forks with their trees, in filesystem blocks.
func (n *inode) blocks() int64 {
	// A disk has fewer, so that a damaged count is cut rather than shifted out.
	blocks := int64(min(n.raw.Blocks(), n.fs.geo.Blocks))
	if n.edit != nil {
		blocks = max(0, blocks+n.edit.blocks)
	}
	return blocks
}

// time is a time stamp: nanoseconds since 1901 in one number, or seconds and
// nanoseconds of 32 bits each.
func (n *inode) time(v uint64) vfs.Time {
	const second = 1_000_000_000
	if n.raw.Bigtime() {
		return vfs.Time{Sec: int64(v/second) + layout.BigtimeEpoch, Nsec: uint32(v % second)}
	}
	return vfs.Time{Sec: int64(int32(v >> 32)), Nsec: min(uint32(v), second-1)}
}

// project is the project number. Inodes of version 1 have none, and in old
// filesystems it has 16 bits.
func (n *inode) project() uint32 {
	if n.raw.Version() == 1 {
		return 0
	}
	if !n.fs.geo.ProjID32 {
		return uint32(n.raw.ProjectLo())
	}
	return uint32(n.raw.ProjectHi())<<16 | uint32(n.raw.ProjectLo())
}

// rdev turns the device number of IRIX, a minor of 18 bits below a major of
// 14, into the form of vfs.Attr.
func rdev(fork []byte) uint32 {
	if len(fork) < 4 {
		return 0
	}
	v := layout.DeviceNumber(fork)
	major, minor := v>>18&0x3fff, v&0x3ffff
	return minor&0xff | major<<8 | minor&^0xff<<12
}

// provesNoXattr says that the inode alone shows that it has no attributes.
func (n *inode) provesNoXattr() bool {
	f := n.fork(attrFork)
	switch {
	case len(f.bytes) == 0:
		return true
	case f.format == layout.FormatLocal:
		return len(f.bytes) >= layout.ShortAttrsHeader && layout.ShortAttrs(f.bytes).Count() == 0
	case f.format == layout.FormatExtents:
		return f.count == 0
	}
	return false
}
