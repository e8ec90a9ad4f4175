package redo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// maxBytes bounds the frames of a log.
const maxBytes = 64 << 20

// A Log is the log of one volume.
type Log struct {
	side      Sidecar
	owner     []byte
	blockSize int
	home      block.Writer // of Recover, then of Start

	started bool // the header on side is right
	salt    uint64
	next    uint64 // sequence number of the next frame
	end     int64  // where it goes
	buf     []byte
}

var (
	_ txn.Log      = (*Log)(nil)
	_ txn.Appender = (*Log)(nil)
)

// New makes a Log in a sidecar, for a volume with blocks of blockSize bytes, a
// multiple of 512. Recover comes first.
func New(side Sidecar, owner []byte, blockSize int) (*Log, error) {
	if blockSize < sector || blockSize%sector != 0 || len(owner) > OwnerSize {
		return nil, fmt.Errorf("redo: blocks of %d bytes, an owner of %d: %w", blockSize, len(owner), syscall.EINVAL)
	}
	return &Log{side: side, owner: owner, blockSize: blockSize, next: 1}, nil
}

// crcOf is the checksum of bytes of the generation with a salt.
func crcOf(salt uint64, b []byte) uint32 {
	var s [8]byte
	put64(s[:], 0, salt)
	return ondisk.CRC32C(ondisk.CRC32C(^uint32(0), s[:]), b)
}

// Start makes the sidecar one that belongs to home, without frames, durably.
// It comes before the volume's dirty mark.
func (l *Log) Start(ctx context.Context, home block.Writer) error {
	l.home = home
	return l.renew(ctx, txn.BarrierActivate)
}

// renew begins a generation: the frames so far count no more.
func (l *Log) renew(ctx context.Context, barrier txn.Barrier) error {
	salt := rand.Uint64()
	b := make([]byte, headerSize)
	header(b).set(uint32(l.blockSize), uint64(l.home.Size()), salt, l.next, l.owner)
	if _, err := l.side.WriteAt(b, 0); err != nil {
		return fmt.Errorf("writing %v: %w", l.side, err)
	}
	if err := l.side.Sync(barrier.With(ctx)); err != nil {
		return fmt.Errorf("syncing %v: %w", l.side, err)
	}
	l.started, l.salt, l.end = true, salt, headerSize
	return nil
}

// Append writes a frame.
func (l *Log) Append(ctx context.Context, c txn.Change) error {
	if !l.started {
		return errors.New("redo: the log was not started")
	}
	if need := l.Need(len(c.Blocks), len(c.Revokes)); need > l.Free() {
		return fmt.Errorf("redo: a transaction of %d blocks, %d are free", need, l.Free())
	}
	// Data are durable before what maps them; and what home is now is durable, before it is said to be.
	if err := l.home.Sync(txn.BarrierLog.With(ctx)); err != nil {
		return err
	}
	size := headLen(len(c.Blocks), len(c.Revokes), l.blockSize) + len(c.Blocks)*l.blockSize + 4
	if cap(l.buf) < size {
		l.buf = make([]byte, size)
	}
	b := l.buf[:size]
	if err := l.lay(ctx, b, c); err != nil {
		return err
	}
	if _, err := l.side.WriteAt(b, l.end); err != nil {
		return fmt.Errorf("writing %v: %w", l.side, err)
	}
	if err := l.side.Sync(txn.BarrierCommit.With(ctx)); err != nil {
		return fmt.Errorf("syncing %v: %w", l.side, err)
	}
	l.end += int64(size)
	l.next++
	return nil
}

// lay fills b with the frame of a change.
func (l *Log) lay(ctx context.Context, b []byte, c txn.Change) error {
	frame(b).set(len(c.Blocks), len(c.Revokes), l.salt, l.next)
	put32(b, 12, 0)
	put64(b, 32, 0)
	at, step := frameSize, entrySize(l.blockSize)
	head := headLen(len(c.Blocks), len(c.Revokes), l.blockSize)
	data := head
	was := make([]byte, l.blockSize)
	for _, x := range c.Blocks {
		if err := block.ReadFull(ctx, l.home, was, x.Off); err != nil {
			return fmt.Errorf("reading what the log is to replace: %w", err)
		}
		e := entry(b[at:])
		e.setOff(x.Off)
		for i := range l.blockSize / sector {
			e.set(i, crcOf(0, was[i*sector:][:sector]), crcOf(0, x.Bytes[i*sector:][:sector]))
		}
		at += step
		data += copy(b[data:], x.Bytes)
	}
	for _, off := range c.Revokes {
		put64(b, at, uint64(off))
		at += 8
	}
	put32(b, at, crcOf(l.salt, b[:at]))
	put32(b, data, crcOf(l.salt, b[head:data]))
	return nil
}

// Retire forgets all frames. The new header is durable before they are written
// over: recovery would take what is left of them for all there is.
func (l *Log) Retire(ctx context.Context) error { return l.renew(ctx, txn.BarrierTail) }

// Empty has nothing to do: since Retire the sidecar is a header without frames.
func (l *Log) Empty(context.Context) error { return nil }

// Remove takes the sidecar away: the volume is clean without it.
func (l *Log) Remove() error {
	l.started = false
	return l.side.Remove()
}

// Need is the length of a frame in blocks.
func (l *Log) Need(blocks, revokes int) int {
	size := headLen(blocks, revokes, l.blockSize) + blocks*l.blockSize + 4
	return (size + l.blockSize - 1) / l.blockSize
}

// Free is the room in the log, in blocks.
func (l *Log) Free() int {
	return int((headerSize + maxBytes - max(l.end, headerSize)) / int64(l.blockSize))
}

// Limit is a quarter of the log.
func (l *Log) Limit() int { return maxBytes / 4 / l.blockSize }

// readFull fills p from the sidecar.
func (l *Log) readFull(p []byte, off int64) error {
	n, err := l.side.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
