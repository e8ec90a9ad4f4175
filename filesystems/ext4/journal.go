package ext4

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// overlayLimit bounds the memory of the replay overlay, in bytes. A redirected
// block costs 96 of them.
const overlayLimit = 256 << 20

// recoverJournal makes fs read as the kernel's recovery would leave it: the
// journal is replayed into an overlay, which becomes fs.dev, then the fast
// commits into fs.edits, then the orphans are looked at. The device is not
// written.
//
// As in the kernel the feature needs_recovery decides: where it is not set the
// journal is not looked at, whatever it holds.
func recoverJournal(ctx context.Context, fs *FileSystem) error {
	if fs.sb.hasIncompat(incompatRecover) {
		if err := fs.replayJournal(ctx); err != nil {
			return fmt.Errorf("the journal, which holds changes, cannot be replayed: %w; norecovery opens the filesystem as it is without them", err)
		}
	}
	if !fs.sb.hasCompat(compatHasJournal) && fs.opt.Sidecar != nil {
		if err := fs.recoverRedo(ctx); err != nil {
			// Somebody else has used the volume since: what he left is shown.
			fs.log.WarnContext(ctx, "ext4: the log beside the image is not used", slog.Any("err", err))
		}
	}
	fs.findOrphans(ctx)
	return nil
}

// replayJournal replays the journal and its fast commits.
func (fs *FileSystem) replayJournal(ctx context.Context) error {
	if !fs.sb.hasCompat(compatHasJournal) {
		fs.log.WarnContext(ctx, "ext4: needs_recovery is set on a filesystem without a journal")
		return nil
	}
	dev, err := fs.journal(ctx)
	if err != nil {
		return err
	}
	j, err := jbd2.Open(ctx, dev, fs.geo.blockSize, fs.log)
	if err != nil {
		return err
	}
	if n := j.Errno(); n != 0 {
		fs.log.WarnContext(ctx, "ext4: the kernel recorded an error in the journal; the filesystem should be checked", slog.Int("errno", n))
	}
	overlay, err := block.NewOverlay(fs.base, int64(fs.geo.blockSize), overlayLimit)
	if err != nil {
		return err
	}
	replay, err := j.Recover(ctx, overlay)
	if err != nil {
		return err
	}
	fs.replay = replay
	if replay.Clean {
		return nil
	}
	// The superblock and the descriptors may be among what was replayed.
	if err := fs.use(ctx, overlay); err != nil {
		return fmt.Errorf("after the replay: %w", err)
	}
	fs.log.InfoContext(ctx, "ext4: journal replayed into memory", slog.Int("transactions", replay.Transactions),
		slog.Int("blocks", replay.Blocks), slog.Int("revoked", replay.Revoked))
	if replay.Torn != "" {
		// Fast commits belong to the transaction after the last one, which is not the one that they follow.
		return nil
	}
	return fs.replayFastCommits(ctx, j)
}

// journal is the bytes of the journal inode, as the device has them before
// any replay.
func (fs *FileSystem) journal(ctx context.Context) (block.Device, error) {
	num, dev := fs.sb.journalInum(), fs.sb.journalDev()
	switch {
	case num != 0 && dev != 0:
		return nil, ondisk.Corrupt("ext4 superblock", superOffset, "both a journal inode, %d, and a journal device, %#x", num, dev)
	case num == 0 && dev == 0:
		return nil, ondisk.Corrupt("ext4 superblock", superOffset, "has_journal without a journal")
	case num == 0:
		return nil, ondisk.Unsupported("ext4 filesystem", "an external journal (device %d:%d, UUID %x)", dev>>8&0xFFF, dev&0xFF, fs.sb.journalUUID())
	}
	n, err := fs.iget(ctx, num)
	if err != nil {
		return nil, fmt.Errorf("journal inode: %w", err)
	}
	if n.fileType() != syscall.S_IFREG || n.raw.links() == 0 {
		return nil, n.corrupt(ctx, "mode %#o with %d links is no journal", n.raw.mode(), n.raw.links())
	}
	return n.whole(ctx)
}

// maxJournalExtents bounds the pieces of a journal.
const maxJournalExtents = 1 << 20

// whole is the contents of a file without holes as a device, so that places in
// the file are places on the device.
func (n *inode) whole(ctx context.Context) (block.Device, error) {
	var parts []block.Device
	size := n.size() &^ int64(n.fs.geo.blockSize-1)
	for off := int64(0); off < size; {
		x, err := n.Map(ctx, off, size-off)
		if err != nil {
			return nil, err
		}
		if x.Dev == nil || x.Len <= 0 || len(parts) >= maxJournalExtents {
			return nil, n.corrupt(ctx, "no block at byte %d of %d", off, size)
		}
		part, err := block.Section(x.Dev, x.Off, x.Len)
		if err != nil {
			return nil, n.fs.beyond(fmt.Sprintf("ext4 inode %d", n.num), x.Off)
		}
		parts = append(parts, part)
		off += x.Len
	}
	return block.Concat(parts...)
}
