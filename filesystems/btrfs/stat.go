package btrfs

import (
	"math"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// Attr decodes the inode's bytes.
func (n *inode) Attr() vfs.Attr {
	r := n.raw
	a := vfs.Attr{
		Mode: r.mode(), Nlink: r.nlink(), UID: r.uid(), GID: r.gid(), Size: n.size(), Blocks: n.blocks(),
		Atime: timeOf(r.atime()), Mtime: timeOf(r.mtime()), Ctime: timeOf(r.ctime()), Btime: timeOf(r.otime()),
		NoXattr: n.noXattr,
	}
	for _, f := range [...]struct {
		bit  uint64
		flag vfs.Flags
	}{
		{inodeImmutable, vfs.FlagImmutable}, {inodeAppend, vfs.FlagAppend}, {inodeNoDump, vfs.FlagNoDump},
		{inodeCompress, vfs.FlagCompressed}, {inodeVerity, vfs.FlagVerity},
	} {
		if r.flags()&f.bit != 0 {
			a.Flags |= f.flag
		}
	}
	switch n.fileType() {
	case syscall.S_IFCHR, syscall.S_IFBLK:
		a.Rdev = rdev(r.rdev())
	}
	return a
}

// blocks is what Linux shows: the bytes of data, in whole sectors.
func (n *inode) blocks() int64 {
	sector := uint64(n.fs.geo.sector)
	bytes := min(n.raw.nbytes(), math.MaxInt64-sector)
	return int64((bytes + sector - 1) &^ (sector - 1) >> 9)
}

func timeOf(t diskTime) vfs.Time {
	return vfs.Time{Sec: t.sec(), Nsec: min(t.nsec(), 999_999_999)}
}

// rdev turns Linux's own device number, a minor of 20 bits below the major,
// into the form of vfs.Attr.
func rdev(dev uint64) uint32 {
	major, minor := uint32(dev>>20)&0xfff, uint32(dev)&0xfffff
	return minor&0xff | major<<8 | minor&^0xff<<12
}
