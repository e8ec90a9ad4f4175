package compressed

import (
	"context"
	"errors"
	"io"

	"github.com/guestctl/guestctl/formats/block"
)

// windowRead is how much of a file is read at once, in bytes.
const windowRead = 1 << 20

// A window goes over a file from its beginning to its end.
type window struct {
	src block.Device
	off int64  // of b in src
	b   []byte // read and not used
	buf []byte
}

func newWindow(src block.Device) *window {
	return &window{src: src, buf: make([]byte, min(windowRead, src.Size()))}
}

// peek gives n of the next bytes or more, at most windowRead; fewer where the
// file ends.
func (w *window) peek(ctx context.Context, n int) ([]byte, error) {
	if len(w.b) >= n {
		return w.b, nil
	}
	have := copy(w.buf, w.b)
	got, err := w.src.ReadAt(ctx, w.buf[have:], w.off+int64(have))
	w.b = w.buf[:have+got]
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return w.b, nil
}

// skip uses up n of the bytes that peek gave.
func (w *window) skip(n int) {
	w.b = w.b[n:]
	w.off += int64(n)
}

// more says whether the file has bytes behind those that peek gave.
func (w *window) more() bool { return w.off+int64(len(w.b)) < w.src.Size() }
