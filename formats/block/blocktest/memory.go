package blocktest

import (
	"context"
	"io"
	"sync"

	"github.com/guestctl/guestctl/formats/block"
)

// A Memory is a Writer whose bytes are in memory.
type Memory struct {
	mu    sync.RWMutex // guards bytes
	bytes []byte
}

var _ block.Grower = (*Memory)(nil)

// NewMemory makes a Memory of b, which is the Memory's from here on.
func NewMemory(b []byte) *Memory { return &Memory{bytes: b} }

// Bytes is a copy of what the Memory holds.
func (m *Memory) Bytes() []byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return append([]byte(nil), m.bytes...)
}

// Size is the number of bytes.
func (m *Memory) Size() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return int64(len(m.bytes))
}

// ReadAt reads by io.ReaderAt's rules.
func (m *Memory) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	n := block.Clamp(off, int64(len(p)), int64(len(m.bytes)))
	if n > 0 {
		copy(p, m.bytes[off:off+n])
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// Locate answers Opaque: the bytes are in no file.
func (m *Memory) Locate(_ context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, m.Size()); n == 0 {
		return block.Run{}, io.EOF
	}
	return block.Run{Kind: block.Opaque, Len: n}, nil
}

// WriteAt writes inside the bytes that there are.
func (m *Memory) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if block.Clamp(off, int64(len(p)), int64(len(m.bytes))) < int64(len(p)) {
		return 0, io.ErrShortWrite
	}
	return copy(m.bytes[off:], p), nil
}

// Zero makes n bytes at off zero.
func (m *Memory) Zero(_ context.Context, off, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if block.Clamp(off, n, int64(len(m.bytes))) < n {
		return io.ErrShortWrite
	}
	if n > 0 {
		clear(m.bytes[off : off+n])
	}
	return nil
}

// Sync has nothing to do.
func (m *Memory) Sync(context.Context) error { return nil }

// Grow appends zeros.
func (m *Memory) Grow(_ context.Context, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := size - int64(len(m.bytes)); n > 0 {
		m.bytes = append(m.bytes, make([]byte, n)...)
	}
	return nil
}
