package raid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// maxMembers bounds an array. Linux's MD takes fewer than 2,000 members.
const maxMembers = 4096

// ErrMissing is what is answered for bytes that only a missing member has.
var ErrMissing = fmt.Errorf("the member of the array that has these bytes is missing: %w", syscall.EIO)

// A place is where one copy of some bytes is.
type place struct {
	member int
	off    int64
}

// A geometry finds bytes.
type geometry interface {
	// find answers the copies of the bytes at off, the first to be preferred,
	// and how many bytes from there on lie with them.
	find(off int64) (copies []place, n int64)
}

// An array is the device of a geometry.
type array struct {
	members []block.Device
	size    int64
	geo     geometry
	parity  *parity // not for stripes and mirrors
}

func newArray(members []block.Device, size int64, geo geometry, p *parity) (block.Device, error) {
	if size < 0 {
		return nil, fmt.Errorf("an array of %d bytes: %w", size, syscall.EINVAL)
	}
	return &array{members: members, size: size, geo: geo, parity: p}, nil
}

// check looks at what every array has.
func check(members []block.Device, chunk int64) error {
	switch {
	case len(members) == 0 || len(members) > maxMembers:
		return fmt.Errorf("an array of %d members: %w", len(members), syscall.EINVAL)
	case chunk <= 0 || chunk > math.MaxInt32*512:
		return fmt.Errorf("an array with chunks of %d bytes: %w", chunk, syscall.EINVAL)
	}
	return nil
}

func (a *array) Size() int64 { return a.size }

func (a *array) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), a.size)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	done := int64(0)
	for done < n {
		if err := ctx.Err(); err != nil {
			return int(done), err
		}
		copies, run := a.geo.find(off + done)
		run = min(run, n-done)
		if err := a.read(ctx, p[done:done+run], copies); err != nil {
			return int(done), err
		}
		done += run
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// read reads p from the first copy that can be read, or computes it.
func (a *array) read(ctx context.Context, p []byte, copies []place) error {
	var first error
	for _, c := range copies {
		err := a.member(ctx, p, c)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if first == nil || errors.Is(first, ErrMissing) {
			first = err
		}
	}
	if a.parity == nil {
		return first
	}
	if err := a.parity.rebuild(ctx, a, p, copies[0]); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w; nor can they be computed: %w", first, err)
	}
	return nil
}

func (a *array) member(ctx context.Context, p []byte, at place) error {
	dev := a.members[at.member]
	if dev == nil {
		return ErrMissing
	}
	return block.ReadFull(ctx, dev, p, at.off)
}

// Usable says whether the members that are there have all bytes of an array
// that this package made.
func Usable(dev block.Device) bool {
	a, ok := dev.(*array)
	if !ok {
		return true
	}
	if a.parity != nil {
		lost := 0
		for _, m := range a.members {
			if m == nil {
				lost++
			}
		}
		return lost <= a.parity.parities
	}
	// The places of copies repeat after as many chunks as there are members.
	off := int64(0)
	for i := 0; i < len(a.members) && off < a.size; i++ {
		copies, n := a.geo.find(off)
		found := false
		for _, c := range copies {
			found = found || a.members[c.member] != nil
		}
		if !found {
			return false
		}
		off += n
	}
	return true
}

func (a *array) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, a.size); n == 0 {
		return block.Run{}, io.EOF
	}
	copies, run := a.geo.find(off)
	run = min(run, n)
	for _, c := range copies {
		if dev := a.members[c.member]; dev != nil && c.off < dev.Size() {
			return dev.Locate(ctx, c.off, run)
		}
	}
	return block.Run{Kind: block.Opaque, Len: run}, nil
}

// Prefetch passes the hint to the members, for as many chunks as a hint is
// likely to have.
func (a *array) Prefetch(off, n int64) {
	n = block.Clamp(off, n, a.size)
	for done, i := int64(0), 0; done < n && i < 64; i++ {
		copies, run := a.geo.find(off + done)
		run = min(run, n-done)
		for _, c := range copies {
			if dev := a.members[c.member]; dev != nil {
				block.Prefetch(dev, c.off, run)
				break
			}
		}
		done += run
	}
}
