package ext4

import (
	"cmp"
	"context"
	"slices"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/vfs"
)

// prefetchDirs bounds the directories whose first block is read ahead of a
// walk into them.
const prefetchDirs = 512

// Prefetch reads the tables that hold the inodes, in few sorted reads, and
// then the first block of those that are directories: who lists a directory
// with its attributes often goes on into what is below.
func (fs *FileSystem) Prefetch(ctx context.Context, inos []vfs.Ino) {
	nums := make([]uint32, 0, len(inos))
	for _, ino := range inos {
		if ino.Num > 0 && ino.Num <= uint64(fs.geo.inodes) {
			nums = append(nums, uint32(ino.Num))
		}
	}
	slices.Sort(nums)
	fs.prefetchTables(ctx, nums)
	fs.prefetchFirstBlocks(ctx, nums)
}

// prefetchTables reads the missing pieces of the tables, with what lies around
// them. nums is sorted.
func (fs *FileSystem) prefetchTables(ctx context.Context, nums []uint32) {
	var addrs []txn.Addr
	var from, to int64 // the window that was added last
	piece := fs.geo.tablePiece()
	for _, num := range nums {
		group, index := (num-1)/fs.geo.inodesPerGroup, (num-1)%fs.geo.inodesPerGroup
		r, err := fs.descRun(ctx, group)
		if err != nil || r.table[group-r.first] == 0 {
			continue
		}
		at := r.table[group-r.first] + int64(index)*int64(fs.geo.inodeSize)&^(piece-1)
		if from <= at && at < to {
			continue
		}
		if _, ok := fs.store.Peek(at, fs.kinds.inodes); ok {
			from, to = at, at+piece
			continue
		}
		before := len(addrs)
		addrs = fs.tableWindow(addrs, r, group, at)
		if len(addrs) > before {
			from, to = addrs[before].Off, addrs[len(addrs)-1].Off+piece
		}
	}
	if len(addrs) > 0 {
		fs.store.Prefetch(ctx, addrs, fs.kinds.inodes)
	}
}

// prefetchFirstBlocks reads the first block of the directories among nums.
func (fs *FileSystem) prefetchFirstBlocks(ctx context.Context, nums []uint32) {
	var addrs []txn.Addr
	for _, num := range nums {
		if len(addrs) >= prefetchDirs || ctx.Err() != nil {
			break
		}
		if !fs.looksLikeDir(ctx, num) {
			continue
		}
		n, err := fs.iget(ctx, num)
		if err != nil || n.fileType() != syscall.S_IFDIR || n.flag(flagInlineData) || n.flag(flagExtents) && extentNode(n.raw.iBlock()).depth() > 0 {
			continue
		}
		if r, err := n.runAt(ctx, 0); err == nil && !r.hole() {
			if at, err := fs.blockAddr(r.start, fs.kinds.dir, n); err == nil {
				addrs = append(addrs, at)
			}
		}
	}
	slices.SortFunc(addrs, func(a, b txn.Addr) int { return cmp.Compare(a.Off, b.Off) })
	if len(addrs) > 1 {
		fs.store.Prefetch(ctx, addrs, fs.kinds.dir)
	}
}

// looksLikeDir says whether an inode in memory is a directory, if its bytes
// are right.
func (fs *FileSystem) looksLikeDir(ctx context.Context, num uint32) bool {
	group, index := (num-1)/fs.geo.inodesPerGroup, (num-1)%fs.geo.inodesPerGroup
	r, err := fs.descRun(ctx, group)
	if err != nil || r.table[group-r.first] == 0 {
		return false
	}
	in, piece := int64(index)*int64(fs.geo.inodeSize), fs.geo.tablePiece()
	b, ok := fs.store.Peek(r.table[group-r.first]+in&^(piece-1), fs.kinds.inodes)
	return ok && rawInode(b[in&(piece-1):]).mode()&syscall.S_IFMT == syscall.S_IFDIR
}
