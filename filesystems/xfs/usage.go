package xfs

import (
	"context"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// setAside is how many blocks of each group the kernel keeps for the trees
	// of free space and their list.
	setAside = 8
	// maxInodes bounds the number of inodes.
	maxInodes = 1<<56 - 1
)

// Usage is what the kernel's statfs says of a read-only mount. The superblock's
// counters are right where the filesystem was unmounted cleanly; otherwise, as
// in recovery, the groups' are summed.
func (fs *FileSystem) Usage(ctx context.Context) (vfs.Usage, error) {
	sb, geo := fs.sb, fs.geo
	free, inodes, freeInodes := sb.FreeBlocks(), sb.InodeCount(), sb.FreeInodes()
	var sum groupSums
	if fs.dirty() || fs.reservesBlocks() {
		var err error
		if sum, err = fs.sumGroups(ctx); err != nil {
			return vfs.Usage{}, err
		}
	}
	if fs.dirty() {
		free, inodes, freeInodes = sum.free+uint64(fs.unlinked.blocks), sum.inodes, sum.freeInodes+uint64(fs.unlinked.inodes)
	}
	u := vfs.Usage{BlockSize: geo.BlockSize, Blocks: geo.Blocks}
	if geo.LogStart != 0 {
		u.Blocks -= min(u.Blocks, uint64(geo.LogBlocks))
	}
	free = min(free, u.Blocks)
	free -= min(free, setAside*uint64(geo.AGCount)+sum.treeBlocks)
	u.Free, u.Available = free, free
	inodes = min(inodes, geo.Blocks<<geo.InopbLog)
	u.Files = min(inodes+free<<geo.InopbLog, maxInodes)
	if p := uint64(sb.MaxInodePercent()); p != 0 && p <= 100 {
		u.Files = min(u.Files, (geo.Blocks/100*p+geo.Blocks%100*p/100)<<geo.InopbLog)
	}
	u.Files = max(u.Files, inodes)
	u.FilesFree = u.Files - min(u.Files, inodes-min(inodes, freeInodes))
	return u, nil
}

// groupSums are the counters of all groups together.
type groupSums struct {
	free       uint64 // blocks, those of the free space trees included
	treeBlocks uint64 // of the free space trees, without their roots; 0 where no blocks are reserved
	inodes     uint64
	freeInodes uint64
}

func (fs *FileSystem) sumGroups(ctx context.Context) (s groupSums, err error) {
	for ag := range fs.geo.AGCount {
		f, err := fs.agf(ctx, ag)
		if err != nil {
			return s, err
		}
		i, err := fs.agi(ctx, ag)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return s, err
		}
		s.free += uint64(f.FreeBlocks()) + uint64(f.FLCount()) + uint64(f.BtreeBlocks())
		if fs.reservesBlocks() {
			trees := uint64(f.BtreeBlocks())
			if fs.sb.ROCompat()&layout.RORmapbt != 0 && f.RmapBlocks() > 0 {
				trees -= min(trees, uint64(f.RmapBlocks())-1)
			}
			s.treeBlocks += trees
		}
		s.inodes += uint64(i.Count())
		s.freeInodes += uint64(i.FreeCount())
	}
	return s, nil
}

// reservesBlocks says whether the kernel reserves blocks for trees when it
// mounts. Only then does it know, and take away, the blocks of the free space
// trees.
func (fs *FileSystem) reservesBlocks() bool {
	return fs.geo.CRC && fs.sb.ROCompat()&(layout.ROFinobt|layout.RORmapbt|layout.ROReflink) != 0
}
