package xfs

import (
	"context"
	"log/slog"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Unlinked inodes were deleted while they were open when the filesystem was
// last in use. They wait in lists that begin in the header of each group, and
// the kernel frees them when it recovers.
//
// Nothing of an inode without links is shown anyway, so that all there is to
// do is to count, for statfs, and to say what is damaged. A damaged list never
// stops a mount.
type unlinked struct {
	inodes int64
	blocks int64 // those that no other file shares, as far as their inodes tell
}

// maxUnlinked bounds how many are looked at.
const maxUnlinked = 1 << 20

// countUnlinked walks the lists of all groups.
func (fs *FileSystem) countUnlinked(ctx context.Context) {
	seen := make(map[uint64]bool)
	for ag := range fs.geo.AGCount {
		agi, err := fs.agi(ctx, ag)
		if err != nil {
			fs.log.WarnContext(ctx, "xfs: the unlinked inodes of a group cannot be counted", slog.Uint64("group", uint64(ag)), slog.Any("err", err))
			continue
		}
		for bucket := range layout.UnlinkedBuckets {
			if err := fs.unlinkedList(ctx, ag, agi.Unlinked(bucket), seen); err != nil {
				fs.log.WarnContext(ctx, "xfs: a list of unlinked inodes is damaged", slog.Uint64("group", uint64(ag)), slog.Any("err", err))
			}
		}
	}
	if fs.unlinked.inodes > 0 {
		fs.log.InfoContext(ctx, "xfs: unlinked inodes are not shown", slog.Int64("inodes", fs.unlinked.inodes))
	}
}

func (fs *FileSystem) unlinkedList(ctx context.Context, ag, agino uint32, seen map[uint64]bool) error {
	for agino != layout.NullAGIno {
		num := uint64(ag)<<fs.geo.AGInoLog() | uint64(agino)
		if seen[num] || len(seen) >= maxUnlinked || uint64(agino) >= 1<<fs.geo.AGInoLog() {
			return ondisk.Corrupt("xfs AGI", fs.geo.HeaderOffset(ag, layout.AGISector), "a list of unlinked inodes comes back to inode %d, or is too long", num)
		}
		seen[num] = true
		n, err := fs.iget(ctx, num)
		if err != nil {
			return err
		}
		if n.links() != 0 {
			return n.corrupt("it is in a list of unlinked inodes and has %d links", n.links())
		}
		fs.unlinked.inodes++
		if n.raw.Version() < 3 || n.raw.Flags2()&layout.Flag2Reflink == 0 {
			fs.unlinked.blocks += n.blocks()
		}
		agino = n.raw.NextUnlinked()
	}
	return nil
}
