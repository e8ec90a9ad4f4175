package qcow2

import (
	"context"
	"fmt"

	"github.com/guestctl/guestctl/formats/ahead"
	"github.com/guestctl/guestctl/formats/block"
)

// readAhead notes a read of compressed clusters at [off, end) and has what
// follows decoded where it is one of a sequence.
func (d *disk) readAhead(off, end int64) {
	from, to := d.streams.Note(off, end, d.window)
	d.Prefetch(from, to-from)
}

// Prefetch decodes compressed clusters into the cache and passes the rest on
// to the files that have it, in the background.
func (d *disk) Prefetch(off, n int64) {
	d.ahead.Add(off, min(block.Clamp(off, n, d.h.size), d.window), d.h.cluster())
}

// fetch does one job. What fails is met again by the reader, who is told.
func (d *disk) fetch(ctx context.Context, j ahead.Job) {
	defer func() {
		if p := recover(); p != nil && d.log != nil {
			d.log.Error("panic in the read-ahead of a qcow2 image", "offset", j.Off, "panic", fmt.Sprint(p))
		}
	}()
	var pieces []packed
	for j.Len > 0 && ctx.Err() == nil {
		e, err := d.extentAt(ctx, j.Off, j.Len)
		if err != nil {
			break
		}
		switch {
		case e.kind == compressed:
			pieces = append(pieces, packed{entry: e.entry})
		case e.kind == plain:
			block.Prefetch(d.data, e.host, e.len)
		case e.kind == unallocated && d.backing != nil:
			block.Prefetch(d.backing, j.Off, e.len)
		}
		j.Off, j.Len = j.Off+e.len, j.Len-e.len
	}
	// Other jobs have the other processors.
	_ = d.readPacked(ctx, pieces, 1)
}
