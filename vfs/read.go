package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

const (
	// parallelMin is the smallest piece, in bytes, that is worth a goroutine.
	parallelMin = 32 << 10
	// parallelJobs bounds the pieces of one request that are read at once.
	parallelJobs = 4
)

// ReadAt reads from f at off by io.ReaderAt's rules: it fills p, or answers
// how much and why, with io.EOF where the file ends first. It is the one path
// on which file data is read. Holes and unwritten extents are zeros.
//
// Pieces that lie in several places are read in parallel. Where one fails, the
// bytes before the failure are good and counted.
//
// The inode of a writable Tree is locked until the bytes are read: its blocks
// may not become another file's meanwhile.
func ReadAt(ctx context.Context, f Inode, p []byte, off int64) (int, error) {
	if live, ok := f.(*liveInode); ok {
		now, unlock, err := live.now(ctx)
		if err != nil {
			return 0, err
		}
		defer unlock()
		f = now
	}
	size := f.Attr().Size
	if off < 0 {
		return 0, syscall.EINVAL
	}
	if off >= size {
		return 0, io.EOF
	}
	want := p[:block.Clamp(off, int64(len(p)), size)]
	n, err := readExtents(ctx, f, want, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// A piece is a part of a request that lies in one place and waits for its read.
type piece struct {
	at  int // offset in the request
	p   []byte
	ext Extent
	err error
	n   int
}

func readExtents(ctx context.Context, f Inode, p []byte, off int64) (int, error) {
	var pieces []piece
	done := 0
	for done < len(p) {
		ext, err := f.Map(ctx, off+int64(done), int64(len(p)-done))
		if err == nil && (ext.Len <= 0 || ext.Len > int64(len(p)-done)) {
			err = fmt.Errorf("vfs: driver mapped %d bytes of %d", ext.Len, len(p)-done)
		}
		if err != nil {
			return fail(ctx, pieces, done, err)
		}
		dst := p[done : done+int(ext.Len)]
		switch {
		case ext.Kind == Hole:
			clear(dst)
		case ext.Kind == Inline:
			if copy(dst, ext.Inline) < len(dst) {
				return fail(ctx, pieces, done, errors.New("vfs: driver gave fewer inline bytes than it mapped"))
			}
		case done == 0 && len(dst) == len(p):
			// The whole request lies in one place: the common case.
			return readPiece(ctx, dst, ext)
		case len(pieces) > 0 && adjoins(pieces[len(pieces)-1], ext, done):
			last := &pieces[len(pieces)-1]
			last.p = p[last.at : done+len(dst)]
			last.ext.Len += ext.Len
		default:
			pieces = append(pieces, piece{at: done, p: dst, ext: ext})
		}
		done += len(dst)
	}
	return finish(ctx, pieces, done)
}

// fail reads what lies before the place that cannot be mapped, so that the
// bytes it answers are good.
func fail(ctx context.Context, pieces []piece, done int, err error) (int, error) {
	n, first := finish(ctx, pieces, done)
	if first != nil {
		err = first
	}
	return n, err
}

// adjoins says whether ext goes on where the piece ends, in the file and on
// the device: drivers may answer shorter extents than the truth.
func adjoins(last piece, ext Extent, at int) bool {
	return ext.Kind == Mapped && last.ext.Kind == Mapped && last.ext.Dev == ext.Dev &&
		last.ext.Off+last.ext.Len == ext.Off && last.at+len(last.p) == at
}

// finish reads the pieces and answers the good bytes from the start: done,
// where all is well.
func finish(ctx context.Context, pieces []piece, done int) (int, error) {
	large := 0
	for i := range pieces {
		if len(pieces[i].p) >= parallelMin || pieces[i].ext.Kind == Encoded {
			large++
		}
	}
	if large < 2 {
		for i := range pieces {
			if n, err := readPiece(ctx, pieces[i].p, pieces[i].ext); err != nil {
				return pieces[i].at + n, err
			}
		}
		return done, nil
	}
	var wg sync.WaitGroup
	next := make(chan *piece)
	for range min(parallelJobs, len(pieces)) {
		wg.Go(func() {
			for pc := range next {
				// A damaged image must not end the process through a
				// goroutine that no request handler guards.
				pc.n, pc.err = guardPiece(ctx, pc)
			}
		})
	}
	for i := range pieces {
		next <- &pieces[i]
	}
	close(next)
	wg.Wait()
	for i := range pieces {
		if pieces[i].err != nil {
			return pieces[i].at + pieces[i].n, pieces[i].err
		}
	}
	return done, nil
}

func guardPiece(ctx context.Context, pc *piece) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, fmt.Errorf("vfs: panic while reading: %v", r)
		}
	}()
	return readPiece(ctx, pc.p, pc.ext)
}

func readPiece(ctx context.Context, p []byte, ext Extent) (int, error) {
	var n int
	var err error
	switch ext.Kind {
	case Mapped:
		n, err = ext.Dev.ReadAt(ctx, p, ext.Off)
	case Encoded:
		n, err = ext.Decode(ctx, p, 0)
	}
	if n == len(p) {
		return n, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// SeekData is the first offset >= off that holds data; ENXIO where only holes
// follow. It is lseek(2)'s SEEK_DATA.
func SeekData(ctx context.Context, f Inode, off int64) (int64, error) {
	return seek(ctx, f, off, false)
}

// SeekHole is the first offset >= off that is in a hole; the end of the file
// is one. It is lseek(2)'s SEEK_HOLE.
func SeekHole(ctx context.Context, f Inode, off int64) (int64, error) {
	return seek(ctx, f, off, true)
}

func seek(ctx context.Context, f Inode, off int64, hole bool) (int64, error) {
	if live, ok := f.(*liveInode); ok {
		now, unlock, err := live.now(ctx)
		if err != nil {
			return 0, err
		}
		defer unlock()
		f = now
	}
	size := f.Attr().Size
	if off < 0 || off >= size {
		return 0, syscall.ENXIO
	}
	for off < size {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		ext, err := f.Map(ctx, off, size-off)
		if err != nil {
			return 0, err
		}
		if ext.Len <= 0 {
			return 0, errors.New("vfs: driver mapped nothing")
		}
		if (ext.Kind == Hole) == hole {
			return off, nil
		}
		off += ext.Len
	}
	if hole {
		return size, nil
	}
	return 0, syscall.ENXIO
}

// NewReader reads f from its start to its end. It is for one goroutine.
func NewReader(ctx context.Context, f Inode) *io.SectionReader {
	return io.NewSectionReader(readerAt{ctx, f}, 0, f.Attr().Size)
}

type readerAt struct {
	ctx context.Context
	f   Inode
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return ReadAt(r.ctx, r.f, p, off) }
