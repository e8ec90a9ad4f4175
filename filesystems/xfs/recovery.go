package xfs

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/xlog"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	// overlayLimit bounds the memory of the replay overlay, in bytes.
	overlayLimit = 512 << 20
	// overlayBlock is its unit, in bytes, where blocks are no smaller.
	overlayBlock = 4096
)

// recoverLog makes fs read as the kernel's recovery would leave it: the log is
// replayed into an overlay, which becomes fs.dev, then its intents into
// fs.edits, then the unlinked inodes are counted. The device is not written.
func (fs *FileSystem) recoverLog(ctx context.Context) error {
	if fs.sb.LogStart() == 0 {
		return &ondisk.UnsupportedError{What: "xfs filesystem", Detail: "a log on another device",
			Remedy: "norecovery opens the filesystem as it is without what the log may hold"}
	}
	if err := fs.replayLog(ctx); err != nil {
		return fmt.Errorf("the log cannot be replayed: %w; norecovery opens the filesystem as it is without it", err)
	}
	if fs.dirty() {
		fs.countUnlinked(ctx)
	}
	return nil
}

func (fs *FileSystem) replayLog(ctx context.Context) error {
	j, err := xlog.Open(ctx, fs.base, fs.geo, fs.headers, fs.log)
	if err != nil {
		return err
	}
	if j.Clean() {
		fs.replay = txn.Replay{Clean: true}
		return nil
	}
	overlay, err := block.NewOverlay(fs.base, int64(min(fs.geo.BlockSize, overlayBlock)), overlayLimit)
	if err != nil {
		return err
	}
	if fs.replay, err = j.Recover(ctx, overlay); err != nil {
		return err
	}
	// The superblock may be among what was replayed.
	if err := fs.use(ctx, overlay); err != nil {
		return fmt.Errorf("after the replay: %w", err)
	}
	fs.log.InfoContext(ctx, "xfs: log replayed into memory", slog.Any("log", j), slog.Int("transactions", fs.replay.Transactions),
		slog.Int("buffers", fs.replay.Blocks), slog.Int("cancelled", fs.replay.Revoked))
	return fs.applyIntents(ctx, j.Intents())
}
