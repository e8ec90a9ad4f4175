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

// A writerSection is the part of a Writer.
type writerSection struct {
	section
	w Writer
}

// Section is the part of dev from off, n bytes long: a Writer where dev is one.
// It fails with EINVAL where that is not wholly inside dev, so that a partition
// which an image declares beyond its end is noticed once, here.
func Section(dev Device, off, n int64) (Device, error) {
	if off < 0 || n < 0 || off > dev.Size() || n > dev.Size()-off {
		return nil, fmt.Errorf("section %d+%d of a device of %d bytes: %w", off, n, dev.Size(), syscall.EINVAL)
	}
	switch s := dev.(type) {
	case *section:
		dev, off = s.dev, s.base+off
	case *writerSection:
		dev, off = s.dev, s.base+off
	}
	part := section{dev: dev, base: off, size: n}
	if w, ok := dev.(Writer); ok {
		return &writerSection{part, w}, nil
	}
	return &part, nil
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

// WriteAt writes inside the section; what would leave it is refused whole.
func (s *writerSection) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if Clamp(off, int64(len(p)), s.size) < int64(len(p)) {
		return 0, io.ErrShortWrite
	}
	return s.w.WriteAt(ctx, p, s.base+off)
}

// Zero makes n bytes inside the section zeros.
func (s *writerSection) Zero(ctx context.Context, off, n int64) error {
	if n < 0 || Clamp(off, n, s.size) < n {
		return io.ErrShortWrite
	}
	if n == 0 {
		return nil
	}
	return s.w.Zero(ctx, s.base+off, n)
}

// Sync is the Writer's: a barrier for all of it.
func (s *writerSection) Sync(ctx context.Context) error { return s.w.Sync(ctx) }
