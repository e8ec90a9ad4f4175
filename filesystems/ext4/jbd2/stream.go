package jbd2

import "context"

// streamBytes is how much of a transaction is written at once.
const streamBytes = 1 << 20

// A logStream writes blocks into the ring, in large writes that do not cross
// its end. The first error stays.
type logStream struct {
	w    *Writer
	pos  int64 // of the block after the last one given
	from int64 // of what waits in w.buf
	err  error
}

// block gives the next block, of zeros, to be filled before the next call.
func (s *logStream) block(ctx context.Context) []byte {
	size := int(s.w.j.blockSize)
	n := len(s.w.buf)
	if n >= streamBytes || n > 0 && s.pos == s.w.j.first {
		_ = s.flush(ctx)
		n = 0
	}
	if n == 0 {
		s.from = s.pos
	}
	if cap(s.w.buf) < n+size {
		grown := make([]byte, n, max(2*cap(s.w.buf), n+size))
		copy(grown, s.w.buf)
		s.w.buf = grown
	}
	s.w.buf = s.w.buf[:n+size]
	b := s.w.buf[n : n+size : n+size]
	clear(b)
	s.pos = s.w.j.after(s.pos, 1)
	return b
}

// flush writes what waits.
func (s *logStream) flush(ctx context.Context) error {
	if s.err == nil && len(s.w.buf) > 0 {
		_, s.err = s.w.dev.WriteAt(ctx, s.w.buf, s.from*s.w.j.blockSize)
	}
	s.w.buf = s.w.buf[:0]
	return s.err
}
