package redo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A ForeignError says that a sidecar holds changes of a volume that is not as
// they left it. It unwraps to EROFS: nothing was replayed, the sidecar is kept.
type ForeignError struct {
	Sidecar string
	Detail  string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s holds changes that are not in the volume yet, but %s; it is kept, and the volume is read-only: restore the volume that it belongs to, or remove it and check the filesystem", e.Sidecar, e.Detail)
}

func (e *ForeignError) Unwrap() error { return syscall.EROFS }

// change is what recovery knows of one block that the log changes.
type change struct {
	known [][]uint32 // of each sector, what it may be at home
	at    int64      // of its newest bytes in the sidecar
}

// scan is what the frames say.
type scan struct {
	changes map[int64]*change
	frames  int
	end     int64
	next    uint64
	revoked int
	foreign bool // the frames are of another volume: they are counted only
}

// Recover replays the frames of the sidecar into home. Started says then
// whether the log was in use when it was left.
func (l *Log) Recover(ctx context.Context, home block.Writer) (txn.Replay, error) {
	l.home = home
	h, err := l.readHeader()
	if err != nil || h == nil {
		return txn.Replay{Clean: true}, err
	}
	why := l.foreign(h, home)
	s := &scan{changes: make(map[int64]*change), end: headerSize, next: h.sequence(), foreign: why != ""}
	l.salt = h.salt()
	if err := l.frames(ctx, home, s); err != nil {
		return txn.Replay{}, err
	}
	switch {
	case why != "" && s.frames > 0:
		return txn.Replay{}, &ForeignError{l.side.String(), why}
	case why != "":
		return txn.Replay{Clean: true}, nil // it holds nothing, and is of another time
	}
	l.next = s.next
	r := txn.Replay{Clean: s.frames == 0, Transactions: s.frames, Blocks: len(s.changes), Revoked: s.revoked}
	if s.frames > 0 {
		r.First, r.Last = h.sequence(), s.next-1
		if err := l.replay(ctx, home, s); err != nil {
			return txn.Replay{}, err
		}
	}
	l.started = true
	return r, nil
}

// Started says whether the sidecar belongs to the volume: that a dirty mark of
// the volume is this log's own, and what was left is replayed.
func (l *Log) Started() bool { return l.started }

// readHeader gives the header; nil where there is none.
func (l *Log) readHeader() (header, error) {
	size, err := l.side.Size()
	if err != nil || size == 0 {
		return nil, err
	}
	h := make(header, headerSize)
	if err := l.readFull(h, 0); errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil // not even the header was written
	} else if err != nil {
		return nil, fmt.Errorf("reading %v: %w", l.side, err)
	}
	if bytes.Equal(h, make([]byte, headerSize)) {
		return nil, nil
	}
	if h.magic() != magicHeader || h.checksum() != crcOf(0, h[:headerSize-4]) {
		return nil, fmt.Errorf("%v: %w", l.side, ondisk.Corrupt("redo log header", 0, "no header of a log, or a damaged one"))
	}
	if h.version() != version {
		return nil, ondisk.Unsupported("redo log", "version %d", h.version())
	}
	return h, nil
}

// foreign says why a header is not of this volume; empty where it is.
func (l *Log) foreign(h header, home block.Device) string {
	owner := make([]byte, OwnerSize)
	copy(owner, l.owner)
	switch {
	case int(h.blockSize()) != l.blockSize || h.size() != uint64(home.Size()):
		return fmt.Sprintf("they are of a volume of %d bytes in blocks of %d, and this one has %d in blocks of %d", h.size(), h.blockSize(), home.Size(), l.blockSize)
	case !bytes.Equal(h.owner(), owner):
		return "this is another volume, or was mounted by another program since"
	}
	return ""
}

