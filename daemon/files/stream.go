package files

import (
	"context"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// pieceBytes is the size of one read of a large file.
	pieceBytes = 1 << 20
	// piecesAhead bounds the pieces of one file that are read or wait.
	piecesAhead = 6
	// pieceWorkers read at the same time.
	pieceWorkers = 2
)

// A segment is a part of a file: bytes, or a hole.
type segment struct {
	off  int64
	n    int64
	hole bool
	p    []byte // n bytes; what could not be read of them is zeros
	err  error
	done chan struct{}
}

// stream reads [off, end) of f and gives its parts to each, in order and
// without a gap. Holes of at least minHole bytes are told as holes, others as
// zeros. A part that could not be read has err set; each decides whether that
// ends it. p is valid until each returns.
//
// Two workers read ahead of each, which runs on the caller's goroutine. They
// have ended when stream returns.
func stream(ctx context.Context, f vfs.Inode, off, end, minHole int64, each func(s *segment) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	order := make(chan *segment, piecesAhead-pieceWorkers-1)
	reads := make(chan *segment, piecesAhead)
	free := make(chan []byte, piecesAhead)
	for range piecesAhead {
		free <- nil // made when it is needed first
	}
	wg.Go(func() {
		defer close(order)
		defer close(reads)
		for off < end {
			s := nextSegment(ctx, f, off, end, minHole)
			off += s.n
			s.done = make(chan struct{})
			if s.hole || s.err != nil && s.err == ctx.Err() {
				close(s.done)
			} else {
				select {
				case s.p = <-free:
				case <-ctx.Done():
					return
				}
				if s.p == nil {
					s.p = make([]byte, pieceBytes)
				}
				s.p = s.p[:s.n]
				reads <- s
			}
			select {
			case order <- s:
			case <-ctx.Done():
				return
			}
		}
	})
	for range pieceWorkers {
		wg.Go(func() {
			for s := range reads {
				s.read(ctx, f)
			}
		})
	}
	for s := range order {
		select {
		case <-s.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(s); err != nil {
			return err
		}
		if s.p != nil {
			free <- s.p[:cap(s.p)]
		}
	}
	return ctx.Err()
}

// nextSegment says what comes at off: a hole, or up to pieceBytes of data.
func nextSegment(ctx context.Context, f vfs.Inode, off, end, minHole int64) *segment {
	s := &segment{off: off}
	for s.n < pieceBytes && off+s.n < end {
		if s.err = ctx.Err(); s.err != nil {
			s.n = max(s.n, 1)
			return s
		}
		ext, err := f.Map(ctx, off+s.n, end-off-s.n)
		if err != nil || ext.Len <= 0 {
			// The read finds it again and says so.
			s.n = min(pieceBytes, end-off)
			return s
		}
		if ext.Kind == vfs.Hole && ext.Len >= minHole {
			if s.n == 0 {
				s.n, s.hole = ext.Len, true
			}
			return s
		}
		if ext.Kind == vfs.Mapped && s.n == 0 && off%(4*pieceBytes) == 0 {
			block.Prefetch(ext.Dev, ext.Off, min(ext.Len, 8*pieceBytes))
		}
		s.n = min(s.n+ext.Len, pieceBytes)
	}
	return s
}

func (s *segment) read(ctx context.Context, f vfs.Inode) {
	defer close(s.done)
	n, err := readFull(ctx, f, s.p, s.off)
	clear(s.p[n:])
	s.err = err
}

// readFull fills p or says why not.
func readFull(ctx context.Context, f vfs.Inode, p []byte, off int64) (n int, err error) {
	defer guard(&err)
	n, err = vfs.ReadAt(ctx, f, p, off)
	if n == len(p) {
		return n, nil
	}
	if err == nil {
		err = syscall.EIO
	}
	return n, err
}
