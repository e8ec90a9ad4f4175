package qcow2

import (
	"context"

	"github.com/guestctl/guestctl/formats/block"
)

// maxRemap is how many bytes of the disk one change of the mapping covers.
const maxRemap = 4 << 20

// change is a cluster whose entry a write changes.
type change struct {
	at       place
	pos      int64 // guest offset of the cluster
	from, to int64 // of what is written, in the cluster
	old, new cluster
	fresh    bool // the new host cluster is zeros
	moved    bool // the new host cluster is not the old one
}

// piece is bytes on their way to the data file.
type piece struct {
	host int64
	b    []byte
}

// remap writes a part of p, from its start on, to clusters that have no room
// of their own for it: it finds room, fills up what the write leaves of a unit
// with the bytes that were there, and only then changes the entries. What the
// entries said before holds until then, and in the file until a Sync.
func (w *writing) remap(ctx context.Context, p []byte, off int64) (int64, error) {
	// Nothing may be left half done.
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
	all, n, err := w.plan(s.b, at, off, min(int64(len(p)), maxRemap))
	if err != nil {
		return 0, err
	}
	runs, err := w.findRoom(ctx, all)
	if err == nil {
		err = w.writeChanges(ctx, all, p[:n], off)
	}
	if err != nil {
		for _, r := range runs {
			w.release(ctx, r)
		}
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range all {
		if c.new == c.old {
			continue
		}
		w.h.put(s.b, c.at.in, c.new)
		w.changed(s, c.at)
		if c.moved {
			w.freed = append(w.freed, w.hostClusters(c.old)...)
		}
	}
	return n, nil
}

// plan lists the clusters of [off, off+n) whose entries are in the slice b from
// at on, what their entries say and what they are to say, but for the places.
// It gives the number of bytes that they hold.
func (w *writing) plan(b []byte, at place, off, n int64) (all []change, covered int64, err error) {
	for ; covered < n && at.in < int64(len(b)); at.in += w.h.l2EntryLen() {
		pos := off + covered
		c := change{at: at, pos: pos &^ (w.h.cluster() - 1), from: pos & (w.h.cluster() - 1)}
		c.to = min(w.h.cluster(), c.from+n-covered)
		if c.old, err = w.clusterOf(b, at, pos); err != nil {
			return nil, 0, err
		}
		units := w.h.touched(c.from, c.to)
		c.new = c.old
		switch {
		case w.external:
			c.new.placed, c.new.owned, c.new.host = true, true, c.pos
		case c.old.packed != 0:
			c.new = cluster{}
			units, c.moved = w.h.units(), true
		case !c.old.owned:
			units |= c.old.plain
			c.moved = true
		}
		c.new.plain |= units
		c.new.zero &^= units
		all = append(all, c)
		covered += c.to - c.from
	}
	return all, covered, nil
}

// findRoom gives each cluster that moves its new place. The runs are what it
// allocated, also where it fails.
func (w *writing) findRoom(ctx context.Context, all []change) (runs []run, err error) {
	var need int64
	for i := range all {
		if all[i].moved {
			need++
		}
	}
	var r run
	for i := range all {
		c := &all[i]
		if !c.moved {
			continue
		}
		if r.count == 0 {
			if r, err = w.allocate(ctx, need, false); err != nil {
				return runs, err
			}
			runs = append(runs, r)
			need -= r.count
		}
		c.new.placed, c.new.owned, c.new.host, c.fresh = true, true, r.host, r.fresh
		r.host += w.h.cluster()
		r.count--
	}
	return runs, nil
}

// writeChanges writes the bytes of all: those of p, which belongs at off, and
// what was there before where a unit is newly used and not wholly overwritten.
func (w *writing) writeChanges(ctx context.Context, all []change, p []byte, off int64) error {
	var pieces []piece
	for _, c := range all {
		// What a unit has in its place already stays as it is there.
		keep := c.old.plain
		if c.moved {
			keep = 0
		}
		fill := func(i, from, to int64) error {
			if from >= to || keep>>i&1 != 0 {
				return nil
			}
			b, err := w.former(ctx, c, from, to)
			if b != nil {
				pieces = append(pieces, piece{c.new.host + from, b})
			}
			return err
		}
		unit := w.h.unit()
		for i := range w.h.cluster() / unit {
			if c.new.plain>>i&1 == 0 {
				continue
			}
			from, to := i*unit, (i+1)*unit
			// What of the unit is written; nothing where it only moves.
			start, end := max(from, c.from), min(to, c.to)
			if start >= end {
				start, end = to, to
			}
			if err := fill(i, from, start); err != nil {
				return err
			}
			if start < end {
				in := c.pos - off
				pieces = join(pieces, piece{c.new.host + start, p[in+start : in+end]})
			}
			if err := fill(i, end, to); err != nil {
				return err
			}
		}
	}
	for _, x := range pieces {
		if err := w.writeData(ctx, x.b, x.host); err != nil {
			return err
		}
	}
	return nil
}

// join appends next, or makes the last piece longer where next follows it in
// the file and in memory.
func join(pieces []piece, next piece) []piece {
	if n := len(pieces); n > 0 {
		last := &pieces[n-1]
		if l := len(last.b); last.host+int64(l) == next.host && cap(last.b)-l >= len(next.b) && &last.b[:l+1][l] == &next.b[0] {
			last.b = last.b[:l+len(next.b)]
			return pieces
		}
	}
	return append(pieces, next)
}

// former is what the disk has at [from, to) of the cluster of c; nil where it is
// zeros and so is the new place.
func (w *writing) former(ctx context.Context, c change, from, to int64) ([]byte, error) {
	inside := block.Clamp(c.pos+from, to-from, w.h.size)
	if w.external {
		to = from + inside // the data file ends with the disk
	}
	if from == to {
		return nil, nil
	}
	if c.fresh {
		zeros, err := w.readsZero(ctx, c.pos+from, inside)
		if err != nil || zeros {
			return nil, err
		}
	}
	b := make([]byte, to-from)
	if inside > 0 {
		if err := block.ReadFull(ctx, w.disk, b[:inside], c.pos+from); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// readsZero says whether the tables say that n bytes at off are zeros.
func (w *writing) readsZero(ctx context.Context, off, n int64) (bool, error) {
	for n > 0 {
		e, err := w.extentAt(ctx, off, n)
		if err != nil || !w.isZero(e, off) {
			return false, err
		}
		off, n = off+e.len, n-e.len
	}
	return true, nil
}

// isZero says whether the extent e at off is zeros, without reading it.
func (w *writing) isZero(e extent, off int64) bool {
	return e.kind == zero || e.kind == unallocated && (w.backing == nil || off >= w.backing.Size())
}
