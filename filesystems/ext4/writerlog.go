package ext4

import (
	"context"
	"fmt"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2"
	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/txn/redo"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// openLog recovers the filesystem to the device and gives the log that takes
// its changes: its journal, or one beside the image.
func (fs *FileSystem) openLog(ctx context.Context, dev block.Writer) (txn.Appender, error) {
	if !fs.sb.hasCompat(compatHasJournal) {
		return fs.openRedo(ctx, dev)
	}
	journal, err := fs.journalWriter(ctx, dev)
	if err != nil {
		return nil, err
	}
	var j *jbd2.Journal
	if fs.sb.hasIncompat(incompatRecover) {
		if j, err = fs.recoverTo(ctx, journal, dev); err != nil {
			return nil, fmt.Errorf("the journal, which holds changes, cannot be replayed: %w", err)
		}
	} else {
		if j, err = jbd2.Open(ctx, journal, fs.geo.blockSize, fs.log); err != nil {
			return nil, err
		}
		if !j.Clean() {
			return nil, &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: "writing: the journal holds changes, but the superblock says that nothing needs recovery", Remedy: "run e2fsck"}
		}
	}
	return jbd2.NewWriter(ctx, j, journal, jbd2.Features{Checksums: fs.geo.metadataCsum, Wide: fs.sb.hasIncompat(incompat64bit)})
}

// newRedo is the log beside the image. Its owner is what every other user of
// the filesystem changes: the times and counts of mounts and checks.
func (fs *FileSystem) newRedo() (*redo.Log, error) {
	return redo.New(fs.opt.Sidecar, fs.sb.lastUse(), fs.geo.blockSize)
}

// openRedo replays the log beside the image home.
func (fs *FileSystem) openRedo(ctx context.Context, dev block.Writer) (*redo.Log, error) {
	log, err := fs.newRedo()
	if err != nil {
		return nil, err
	}
	replay, err := log.Recover(ctx, dev)
	if err != nil {
		return nil, err
	}
	fs.replay = replay
	if !replay.Clean {
		if err := dev.Sync(txn.BarrierRecovered.With(ctx)); err != nil {
			return nil, err
		}
		if err := fs.use(ctx, fs.base); err != nil {
			return nil, fmt.Errorf("after the replay: %w", err)
		}
		fs.geo.writable = true
		if err := fs.cannotWrite(); err != nil {
			return nil, err
		}
		// What was replayed is home: the log holds nothing from here on.
		if err := log.Start(ctx, dev); err != nil {
			return nil, err
		}
		fs.log.InfoContext(ctx, "ext4: log replayed", "log", fs.opt.Sidecar.String(), "transactions", replay.Transactions, "blocks", replay.Blocks)
	}
	if fs.sb.state()&stateValid == 0 && !log.Started() {
		return nil, &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: "writing: it has no journal, and its last user ended without unmounting it", Remedy: "run e2fsck"}
	}
	return log, nil
}

// recoverRedo shows what the log beside the image holds, where it is the
// volume's.
func (fs *FileSystem) recoverRedo(ctx context.Context) error {
	log, err := fs.newRedo()
	if err != nil {
		return err
	}
	overlay, err := block.NewOverlay(fs.base, int64(fs.geo.blockSize), overlayLimit)
	if err != nil {
		return err
	}
	replay, err := log.Recover(ctx, overlay)
	if err != nil || replay.Clean {
		return err
	}
	fs.replay = replay
	if err := fs.use(ctx, overlay); err != nil {
		return fmt.Errorf("after the replay: %w", err)
	}
	fs.log.InfoContext(ctx, "ext4: log replayed into memory", "log", fs.opt.Sidecar.String(), "transactions", replay.Transactions, "blocks", replay.Blocks)
	return nil
}

// recoverTo replays the journal home and reads the filesystem anew. First it is
// replayed into memory: where that shows that the filesystem cannot be
// written, nothing was.
func (fs *FileSystem) recoverTo(ctx context.Context, journal block.Device, dev block.Writer) (*jbd2.Journal, error) {
	if err := fs.tryRecovery(ctx, journal); err != nil {
		return nil, err
	}
	j, err := jbd2.Open(ctx, journal, fs.geo.blockSize, fs.log)
	if err != nil {
		return nil, err
	}
	replay, err := j.Recover(ctx, dev)
	if err != nil {
		return nil, err
	}
	fs.replay = replay
	if err := dev.Sync(txn.BarrierRecovered.With(ctx)); err != nil {
		return nil, err
	}
	if err := fs.use(ctx, fs.base); err != nil {
		return nil, fmt.Errorf("after the replay: %w", err)
	}
	fs.geo.writable = true
	fs.log.InfoContext(ctx, "ext4: journal replayed", "transactions", replay.Transactions, "blocks", replay.Blocks)
	return j, nil
}

// tryRecovery says why a filesystem whose journal holds changes cannot be
// written.
func (fs *FileSystem) tryRecovery(ctx context.Context, journal block.Device) error {
	j, err := jbd2.Open(ctx, journal, fs.geo.blockSize, fs.log)
	if err != nil {
		return err
	}
	overlay, err := block.NewOverlay(fs.base, int64(fs.geo.blockSize), overlayLimit)
	if err != nil {
		return err
	}
	replay, err := j.Recover(ctx, overlay)
	if err != nil {
		return err
	}
	if replay.Torn != "" {
		// What is home may be newer than what is left of the log.
		return &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: "writing with a damaged journal: " + replay.Torn, Remedy: "run e2fsck, or open it read-only"}
	}
	if err := fs.use(ctx, overlay); err != nil {
		return fmt.Errorf("after the replay: %w", err)
	}
	if err := fs.cannotWrite(); err != nil {
		return err
	}
	// Fast commits change the filesystem by rules of their own, which are not made transactions of.
	if err := fs.replayFastCommits(ctx, j); err != nil {
		return err
	}
	if fs.edits != nil {
		return &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: "writing with fast commits to replay", Remedy: "mount it once with the kernel, or open it read-only"}
	}
	return nil
}
