package rpmdb

import "io"

// windowSize is how much of a file is read at once.
const windowSize = 1 << 20

// A window reads a file in large pieces, for who reads it page by page and
// mostly forwards. It is for one goroutine.
type window struct {
	f   File
	off int64
	buf []byte
}

// ReadAt is io.ReaderAt's, for pieces of at most windowSize bytes.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if off < w.off || off+int64(len(p)) > w.off+int64(len(w.buf)) {
		if w.buf == nil {
			w.buf = make([]byte, 0, windowSize)
		}
		n, err := w.f.ReadAt(w.buf[:windowSize], off)
		if err != nil && err != io.EOF {
			w.buf = w.buf[:0]
			return 0, err
		}
		w.off, w.buf = off, w.buf[:n]
	}
	n := copy(p, w.buf[off-w.off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
