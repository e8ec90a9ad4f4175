package extent

import (
	"context"

	"github.com/guestctl/guestctl/formats/ahead"
	"github.com/guestctl/guestctl/formats/block"
)

const (
	// packedRead is the most that is read of a file at once for compressed
	// blocks that lie side by side, in bytes.
	packedRead = 1 << 20
	// packedGap is how far apart they may lie to count as side by side.
	packedGap = 4 << 10
)

// piece is a part of a compressed block that a reader wants.
type piece struct {
	Extent
	dst []byte // nil: the block is only wanted in the cache
}

// blockKey names a compressed block.
type blockKey struct {
	file int
	off  int64
	tag  int64
}

func (p *piece) key() blockKey { return blockKey{p.File, p.Off, p.Tag} }

// place is the end of the compressed block in its file, at most.
func (p *piece) end() int64 { return p.Off + block.Clamp(p.Off, p.Size, p.Dev.Size()) }

// batch is compressed blocks that lie side by side and are read at once.
type batch struct {
	off, end int64
	pieces   []piece
}

// readPacked reads pieces of compressed blocks: what is not in the cache is
// read in as few reads as it lies together, and decoded by several goroutines.
func (d *Disk) readPacked(ctx context.Context, pieces []piece, workers int) error {
	var batches []*batch
	var last *batch
	for _, p := range pieces {
		if b, ok := d.blocks.Peek(p.key()); ok {
			copy(p.dst, b[p.In:])
			continue
		}
		end := p.end()
		if last != nil && p.File == last.pieces[0].File && p.Off >= last.off && p.Off <= last.end+packedGap && end-last.off <= packedRead {
			last.end = max(last.end, end)
			last.pieces = append(last.pieces, p)
			continue
		}
		last = &batch{off: p.Off, end: end, pieces: []piece{p}}
		batches = append(batches, last)
	}
	for _, b := range batches {
		if err := d.readBatch(ctx, b, workers); err != nil {
			return err
		}
	}
	return nil
}

// readBatch reads the file once and decodes the blocks of b.
func (d *Disk) readBatch(ctx context.Context, b *batch, workers int) error {
	buf := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buf)
	if int64(len(*buf)) < b.end-b.off {
		*buf = make([]byte, b.end-b.off)
	}
	raw := (*buf)[:b.end-b.off]
	if err := block.ReadFull(ctx, b.pieces[0].Dev, raw, b.off); err != nil {
		return err
	}
	return ahead.Parallel(len(b.pieces), workers, func(i int) error {
		p := &b.pieces[i]
		decoded, err := d.blocks.Get(ctx, p.key(), func(context.Context) ([]byte, int64, error) {
			out, err := d.c.Unpack(p.Extent, raw[p.Off-b.off:p.end()-b.off])
			return out, int64(len(out)), err
		})
		if err != nil {
			return err
		}
		copy(p.dst, decoded[p.In:])
		return nil
	})
}
