package block

import (
	"context"
	"io"
	"os"
)

// A Device is a readable range of bytes of a fixed size. It is safe for any
// number of goroutines.
type Device interface {
	// ReadAt reads len(p) bytes at off by io.ReaderAt's rules: it fills p or
	// says why not, and answers io.EOF where the device ends before p does.
	// ctx is asked between reads of the backing store, never inside one.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)

	// Locate says where the bytes at off lie: the longest run at off with a
	// single answer, at most n bytes long. It does little I/O and may answer
	// a run shorter than the truth. 0 <= off < Size() and n > 0, else io.EOF.
	Locate(ctx context.Context, off, n int64) (Run, error)

	// Size is the number of bytes of the device. It does not change, but for
	// a Writer that grows.
	Size() int64
}

// A Writer is a Device that can be changed.
type Writer interface {
	Device

	// WriteAt writes p at off. Nothing is durable before Sync.
	WriteAt(ctx context.Context, p []byte, off int64) (int, error)

	// Zero makes n bytes at off read as zeros.
	Zero(ctx context.Context, off, n int64) error

	// Sync is a barrier: when it returns nil, all that was written before is
	// durable, the format's own metadata included.
	Sync(ctx context.Context) error
}

// Kind says what lies behind a Run.
type Kind uint8

const (
	// Opaque bytes must be read with ReadAt.
	Opaque Kind = iota
	// Data bytes lie plainly in Run.File at Run.Off.
	Data
	// Zero bytes are all zero and need not be read.
	Zero
)

// String names the kind for messages.
func (k Kind) String() string {
	switch k {
	case Data:
		return "data"
	case Zero:
		return "zero"
	}
	return "opaque"
}

// A Run is the answer of Locate.
type Run struct {
	Kind Kind
	Len  int64    // bytes, > 0
	File *os.File // Data: borrowed, open for as long as the Device
	Off  int64    // Data: byte offset in File
}

// A Prefetcher is a Device that can start to read ahead. It returns at once;
// an error shows at the later ReadAt.
type Prefetcher interface {
	Prefetch(off, n int64)
}

// Prefetch tells dev that n bytes at off are read soon, where dev can use that.
func Prefetch(dev Device, off, n int64) {
	if p, ok := dev.(Prefetcher); ok {
		p.Prefetch(off, n)
	}
}

// ReadFull reads exactly len(p) bytes at off. A device that ends inside p is
// io.ErrUnexpectedEOF.
func ReadFull(ctx context.Context, dev Device, p []byte, off int64) error {
	n, err := dev.ReadAt(ctx, p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Clamp says how many of n bytes at off a device of the given size has; none
// where off is negative or at the end. It cannot overflow.
func Clamp(off, n, size int64) int64 {
	if off < 0 || n <= 0 || off >= size {
		return 0
	}
	return min(n, size-off)
}
