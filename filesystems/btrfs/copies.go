package btrfs

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/guestctl/guestctl/formats/block"
)

// attempts is how many ways there are to read the bytes of a chunk: its copies,
// or the data and what parity says it was.
func (c *chunk) attempts() int {
	switch c.parity {
	case 0:
		return c.copies
	case 1:
		return 2
	}
	// Of raid6: directly, with this stripe lost, with this and each other lost.
	return 2 + len(c.stripes) - 1
}

// place says where a piece of the chunk lies: the first stripe of its group of
// copies, the offset in them, and how many bytes go on there.
func (c *chunk) place(in uint64) (first int, off, n uint64) {
	if c.parity == 0 && c.groups() == 1 {
		return 0, in, c.length - in
	}
	piece, at := in/stripeLen, in%stripeLen
	n = min(stripeLen-at, c.length-in)
	if c.parity == 0 {
		groups := uint64(c.groups())
		return int(piece%groups) * c.copies, piece/groups*stripeLen + at, n
	}
	data := uint64(c.data())
	row := piece / data
	// The columns move on by one stripe in every row, and so does the parity.
	return int((row + piece%data) % uint64(len(c.stripes))), row*stripeLen + at, n
}

// readOn reads p from a stripe.
func (m *chunkMap) readOn(ctx context.Context, s stripe, p []byte, off uint64) error {
	if s.on.dev == nil {
		return m.ms.miss(s.on)
	}
	at := int64(s.off + off)
	if err := block.ReadFull(ctx, s.on.dev, p, at); err != nil {
		if err == io.ErrUnexpectedEOF {
			return fmt.Errorf("byte %d is beyond the end of btrfs device %s, which has %d: the image is truncated: %w", at, s.on, s.on.dev.Size(), err)
		}
		return err
	}
	return nil
}

// read reads p at a logical address, in the given attempt. Where that is one
// too many for the chunk, ok is false.
func (m *chunkMap) read(ctx context.Context, p []byte, logical uint64, attempt int) (ok bool, err error) {
	for len(p) > 0 {
		c, err := m.find(logical)
		if err != nil {
			return attempt == 0, err
		}
		if attempt >= c.attempts() {
			return false, nil
		}
		in := logical - c.start
		first, off, n := c.place(in)
		part := p[:min(uint64(len(p)), n)]
		if c.parity == 0 {
			err = m.readOn(ctx, c.stripes[first+attempt], part, off)
		} else if attempt == 0 {
			err = m.readOn(ctx, c.stripes[first], part, off)
		} else {
			err = m.rebuild(ctx, c, in, part, attempt)
		}
		if err != nil {
			return true, err
		}
		p, logical = p[len(part):], logical+uint64(len(part))
	}
	return true, nil
}

// maxWarnings bounds the bad copies that are reported one by one.
const maxWarnings = 100

// readVerified reads p at a logical address in each way there is until verify
// has nothing against it. The error is the first attempt's.
func (m *chunkMap) readVerified(ctx context.Context, p []byte, logical uint64, log *slog.Logger, verify func() error) error {
	var first error
	for attempt := 0; ; attempt++ {
		ok, err := m.read(ctx, p, logical, attempt)
		if !ok {
			return first
		}
		if err == nil {
			err = verify()
		}
		if err == nil {
			if first != nil && !isMissing(first) && m.warned.Add(1) <= maxWarnings {
				log.WarnContext(ctx, "btrfs: a bad copy was passed over for a good one", slog.Uint64("logical", logical),
					slog.Int("copy", attempt), slog.Any("error", first))
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A missing device is the lesser news where another copy is damaged.
		if first == nil || attempt == 1 && isMissing(first) && !isMissing(err) {
			first = err
		}
	}
}
