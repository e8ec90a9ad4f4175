package xlog

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A place is a buffer: its first sector on the device and its length.
type place struct {
	blkno   uint64
	sectors uint32
}

// A recovery is one run of Recover.
type recovery struct {
	j    *Journal
	home block.Writer

	// cancelled counts the cancel items of each buffer that are still to come.
	cancelled map[place]int
	// pending are the buffers that were changed by transactions of the LSN in
	// hand, and get it when the next begins. Their kinds have headers.
	pending map[int64]int // offset -> length
	lsn     uint64

	changed map[int64]struct{} // offsets of all changed buffers and inodes
	replay  txn.Replay
	intents map[intentKey]*Intent
	order   []intentKey
}

// Recover replays the log into home, the filesystem's device or an overlay over
// it. It does not change the log.
//
// An error is a CorruptError whose offset is in the log or on the device,
// ErrTooLarge, block.ErrOverlayFull, or what the devices answer. home may then
// hold part of the replay and must not be used.
func (j *Journal) Recover(ctx context.Context, home block.Writer) (txn.Replay, error) {
	if j.Clean() {
		return txn.Replay{Clean: true, Torn: j.torn}, nil
	}
	r := &recovery{j: j, home: home, cancelled: make(map[place]int), pending: make(map[int64]int),
		changed: make(map[int64]struct{}), intents: make(map[intentKey]*Intent), replay: txn.Replay{Torn: j.torn}}
	if err := r.pass(ctx, r.collectCancels); err != nil {
		return txn.Replay{}, err
	}
	if err := r.pass(ctx, func(t *transaction) error { return r.apply(ctx, t) }); err != nil {
		return txn.Replay{}, err
	}
	if err := r.seal(ctx); err != nil {
		return txn.Replay{}, err
	}
	for _, key := range r.order {
		if in := r.intents[key]; in != nil {
			j.intents = append(j.intents, in)
		}
	}
	r.replay.Blocks = len(r.changed)
	return r.replay, nil
}

// pass goes through the log and gives each committed transaction.
func (r *recovery) pass(ctx context.Context, commit func(*transaction) error) error {
	a := newAssembler(commit)
	_, err := r.j.walk(ctx, r.j.tail, r.j.head, a.add)
	return err
}

// collectCancels is the first pass.
func (r *recovery) collectCancels(t *transaction) error {
	for _, it := range t.items {
		if len(it.regions) == 0 || it.format(t.order).kind() != itemBuf {
			continue
		}
		f, err := it.buffer(t)
		if err != nil {
			return err
		}
		if f.flags()&bufCancel != 0 {
			r.cancelled[place{f.blkno(), uint32(f.sectors())}]++
		}
	}
	return nil
}

// isCancelled says whether a change of a buffer is to be left out.
func (r *recovery) isCancelled(p place) bool {
	if r.cancelled[p] > 0 {
		r.replay.Revoked++
		return true
	}
	return false
}

// cancelItem is where the changes of a buffer count again.
func (r *recovery) cancelItem(p place) {
	if n := r.cancelled[p]; n > 1 {
		r.cancelled[p] = n - 1
	} else {
		delete(r.cancelled, p)
	}
}

// apply makes the changes of a transaction: what allocates inodes, then
// inodes and all else, then the pointers of unlinked inodes, and last the ends
// of cancellations.
func (r *recovery) apply(ctx context.Context, t *transaction) error {
	if t.lsn != r.lsn {
		if err := r.seal(ctx); err != nil {
			return err
		}
		r.lsn = t.lsn
	}
	if r.replay.Transactions == 0 {
		r.replay.First = t.lsn
	}
	r.replay.Transactions++
	r.replay.Last = t.lsn
	for turn := turnBuffers; turn <= turnCancels; turn++ {
		for i, it := range t.items {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !it.whole() {
				return damaged(t, "item %d of %d has %d of %d regions", i, len(t.items), len(it.regions), it.total)
			}
			if it.turn(t) != turn {
				continue
			}
			if err := r.applyItem(ctx, t, it); err != nil {
				return fmt.Errorf("item %d of the transaction at %s: %w", i, showLSN(t.lsn), err)
			}
		}
	}
	return nil
}

// The order in which the items of a transaction are applied.
const (
	turnBuffers = iota
	turnInodes
	turnUnlinked
	turnCancels
)

func (i *item) turn(t *transaction) int {
	switch n := i.format(t.order); n.kind() {
	case itemBuf:
		// A format too short for its flags is refused where it is applied.
		if len(n.b) >= bufFormatSize {
			switch f := (bufFormat{n}); {
			case f.flags()&bufCancel != 0:
				return turnCancels
			case f.flags()&bufInodes != 0:
				return turnUnlinked
			}
		}
		return turnBuffers
	case itemIcreate:
		return turnBuffers
	}
	return turnInodes
}

func (r *recovery) applyItem(ctx context.Context, t *transaction, it *item) error {
	switch kind := it.format(t.order).kind(); kind {
	case itemBuf:
		return r.applyBuffer(ctx, t, it)
	case itemInode:
		return r.applyInode(ctx, t, it)
	case itemIcreate:
		return r.applyIcreate(ctx, t, it)
	case itemDquot, itemQuotaoff:
		return nil
	default:
		if known, err := r.applyIntent(t, it); known || err != nil {
			return err
		}
		return ondisk.Unsupported("xfs log", "item type %#x", kind)
	}
}

// seal gives the buffers of the LSN in hand that LSN and their checksum.
func (r *recovery) seal(ctx context.Context) error {
	for off, size := range r.pending {
		b := make([]byte, size)
		if err := block.ReadFull(ctx, r.home, b, off); err != nil {
			return err
		}
		if r.j.sealBuffer(b, r.lsn) {
			if _, err := r.home.WriteAt(ctx, b, off); err != nil {
				return err
			}
		}
	}
	clear(r.pending)
	return nil
}

// bytesOf reads a buffer or inode from home, whose place is from the log.
func (r *recovery) bytesOf(ctx context.Context, t *transaction, blkno uint64, n int64) ([]byte, int64, error) {
	if blkno >= 1<<54 || !ondisk.Fits(int64(blkno)*sector, n, r.home.Size()) {
		return nil, 0, damaged(t, "%d bytes at sector %d, beyond the end of the device", n, blkno)
	}
	off := int64(blkno) * sector
	b := make([]byte, n)
	if err := block.ReadFull(ctx, r.home, b, off); err != nil {
		return nil, 0, fmt.Errorf("reading what the log changes at byte %d: %w", off, err)
	}
	return b, off, nil
}

func (r *recovery) write(ctx context.Context, b []byte, off int64) error {
	r.changed[off] = struct{}{}
	_, err := r.home.WriteAt(ctx, b, off)
	return err
}

// damaged is the error for an item; its offset is that of the record in which
// its transaction began.
func damaged(t *transaction, format string, args ...any) error {
	return ondisk.Corrupt("xfs log transaction", int64(uint32(t.lsn))*sector, format, args...)
}

// showLSN shows a log sequence number as the kernel does.
func showLSN(lsn uint64) string { return fmt.Sprintf("%d:%d", lsn>>32, uint32(lsn)) }

// LogValue shows where the log begins and ends.
func (j *Journal) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("tail", j.tail), slog.Int64("head", j.head), slog.Int64("sectors", j.sectors))
}
