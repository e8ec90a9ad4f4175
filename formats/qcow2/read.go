package qcow2

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/guestctl/guestctl/formats/block"
)

// ReadAt reads the disk by io.ReaderAt's rules. Where it fails, none of p
// counts as read.
func (d *disk) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), d.h.size)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	var pieces []packed
	var run extent // plain extents that lie in a row, not read yet
	var at int64   // of run in p
	for done := int64(0); done < n; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		e, err := d.extentAt(ctx, off+done, n-done)
		if err != nil {
			return 0, err
		}
		dst, joined := p[done:done+e.len], false
		if run.len > 0 {
			if joined = run.join(e); !joined {
				err = d.readPlain(ctx, p[at:at+run.len], run.host)
				run = extent{}
			}
		}
		switch {
		case err != nil:
		case e.kind == zero:
			clear(dst)
		case e.kind == unallocated:
			err = d.readBacking(ctx, dst, off+done)
		case e.kind == compressed:
			pieces = append(pieces, packed{entry: e.entry, in: (off + done) & (d.h.cluster() - 1), dst: dst})
		case !joined:
			run, at = e, done
		}
		if err != nil {
			return 0, err
		}
		done += e.len
	}
	if run.len > 0 {
		if err := d.readPlain(ctx, p[at:at+run.len], run.host); err != nil {
			return 0, err
		}
	}
	if len(pieces) > 0 {
		d.readAhead(off, off+n)
		if err := d.readPacked(ctx, pieces, runtime.GOMAXPROCS(0)); err != nil {
			return 0, err
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// readPlain reads from the data file, and zeros beyond its end: its last
// cluster need not be filled up.
func (d *disk) readPlain(ctx context.Context, p []byte, host int64) error {
	n := block.Clamp(host, int64(len(p)), d.data.Size())
	clear(p[n:])
	return block.ReadFull(ctx, d.data, p[:n], host)
}

// readBacking reads from the backing file, and zeros where it has ended or
// there is none.
func (d *disk) readBacking(ctx context.Context, p []byte, off int64) error {
	n := int64(0)
	if d.backing != nil {
		n = block.Clamp(off, int64(len(p)), d.backing.Size())
	}
	clear(p[n:])
	if n == 0 {
		return nil
	}
	if err := block.ReadFull(ctx, d.backing, p[:n], off); err != nil {
		return fmt.Errorf("backing file %q: %w", d.h.backing, err)
	}
	return nil
}
