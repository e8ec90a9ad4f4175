package block

import (
	"context"
	"io"
)

// Zeros is a Device of that many zero bytes.
type Zeros int64

// Size is the number of bytes.
func (z Zeros) Size() int64 { return int64(z) }

// ReadAt reads zeros.
func (z Zeros) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n := Clamp(off, int64(len(p)), int64(z))
	clear(p[:n])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// Locate answers Zero.
func (z Zeros) Locate(_ context.Context, off, n int64) (Run, error) {
	if n = Clamp(off, n, int64(z)); n == 0 {
		return Run{}, io.EOF
	}
	return Run{Kind: Zero, Len: n}, nil
}
