package jbd2

import (
	"context"
	"fmt"

	"github.com/guestctl/guestctl/formats/block"
)

const (
	// headerWindow is how many bytes the walk over the log reads at once.
	headerWindow = 64 << 10
	// dataWindow is the same for the passes that read every logged block.
	dataWindow = 512 << 10
)

// A logReader reads blocks of the log through one window. The slice it gives
// is valid until its next call.
type logReader struct {
	j      *Journal
	blocks int64 // in a full window
	window []byte
	from   int64 // first block in the window
	have   int64 // blocks in it
}

func (j *Journal) reader(window int64) *logReader {
	return &logReader{j: j, blocks: max(1, window/j.blockSize)}
}

func (r *logReader) block(ctx context.Context, pos int64) ([]byte, error) {
	size := r.j.blockSize
	if pos < r.from || pos >= r.from+r.have {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(r.blocks, r.j.last-pos)
		if r.window == nil {
			r.window = make([]byte, r.blocks*size)
		}
		r.have = 0
		if err := block.ReadFull(ctx, r.j.dev, r.window[:n*size], pos*size); err != nil {
			return nil, fmt.Errorf("reading %d blocks of the jbd2 log from block %d: %w", n, pos, err)
		}
		r.from, r.have = pos, n
	}
	at := (pos - r.from) * size
	return r.window[at : at+size : at+size], nil
}

// after is the block n blocks after pos in the ring. n is at most its length.
func (j *Journal) after(pos, n int64) int64 {
	if pos += n; pos >= j.last {
		pos -= j.last - j.first
	}
	return pos
}

// tidBefore compares transaction numbers, which wrap.
func tidBefore(a, b uint32) bool { return int32(a-b) < 0 }

// A record is a block of the log that the walk understands.
type record struct {
	kind     uint32
	sequence uint32
	pos      int64  // block in the journal
	b        []byte // valid until the walk goes on
	tags     int64  // descriptor: the logged blocks that follow it
}

// walk visits the descriptor, revoke and commit blocks of the log from its
// start to the first block that does not continue it, or until visit says
// stop. It gives the sequence number and the block at which it ended, and the
// blocks of the ring that it has not seen.
func (j *Journal) walk(ctx context.Context, visit func(rec *record) (stop bool, err error)) (next uint32, pos, left int64, err error) {
	r := j.reader(headerWindow)
	next, pos, left = j.sequence, j.start, j.last-j.first
	for left > 0 {
		b, err := r.block(ctx, pos)
		if err != nil {
			return next, pos, left, err
		}
		h := header(b)
		if h.magic() != Magic || h.sequence() != next {
			break
		}
		rec := record{kind: h.kind(), sequence: next, pos: pos, b: b}
		switch rec.kind {
		case typeDescriptor:
			rec.tags = j.format.count(b)
		case typeCommit, typeRevoke:
		default:
			return next, pos, left, nil
		}
		if 1+rec.tags > left {
			// More blocks than the ring has: no journal wrote this.
			break
		}
		stop, err := visit(&rec)
		if stop || err != nil {
			return next, pos, left, err
		}
		pos = j.after(pos, 1+rec.tags)
		left -= 1 + rec.tags
		if rec.kind == typeCommit {
			next++
		}
	}
	return next, pos, left, nil
}

// each visits the tags of a descriptor block.
func (f tagFormat) each(b []byte, visit func(i int64, t tag) error) error {
	end := len(b) - f.tail
	i := int64(0)
	for at := headerSize; at+f.size <= end; i++ {
		t := f.get(b[at:])
		if err := visit(i, t); err != nil {
			return err
		}
		if t.flags&tagLast != 0 {
			return nil
		}
		at += f.size
		if t.flags&tagSameUUID == 0 {
			at += tagUUIDSize
		}
	}
	return nil
}

// count is the number of tags of a descriptor block.
func (f tagFormat) count(b []byte) (n int64) {
	_ = f.each(b, func(i int64, _ tag) error { n = i + 1; return nil })
	return n
}

// revoked gives the entries of a revoke block, or false where it claims more
// bytes than it has.
func (f tagFormat) revoked(b []byte, visit func(home uint64)) bool {
	n := int64(revoke(b).count())
	if n > int64(len(b)-f.tail) {
		return false
	}
	for at := revokeHeaderSize; at+f.record <= int(n); at += f.record {
		if f.wide {
			visit(uint64(be32(b, at))<<32 | uint64(be32(b, at+4)))
		} else {
			visit(uint64(be32(b, at)))
		}
	}
	return true
}