// frames reads all whole frames. A damaged one ends the log: it was never
// promised.
func (l *Log) frames(ctx context.Context, home block.Device, s *scan) error {
	f := make([]byte, frameSize)
	size, err := l.side.Size()
	if err != nil {
		return err
	}
	for size = min(size, headerSize+maxBytes); s.end < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.readFull(f, s.end); err != nil {
			return ended(err)
		}
		x := frame(f)
		if x.magic() != magicFrame || x.salt() != l.salt || x.sequence() != s.next {
			return nil
		}
		blocks, revokes := int64(x.blocks()), int64(x.revokes())
		left := size - s.end
		if blocks > left/int64(l.blockSize) || revokes > left/8 {
			return nil
		}
		head := make([]byte, headLen(int(blocks), int(revokes), l.blockSize))
		if err := l.readFull(head, s.end); err != nil {
			return ended(err)
		}
		if sum := len(head) - 4; get32(head, sum) != crcOf(l.salt, head[:sum]) {
			return nil
		}
		whole, err := l.payload(s.end+int64(len(head)), blocks*int64(l.blockSize))
		if err != nil || !whole {
			return ended(err)
		}
		if !s.foreign {
			if err := l.take(home, s, head, int(blocks), int(revokes)); err != nil {
				return err
			}
		}
		s.end += int64(len(head)) + blocks*int64(l.blockSize) + 4
		s.next++
		s.frames++
	}
	return nil
}

// ended makes the end of the sidecar the end of the log.
func ended(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// payload says whether n bytes of blocks at off match the checksum behind them.
func (l *Log) payload(off, n int64) (bool, error) {
	var s [8]byte
	put64(s[:], 0, l.salt)
	sum := ondisk.CRC32C(^uint32(0), s[:])
	b := make([]byte, min(n, 1<<20))
	for n > 0 {
		p := b[:min(n, int64(len(b)))]
		if err := l.readFull(p, off); err != nil {
			return false, err
		}
		sum = ondisk.CRC32C(sum, p)
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	var want [4]byte
	if err := l.readFull(want[:], off); err != nil {
		return false, err
	}
	return get32(want[:], 0) == sum, nil
}

// take notes what a frame says.
func (l *Log) take(home block.Device, s *scan, head []byte, blocks, revokes int) error {
	at, step := frameSize, entrySize(l.blockSize)
	data := s.end + int64(len(head))
	for range blocks {
		e := entry(head[at : at+step])
		off := e.off()
		if off < 0 || off%int64(l.blockSize) != 0 || !ondisk.Fits(off, int64(l.blockSize), home.Size()) {
			return fmt.Errorf("%v: %w", l.side, ondisk.Corrupt("redo log frame", s.end, "a block at byte %d of a volume of %d", off, home.Size()))
		}
		c := s.changes[off]
		if c == nil {
			c = &change{known: make([][]uint32, l.blockSize/sector)}
			s.changes[off] = c
		}
		c.at = data
		for i := range c.known {
			for _, sum := range [...]uint32{e.before(i), e.after(i)} {
				if !slices.Contains(c.known[i], sum) {
					c.known[i] = append(c.known[i], sum)
				}
			}
		}
		at += step
		data += int64(l.blockSize)
	}
	for range revokes {
		off := int64(get64(head, at))
		if s.changes[off] != nil {
			delete(s.changes, off)
			s.revoked++
		}
		at += 8
	}
	return nil
}

// replay compares what is home, all of it first, and brings the rest home.
func (l *Log) replay(ctx context.Context, home block.Writer, s *scan) error {
	offs := make([]int64, 0, len(s.changes))
	for off := range s.changes {
		offs = append(offs, off)
	}
	slices.Sort(offs)
	b := make([]byte, l.blockSize)
	for _, off := range offs {
		if err := block.ReadFull(ctx, home, b, off); err != nil {
			return err
		}
		for i, known := range s.changes[off].known {
			if !slices.Contains(known, crcOf(0, b[i*sector:][:sector])) {
				return &ForeignError{l.side.String(), fmt.Sprintf("its bytes at %d are none that the log has seen", off+int64(i)*sector)}
			}
		}
	}
	for _, off := range offs {
		if err := l.readFull(b, s.changes[off].at); err != nil {
			return fmt.Errorf("reading %v: %w", l.side, err)
		}
		if _, err := home.WriteAt(ctx, b, off); err != nil {
			return err
		}
	}
	return nil
}
