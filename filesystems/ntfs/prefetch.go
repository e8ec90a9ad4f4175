package ntfs

import (
	"context"
	"slices"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/vfs"
)

// prefetchDirs bounds the directories whose first block is read ahead of a
// walk into them.
const prefetchDirs = 512

// Prefetch reads the records of inos with those around them, in few sorted
// reads, and then the first index block of those that are directories.
func (fs *FileSystem) Prefetch(ctx context.Context, inos []vfs.Ino) {
	nums := make([]uint64, 0, len(inos))
	for _, ino := range inos {
		if ino.Num < uint64(fs.mft.size/fs.geo.record) {
			nums = append(nums, ino.Num)
		}
	}
	slices.Sort(nums)
	nums = slices.Compact(nums)
	var addrs []txn.Addr
	done := int64(-1) // end of the window that was added last
	for _, num := range nums {
		off := int64(num) * fs.geo.record
		if off < done {
			continue
		}
		if _, ok := fs.records.Peek(fs.piece(off).Off, fs.kinds.records); ok {
			continue
		}
		addrs = fs.window(addrs, off)
		last := addrs[len(addrs)-1]
		done = last.Off + int64(last.Len)
	}
	if len(addrs) > 0 {
		fs.records.Prefetch(ctx, addrs, fs.kinds.records)
	}
	fs.prefetchDirs(ctx, nums)
}

// prefetchDirs reads the first index block of the directories among nums whose
// records are in memory.
func (fs *FileSystem) prefetchDirs(ctx context.Context, nums []uint64) {
	var addrs []txn.Addr
	for _, num := range nums {
		if len(addrs) >= prefetchDirs || ctx.Err() != nil {
			break
		}
		off := int64(num) * fs.geo.record
		at := fs.piece(off)
		b, ok := fs.records.Peek(at.Off, fs.kinds.records)
		if !ok {
			continue
		}
		r := record(b[off-at.Off:][:fs.geo.record])
		if checkRecord(r, num, fs.recordOffset) != nil || r.flags()&(recordInUse|recordDirectory) != recordInUse|recordDirectory {
			continue
		}
		f := file{fs: fs, num: num, rec: r}
		var alloc stream
		if ok, err := f.find(ctx, typeIndexAllocation, []byte(i30), &alloc); !ok || err != nil || alloc.resident() || alloc.size == 0 {
			continue
		}
		size := min(fs.geo.indexBlock, alloc.size)
		if ext, err := alloc.mapAt(ctx, 0, size); err == nil && ext.Kind == vfs.Mapped && ext.Len == size && size == fs.geo.indexBlock {
			addrs = append(addrs, txn.Addr{Off: ext.Off, Len: int(size)})
		}
	}
	if len(addrs) > 0 {
		fs.store.Prefetch(ctx, addrs, fs.kinds.index)
	}
}
