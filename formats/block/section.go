package block

import (
	"context"
	"fmt"
	"io"
	"syscall"
)

// A section is the part of a Device from base on. Unlike io.SectionReader it
// also answers Locate and passes read-ahead hints down.
type section struct {
	dev  Device
	base int64
	size int64
}

// Section is the part of dev from off, n bytes long. It fails with EINVAL
// where that is not wholly inside dev, so that a partition which an image
// declares beyond its end is noticed once, here.
func Section(dev Device, off, n int64) (Device, error) {
	if off < 0 || n < 0 || off > dev.Size() || n > dev.Size()-off {
		return nil, fmt.Errorf("section %d+%d of a device of %d bytes: %w", off, n, dev.Size(), syscall.EINVAL)
	}
	if s, ok := dev.(*section); ok {
		dev, off = s.dev, s.base+off
	}
	return &section{dev: dev, base: off, size: n}, nil
}

func (s *section) Size() int64 { return s.size }

func (s *section) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := Clamp(off, int64(len(p)), s.size)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	got, err := s.dev.ReadAt(ctx, p[:n], s.base+off)
	if err == nil && got < len(p) {
		err = io.EOF
	}
	return got, err
}

func (s *section) Locate(ctx context.Context, off, n int64) (Run, error) {
	n = Clamp(off, n, s.size)
	if n == 0 {
		return Run{}, io.EOF
	}
	return s.dev.Locate(ctx, s.base+off, n)
}

func (s *section) Prefetch(off, n int64) {
	if n = Clamp(off, n, s.size); n > 0 {
		Prefetch(s.dev, s.base+off, n)
	}
}
