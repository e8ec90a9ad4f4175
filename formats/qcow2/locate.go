package qcow2

import (
	"context"
	"io"

	"github.com/guestctl/guestctl/formats/block"
)

// locateSteps bounds the extents that one Locate joins, and so its I/O.
const locateSteps = 64

// Locate answers Data for clusters in a plain host file, Zero for those that
// are zero, Opaque for compressed ones, and what the backing file answers for
// those that it has.
func (d *disk) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, d.h.size); n == 0 {
		return block.Run{}, io.EOF
	}
	e, err := d.extentAt(ctx, off, n)
	if err != nil {
		return block.Run{}, err
	}
	for range locateSteps {
		if e.len == n {
			break
		}
		// What cannot be looked up is the business of who asks for it.
		next, err := d.extentAt(ctx, off+e.len, n-e.len)
		if err != nil {
			break
		}
		if e.kind == compressed && next.kind == compressed {
			e.len += next.len
		} else if !e.join(next) {
			break
		}
	}
	switch e.kind {
	case zero:
		return block.Run{Kind: block.Zero, Len: e.len}, nil
	case compressed:
		return block.Run{Kind: block.Opaque, Len: e.len}, nil
	case plain:
		return locateIn(ctx, d.data, e.host, e.len)
	}
	if d.backing == nil {
		return block.Run{Kind: block.Zero, Len: e.len}, nil
	}
	return locateIn(ctx, d.backing, off, e.len)
}

// locateIn is dev's answer; what lies beyond its end reads as zeros.
func locateIn(ctx context.Context, dev block.Device, off, n int64) (block.Run, error) {
	inside := block.Clamp(off, n, dev.Size())
	if inside == 0 {
		return block.Run{Kind: block.Zero, Len: n}, nil
	}
	return dev.Locate(ctx, off, inside)
}
