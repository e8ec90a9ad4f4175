package btrfs

import (
	"cmp"
	"context"
	"slices"

	"github.com/guestctl/guestctl/vfs"
)

// Prefetch reads the leaves that hold the items of the inodes, in few sorted
// reads. What a directory holds, and the data of small files, is mostly in the
// same leaves.
func (fs *FileSystem) Prefetch(ctx context.Context, inos []vfs.Ino) {
	sorted := slices.Clone(inos)
	for i := range sorted {
		if sorted[i].Tree == fs.main {
			sorted[i].Tree = 0
		}
	}
	slices.SortFunc(sorted, func(a, b vfs.Ino) int { return cmp.Or(cmp.Compare(a.Tree, b.Tree), cmp.Compare(a.Num, b.Num)) })
	for len(sorted) > 0 && ctx.Err() == nil {
		id := sorted[0].Tree
		var keys []key
		for len(sorted) > 0 && sorted[0].Tree == id {
			if num := sorted[0].Num; num >= firstFreeID && num < emptyBit {
				keys = append(keys, key{num, inodeItemType, 0})
			}
			sorted = sorted[1:]
		}
		sv, err := fs.subvolume(ctx, id)
		if err != nil || len(keys) == 0 {
			continue
		}
		if addrs := sv.leaves(ctx, keys); len(addrs) > 0 {
			fs.prefetchBlocks(ctx, addrs)
		}
	}
}
