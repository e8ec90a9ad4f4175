package block

import (
	"context"
	"fmt"
	"io"
	"math"
	"sort"
	"syscall"
)

// concat is several devices in a row.
type concat struct {
	parts []Device
	ends  []int64 // end of parts[i] in the whole
}

// Concat is the devices one after another: a journal's extents, a split image.
// It fails with EINVAL where their sizes do not fit an int64.
func Concat(parts ...Device) (Device, error) {
	c := &concat{}
	var end int64
	for _, p := range parts {
		if p.Size() == 0 {
			continue
		}
		if p.Size() > math.MaxInt64-end {
			return nil, fmt.Errorf("concat of %d devices is larger than an int64: %w", len(parts), syscall.EINVAL)
		}
		end += p.Size()
		c.parts = append(c.parts, p)
		c.ends = append(c.ends, end)
	}
	return c, nil
}

func (c *concat) Size() int64 {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

// part finds the device that holds off, and off within it.
func (c *concat) part(off int64) (Device, int64) {
	i := sort.Search(len(c.ends), func(i int) bool { return c.ends[i] > off })
	return c.parts[i], off - (c.ends[i] - c.parts[i].Size())
}

func (c *concat) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := Clamp(off, int64(len(p)), c.Size())
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	done := 0
	for int64(done) < n {
		dev, at := c.part(off + int64(done))
		want := Clamp(at, n-int64(done), dev.Size())
		got, err := dev.ReadAt(ctx, p[done:int64(done)+want], at)
		done += got
		if int64(got) < want {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (c *concat) Locate(ctx context.Context, off, n int64) (Run, error) {
	if n = Clamp(off, n, c.Size()); n == 0 {
		return Run{}, io.EOF
	}
	dev, at := c.part(off)
	return dev.Locate(ctx, at, Clamp(at, n, dev.Size()))
}
