package md

import (
	"context"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/volume/raid"
)

// A holed is a member that lacks the blocks of its bad-block list: what it has
// there is old.
type holed struct {
	block.Device
	base int64 // of the bytes in the device that the list speaks of
	bad  []span
}

// ReadAt fails where any of the bytes are bad.
func (h *holed) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	for _, b := range h.bad {
		if from := b.off - h.base; off < from+b.n && from < off+int64(len(p)) {
			return 0, raid.ErrMissing
		}
	}
	return h.Device.ReadAt(ctx, p, off)
}

// Locate answers Opaque, since a plain place would be read past the list.
func (h *holed) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	r, err := h.Device.Locate(ctx, off, n)
	return block.Run{Kind: block.Opaque, Len: r.Len}, err
}

// Prefetch passes the hint down.
func (h *holed) Prefetch(off, n int64) { block.Prefetch(h.Device, off, n) }
