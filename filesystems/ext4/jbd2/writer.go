package jbd2

import (
	"context"
	"fmt"
	"time"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// limitBlocks bounds a transaction where a quarter of the log is more.
const limitBlocks = 8192

// A Writer appends transactions to a journal that was recovered. Its methods
// are called one at a time, but for Need and Limit.
type Writer struct {
	j   *Journal
	dev block.Writer // the journal's bytes
	sb  superblock   // as it is on dev, or about to be
	now func() time.Time

	head  int64  // where the next transaction goes
	used  int64  // blocks from tail to head
	next  uint32 // sequence number of the next transaction
	empty bool   // the superblock on dev says that there is no log
	time  time.Time
	buf   []byte
}

var _ txn.Appender = (*Writer)(nil)

// Features are what a filesystem has its journal use.
type Features struct {
	Checksums bool // version 3; without, none
	Wide      bool // block numbers of 64 bits
}

// NewWriter makes a Writer of j, whose bytes are dev's. Recover must have
// been called, and what it replayed must be home and durable. The log is
// emptied, and takes the features that the kernel gives it at its first
// writable mount; that is durable with the next Sync of dev.
func NewWriter(ctx context.Context, j *Journal, dev block.Writer, want Features) (*Writer, error) {
	raw := make([]byte, superblockSize)
	if err := block.ReadFull(ctx, dev, raw, 0); err != nil {
		return nil, fmt.Errorf("reading the %s: %w", nameSuperblock, err)
	}
	w := &Writer{j: j, dev: dev, sb: superblock(raw), now: time.Now}
	if w.sb.header().kind() != typeSuperblockV2 {
		return nil, ondisk.Unsupported("jbd2 journal", "writing to a journal of version 1")
	}
	if errno := j.Errno(); errno != 0 {
		return nil, &ondisk.UnsupportedError{What: "jbd2 journal", Detail: fmt.Sprintf("writing after the kernel recorded error %d in it", errno), Remedy: "run e2fsck"}
	}
	w.next = j.next
	w.features(want)
	w.head, w.empty = j.first, true
	if j.Clean() {
		return w, nil // with the first transaction the superblock is written anyway
	}
	w.next++ // so that what the last user of the journal left unfinished does not count
	w.sb.setSequence(w.next)
	w.sb.setStart(0)
	if err := w.writeSuper(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// features sets what the kernel sets in an empty log: revoke records, which it
// sets with the first one, and block numbers and checksums as the filesystem
// has them.
func (w *Writer) features(want Features) {
	compat := w.sb.compat() &^ compatChecksum
	incompat := w.sb.incompat()&^(incompatAsyncCommit|incompatChecksumV2|incompatChecksumV3) | incompatRevoke
	if want.Wide {
		incompat |= incompat64Bit
	}
	if want.Checksums {
		incompat |= incompatChecksumV3
		w.sb.setChecksumType(checksumCRC32C)
	}
	w.sb.setCompat(compat)
	w.sb.setIncompat(incompat)
	j := w.j
	j.compat, j.incompat = compat, incompat
	j.format = formatOf(incompat)
	if j.checked() {
		j.seed = ondisk.CRC32C(^uint32(0), w.sb.uuid())
	}
}

// writeSuper writes the superblock, whose changing fields lie in one sector.
func (w *Writer) writeSuper(ctx context.Context) error {
	if w.j.checked() {
		w.sb.setChecksum(blockChecksum(^uint32(0), w.sb, superblockChecksumOff))
	}
	_, err := w.dev.WriteAt(ctx, w.sb, 0)
	return err
}

// perDescriptor is how many blocks a descriptor block names. The first tag is
// followed by the journal's UUID.
func (w *Writer) perDescriptor() int {
	return (int(w.j.blockSize) - headerSize - tagUUIDSize - w.j.format.tail) / w.j.format.size
}

// perRevoke is how many revokes a revoke block holds.
func (w *Writer) perRevoke() int {
	return (int(w.j.blockSize) - revokeHeaderSize - w.j.format.tail) / w.j.format.record
}

// Need is the length of a transaction in blocks, its commit block included.
func (w *Writer) Need(blocks, revokes int) int {
	up := func(n, per int) int { return (n + per - 1) / per }
	return up(revokes, w.perRevoke()) + up(blocks, w.perDescriptor()) + blocks + 1
}

// Free is the room in the log, in blocks. One is left between head and tail.
func (w *Writer) Free() int { return int(w.j.last - w.j.first - w.used - 1) }

// Limit is a quarter of the log, as in the kernel.
func (w *Writer) Limit() int { return int(min((w.j.last-w.j.first)/4, limitBlocks)) }

// Append writes a transaction: its blocks, a barrier, its commit block, a
// barrier. The superblock says where the log begins before the first barrier.
func (w *Writer) Append(ctx context.Context, c txn.Change) error {
	need := w.Need(len(c.Blocks), len(c.Revokes))
	if need > w.Free() {
		return fmt.Errorf("jbd2: a transaction of %d blocks, %d are free", need, w.Free())
	}
	if w.empty {
		w.sb.setSequence(w.next)
		w.sb.setStart(uint32(w.head))
		if err := w.writeSuper(ctx); err != nil {
			return err
		}
	}
	pos := w.head
	out := &logStream{w: w, pos: pos}
	w.revokeBlocks(ctx, out, c.Revokes)
	w.descriptors(ctx, out, c.Blocks)
	if err := out.flush(ctx); err != nil {
		return err
	}
	if err := w.dev.Sync(txn.BarrierLog.With(ctx)); err != nil {
		return err
	}
	if _, err := w.dev.WriteAt(ctx, w.commitBlock(), out.pos*w.j.blockSize); err != nil {
		return err
	}
	if err := w.dev.Sync(txn.BarrierCommit.With(ctx)); err != nil {
		return err
	}
	w.head = w.j.after(out.pos, 1)
	w.used += int64(need)
	w.next++
	w.empty = false
	return nil
}

// revokeBlocks writes the revoke records.
func (w *Writer) revokeBlocks(ctx context.Context, out *logStream, revokes []int64) {
	for per := w.perRevoke(); len(revokes) > 0; {
		n := min(per, len(revokes))
		b := out.block(ctx)
		header(b).set(typeRevoke, w.next)
		at := revokeHeaderSize
		for _, off := range revokes[:n] {
			home := uint64(off / w.j.blockSize)
			if w.j.format.wide {
				put32(b, at, uint32(home>>32))
				put32(b, at+4, uint32(home))
			} else {
				put32(b, at, uint32(home))
			}
			at += w.j.format.record
		}
		revoke(b).setCount(uint32(at))
		w.sealTail(b)
		revokes = revokes[n:]
	}
}

// descriptors writes the blocks, each batch behind the block that names it.
func (w *Writer) descriptors(ctx context.Context, out *logStream, blocks []txn.Block) {
	f := w.j.format
	for per := w.perDescriptor(); len(blocks) > 0; {
		batch := blocks[:min(per, len(blocks))]
		b := make([]byte, w.j.blockSize)
		header(b).set(typeDescriptor, w.next)
		at := headerSize
		for i, x := range batch {
			t := tag{block: uint64(x.Off / w.j.blockSize)}
			escaped := be32(x.Bytes, 0) == Magic
			if escaped {
				t.flags |= tagEscape
			}
			if i > 0 {
				t.flags |= tagSameUUID
			}
			if i == len(batch)-1 {
				t.flags |= tagLast
			}
			if w.j.checked() {
				t.checksum = f.cut(dataChecksum(w.j.seed, w.next, logged(x.Bytes, escaped)))
			}
			f.put(b[at:], t)
			at += f.size
			if i == 0 {
				copy(b[at:], w.sb.uuid())
				at += tagUUIDSize
			}
		}
		w.sealTail(b)
		copy(out.block(ctx), b)
		for _, x := range batch {
			copy(out.block(ctx), logged(x.Bytes, be32(x.Bytes, 0) == Magic))
		}
		blocks = blocks[len(batch):]
	}
}

// logged is a block as the log holds it: what begins with the magic would be
// taken for a block of the journal itself.
func logged(b []byte, escaped bool) []byte {
	if !escaped {
		return b
	}
	b = append([]byte(nil), b...)
	put32(b, 0, 0)
	return b
}

// sealTail sets the checksum that ends a descriptor or revoke block.
func (w *Writer) sealTail(b []byte) {
	if w.j.checked() {
		off := len(b) - blockTailSize
		put32(b, off, blockChecksum(w.j.seed, b, off))
	}
}

// commitBlock closes the transaction. Its times never go back: recovery tells
// by them what an earlier filesystem left behind.
func (w *Writer) commitBlock() []byte {
	b := make([]byte, w.j.blockSize)
	header(b).set(typeCommit, w.next)
	if now := w.now(); now.After(w.time) {
		w.time = now
	}
	commit(b).setTime(uint64(w.time.Unix()), uint32(w.time.Nanosecond()))
	if w.j.checked() {
		commit(b).setChecksum(blockChecksum(w.j.seed, b, commitChecksumOff))
	}
	return b
}

// Retire lets the log forget all that it holds. The new tail is durable before
// the old blocks are written over: a log that begins with old transactions and
// goes on with new ones would undo what is home.
func (w *Writer) Retire(ctx context.Context) error {
	w.sb.setSequence(w.next)
	w.sb.setStart(uint32(w.head))
	if err := w.writeSuper(ctx); err != nil {
		return err
	}
	if err := w.dev.Sync(txn.BarrierTail.With(ctx)); err != nil {
		return err
	}
	w.used = 0
	return nil
}

// Empty marks the journal as clean.
func (w *Writer) Empty(ctx context.Context) error {
	w.sb.setSequence(w.next)
	w.sb.setStart(0)
	if err := w.writeSuper(ctx); err != nil {
		return err
	}
	if err := w.dev.Sync(txn.BarrierEmpty.With(ctx)); err != nil {
		return err
	}
	w.empty = true
	return nil
}
