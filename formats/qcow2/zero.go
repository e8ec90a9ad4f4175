package qcow2

import (
	"context"
	"io"

	"github.com/guestctl/guestctl/formats/block"
)

// zeroPiece is how many zeros are written at once where no entry can say so.
const zeroPiece = 1 << 20

// Zero makes n bytes at off zeros: whole units by their entries, which gives
// their room back, the rest by writing. What reads as zeros already is left.
// An external data file gets a hole.
func (d writable) Zero(ctx context.Context, off, n int64) error {
	if n < 0 || block.Clamp(off, n, d.h.size) < n {
		return io.ErrShortWrite
	}
	if n == 0 {
		return nil
	}
	w := d.w
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := w.relieve(ctx); err != nil {
		return err
	}
	in := w.grace.enter()
	defer w.grace.leave(in)
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		done, err := w.zero(ctx, off, n)
		if err != nil {
			return err
		}
		off, n = off+done, n-done
	}
	return nil
}

// zero makes a part of n bytes at off zeros, from its start on.
func (w *writing) zero(ctx context.Context, off, n int64) (int64, error) {
	e, err := w.extentAt(ctx, off, n)
	if err != nil {
		return 0, err
	}
	if w.isZero(e, off) {
		return e.len, nil
	}
	if e.kind == plain && w.external {
		// What lies beyond the file's end is zeros.
		inside := block.Clamp(e.host, e.len, w.data.Size())
		return e.len, w.data.Zero(ctx, e.host, inside)
	}
	if w.external {
		n = min(n, e.len) // what is plain further on gets a hole
	}
	unit := w.h.unit()
	if whole := n; off%unit == 0 {
		// The disk's end covers the rest of its last unit.
		if off+n < w.h.size {
			whole -= n % unit
		}
		if whole > 0 && w.canUnmap(off, whole) {
			done, err := w.unmap(ctx, off, whole)
			if err != nil || done > 0 {
				return done, err
			}
		}
	}
	n = min(n, e.len, zeroPiece)
	if rest := unit - off%unit; n > rest {
		n = rest
	}
	return w.write(ctx, make([]byte, n), off)
}

// canUnmap says whether an entry can say that n bytes at off are zeros: in
// version 2 only where there is no backing file to show through.
func (w *writing) canUnmap(off, n int64) bool {
	return w.h.version >= 3 || w.isZero(extent{kind: unallocated}, off)
}

// unmap makes whole units from off on zeros by their entries. It covers what
// one slice has, and nothing at all where a compressed cluster is to be zeros
// in part.
func (w *writing) unmap(ctx context.Context, off, n int64) (int64, error) {
	ctx = context.WithoutCancel(ctx)
	w.alloc.Lock()
	defer w.alloc.Unlock()
	if err := w.markDirty(ctx); err != nil {
		return 0, err
	}
	table, err := w.ensureTable(ctx, off)
	if err != nil {
		return 0, err
	}
	at := w.entryPlace(table, off)
	s, err := w.edit(ctx, at.slice)
	if err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var done int64
	for ; done < n && at.in < int64(len(s.b)); at.in += w.h.l2EntryLen() {
		pos := off + done
		from := pos & (w.h.cluster() - 1)
		to := min(w.h.cluster(), from+n-done)
		old, err := w.clusterOf(s.b, at, pos)
		if err != nil {
			return done, err
		}
		next, units := old, w.h.touched(from, to)
		if old.packed != 0 {
			if units != w.h.units() {
				return done, nil
			}
			next = cluster{}
		}
		next.plain &^= units
		if w.h.version >= 3 {
			next.zero |= units
		}
		if next.plain == 0 && !w.external {
			next.placed, next.owned, next.host = false, false, 0
			w.freed = append(w.freed, w.hostClusters(old)...)
		}
		w.h.put(s.b, at.in, next)
		w.changed(s, at)
		done += to - from
	}
	return done, nil
}
