package xfs

import (
	"cmp"
	"context"
	"slices"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/vfs"
)

// prefetchDirs bounds the directories whose first block is read ahead of a
// walk into them.
const prefetchDirs = 512

// Prefetch reads the clusters that hold the inodes, in few sorted reads, and
// then the first block of those that are directories: who lists a directory
// with its attributes often goes on into what is below.
func (fs *FileSystem) Prefetch(ctx context.Context, inos []vfs.Ino) {
	nums := make([]uint64, 0, len(inos))
	for _, ino := range inos {
		if fs.geo.ValidIno(ino.Num) {
			nums = append(nums, ino.Num)
		}
	}
	slices.Sort(nums)
	nums = slices.Compact(nums)
	fs.prefetchClusters(ctx, nums)
	fs.prefetchFirstBlocks(ctx, nums)
}

// prefetchClusters reads the missing pieces of clusters, with what lies around
// them. nums is sorted.
func (fs *FileSystem) prefetchClusters(ctx context.Context, nums []uint64) {
	var addrs []txn.Addr
	var from, to int64 // the window that was added last
	piece := fs.piece()
	for _, num := range nums {
		at := fs.geo.InoOffset(num) &^ (piece - 1)
		if from <= at && at < to {
			continue
		}
		if _, ok := fs.store.Peek(at, fs.kinds.inodes); ok {
			from, to = at, at+piece
			continue
		}
		before := len(addrs)
		addrs = fs.clusterWindow(addrs, num)
		if len(addrs) > before {
			from, to = addrs[before].Off, addrs[len(addrs)-1].Off+piece
		}
	}
	if len(addrs) > 0 {
		fs.store.Prefetch(ctx, addrs, fs.kinds.inodes)
	}
}

// prefetchFirstBlocks reads the first block of the directories among nums.
func (fs *FileSystem) prefetchFirstBlocks(ctx context.Context, nums []uint64) {
	var addrs []txn.Addr
	size := uint64(fs.geo.DirSize) >> fs.geo.BlockLog
	for _, num := range nums {
		if len(addrs) >= prefetchDirs || ctx.Err() != nil {
			break
		}
		raw, err := fs.rawInode(ctx, num)
		if err != nil || raw.Magic() != layout.InodeMagic || uint32(raw.Mode())&syscall.S_IFMT != syscall.S_IFDIR || raw.Format() != layout.FormatExtents {
			continue
		}
		n, err := fs.iget(ctx, num)
		if err != nil {
			continue
		}
		if r, err := n.fork(dataFork).runAt(ctx, 0); err == nil && r.mapped && !r.unwritten && r.len >= size {
			if at, err := n.blockAddr(r.start, size, fs.kinds.dirData.Name); err == nil {
				addrs = append(addrs, at)
			}
		}
	}
	slices.SortFunc(addrs, func(a, b txn.Addr) int { return cmp.Compare(a.Off, b.Off) })
	if len(addrs) > 1 {
		fs.store.Prefetch(ctx, addrs, fs.kinds.dirData)
	}
}
