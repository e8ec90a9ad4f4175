package extent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"

	"github.com/guestctl/guestctl/formats/ahead"
	"github.com/guestctl/guestctl/formats/block"
)

const (
	// maxBlockCache is the bytes of decoded blocks that are kept by default.
	maxBlockCache = 64 << 20
	// locateSteps bounds the extents that one Locate or read-ahead joins.
	locateSteps = 64
)

// Config is what a format says of its disk.
type Config struct {
	Size int64 // bytes of the disk

	// Map is the extent at off, at most n bytes long: 0 <= off < Size and
	// 0 < n <= Size-off. It asks for little and may answer less than it could.
	Map func(ctx context.Context, off, n int64) (Extent, error)

	// Unpack decodes a compressed block, of which raw has at most Extent.Size
	// bytes. The answer reaches to where any extent of the block does, and is
	// shared. nil where Map answers no Packed.
	Unpack func(e Extent, raw []byte) ([]byte, error)

	BlockSize  int64 // of a decoded block; 0 where there are none
	CacheBytes int64 // of decoded blocks in memory

	What string       // the format, for the log
	Log  *slog.Logger // may be nil
}

// A Disk is a block.Device made of extents.
type Disk struct {
	c       Config
	blocks  *block.Cache[blockKey, []byte]
	buffers sync.Pool // of *[]byte: compressed bytes on their way to Unpack

	streams ahead.Streams
	ahead   *ahead.Queue
	window  int64 // of read-ahead, in bytes of the disk
}

var (
	_ block.Device     = (*Disk)(nil)
	_ block.Prefetcher = (*Disk)(nil)
)

// New makes the Disk of c.
func New(c Config) *Disk {
	d := &Disk{c: c, blocks: block.NewCache[blockKey, []byte](c.CacheBytes)}
	d.buffers.New = func() any { return new([]byte) }
	// What is read ahead must not push out itself.
	d.window = max(min(ahead.Window, c.CacheBytes/4), c.BlockSize, 1)
	d.ahead = ahead.NewQueue(d.fetch)
	return d
}

// Size is the disk's.
func (d *Disk) Size() int64 { return d.c.Size }

// CacheStats say how the cache of decoded blocks does.
func (d *Disk) CacheStats() block.CacheStats { return d.blocks.Stats() }

// Close stops the read-ahead. EINVAL where it was closed before.
func (d *Disk) Close() error {
	return d.ahead.Close()
}

// ReadAt reads the disk by io.ReaderAt's rules. Where it fails, none of p
// counts as read.
func (d *Disk) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), d.c.Size)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	var pieces []piece
	var run Extent // plain extents that lie in a row, not read yet
	var at int64   // of run in p
	for done := int64(0); done < n; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		e, err := d.c.Map(ctx, off+done, n-done)
		if err != nil {
			return 0, err
		}
		dst, joined := p[done:done+e.Len], false
		if run.Len > 0 {
			if joined = run.Join(e); !joined {
				err = readPlain(ctx, p[at:at+run.Len], run)
				run = Extent{}
			}
		}
		switch {
		case err != nil:
			return 0, err
		case e.Kind == Hole:
			clear(dst)
		case e.Kind == Packed:
			pieces = append(pieces, piece{e, dst})
		case !joined:
			run, at = e, done
		}
		done += e.Len
	}
	if run.Len > 0 {
		if err := readPlain(ctx, p[at:at+run.Len], run); err != nil {
			return 0, err
		}
	}
	if len(pieces) > 0 {
		from, to := d.streams.Note(off, off+n, d.window)
		d.Prefetch(from, to-from)
		if err := d.readPacked(ctx, pieces, runtime.GOMAXPROCS(0)); err != nil {
			return 0, err
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// readPlain reads what e has, and zeros beyond the end of its file.
func readPlain(ctx context.Context, p []byte, e Extent) error {
	n := block.Clamp(e.Off, int64(len(p)), e.Dev.Size())
	clear(p[n:])
	if n == 0 {
		return nil
	}
	return block.ReadFull(ctx, e.Dev, p[:n], e.Off)
}

// Locate answers Zero for holes, Opaque for compressed blocks, and what the
// file says for what lies plainly in it.
func (d *Disk) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, d.c.Size); n == 0 {
		return block.Run{}, io.EOF
	}
	e, err := d.c.Map(ctx, off, n)
	if err != nil {
		return block.Run{}, err
	}
	for range locateSteps {
		if e.Len == n {
			break
		}
		// What cannot be looked up is the business of who asks for it.
		next, err := d.c.Map(ctx, off+e.Len, n-e.Len)
		if err != nil {
			break
		}
		if e.Kind == Packed && next.Kind == Packed {
			e.Len += next.Len
		} else if !e.Join(next) {
			break
		}
	}
	switch e.Kind {
	case Hole:
		return block.Run{Kind: block.Zero, Len: e.Len}, nil
	case Packed:
		return block.Run{Kind: block.Opaque, Len: e.Len}, nil
	}
	inside := block.Clamp(e.Off, e.Len, e.Dev.Size())
	if inside == 0 {
		return block.Run{Kind: block.Zero, Len: e.Len}, nil
	}
	return e.Dev.Locate(ctx, e.Off, inside)
}

// Prefetch decodes compressed blocks into the cache and passes the rest on to
// the files that have it, in the background.
func (d *Disk) Prefetch(off, n int64) {
	d.ahead.Add(off, min(block.Clamp(off, n, d.c.Size), d.window), d.c.BlockSize)
}

// fetch does one job. What fails is met again by the reader, who is told.
func (d *Disk) fetch(ctx context.Context, j ahead.Job) {
	defer func() {
		if p := recover(); p != nil && d.c.Log != nil {
			d.c.Log.Error("panic in the read-ahead of an image", "format", d.c.What, "offset", j.Off, "panic", fmt.Sprint(p))
		}
	}()
	var pieces []piece
	for j.Len > 0 && ctx.Err() == nil {
		e, err := d.c.Map(ctx, j.Off, j.Len)
		if err != nil {
			break
		}
		switch e.Kind {
		case Packed:
			pieces = append(pieces, piece{Extent: e})
		case Plain:
			block.Prefetch(e.Dev, e.Off, e.Len)
		}
		j.Off, j.Len = j.Off+e.Len, j.Len-e.Len
	}
	// Other jobs have the other processors.
	_ = d.readPacked(ctx, pieces, 1)
}
