package qcow2

import (
	"context"
	"maps"
)

// maxDirtySlices is how many bytes of changed L2 slices are kept; then they
// are made durable without having been asked to.
const maxDirtySlices = 16 << 20

// dirtySlice is a slice of an L2 table that differs from the file.
type dirtySlice struct {
	b        []byte
	from, to int64  // the bytes that differ lie between
	version  uint64 // grows with every change
}

// extentAt is disk.extentAt for an image that is open for writing: changed
// slices are asked first. No lock is held while a slice is read.
func (w *writing) extentAt(ctx context.Context, off, n int64) (extent, error) {
	for {
		w.mu.RLock()
		table, err := w.l2Table(off)
		if err != nil || table == 0 {
			w.mu.RUnlock()
			return w.noTable(off, n), err
		}
		at := w.entryPlace(table, off)
		if s := w.slices[at.slice]; s != nil {
			e, err := w.scan(s.b, at, off, n)
			w.mu.RUnlock()
			return e, err
		}
		flushes := w.flushes
		w.mu.RUnlock()
		b, err := w.slice(ctx, at.slice, w.sliceLen())
		if err != nil {
			return extent{}, err
		}
		w.mu.RLock()
		valid := w.flushes == flushes && w.slices[at.slice] == nil
		w.mu.RUnlock()
		if valid {
			return w.scan(b, at, off, n)
		}
	}
}

// edit is the slice at a host offset, to be changed under mu. writing.alloc is
// held, so that nobody else changes it.
func (w *writing) edit(ctx context.Context, at int64) (*dirtySlice, error) {
	w.mu.RLock()
	s := w.slices[at]
	w.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	b, err := w.slice(ctx, at, w.sliceLen())
	if err != nil {
		return nil, err
	}
	return &dirtySlice{b: append([]byte(nil), b...), from: int64(len(b))}, nil
}

// changed notes that the entry at in of the slice s, which edit gave, has
// another value. mu is held.
func (w *writing) changed(s *dirtySlice, at place) {
	s.from = min(s.from, at.in)
	s.to = max(s.to, at.in+w.h.l2EntryLen())
	s.version++
	w.slices[at.slice] = s
}

// ensureTable is the host offset of the L2 table of off, to which nothing but
// the L1 table refers: a new one where there is none, a copy where a snapshot
// has it too. writing.alloc is held.
func (w *writing) ensureTable(ctx context.Context, off int64) (int64, error) {
	w.mu.RLock()
	i := off >> w.h.l2Bits()
	table, err := w.l2Table(off)
	owned := w.l1[i]&l1Copied != 0
	w.mu.RUnlock()
	if err != nil || table != 0 && owned {
		return table, err
	}
	r, err := w.allocate(ctx, 1, true)
	if err != nil {
		return 0, err
	}
	if table != 0 {
		for at := int64(0); at < w.h.cluster() && err == nil; at += w.sliceLen() {
			var s *dirtySlice
			if s, err = w.edit(ctx, table+at); err == nil {
				_, err = w.src.WriteAt(ctx, s.b, r.host+at)
			}
		}
	} else if !r.fresh {
		err = w.src.Zero(ctx, r.host, w.h.cluster())
	}
	if err != nil {
		w.release(ctx, r)
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// The cache may have what was there before.
	for at := r.host; at < r.host+w.h.cluster(); at += w.sliceLen() {
		w.tables.Remove(at)
	}
	w.l1[i] = uint64(r.host) | l1Copied
	w.l1Dirty[i] = struct{}{}
	w.newTables[r.host] = struct{}{}
	if table != 0 {
		w.freed = append(w.freed, table>>w.h.clusterBits)
	}
	return r.host, nil
}

// flush is what one Sync writes of the tables, as it was at one moment.
type flush struct {
	slices    map[int64]dirtySlice // copies
	l1        map[int64]uint64
	newTables map[int64]struct{}
	freed     []int64
}

// capture takes what is to be written. All data that it refers to is written.
func (w *writing) capture() flush {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := flush{slices: make(map[int64]dirtySlice), l1: make(map[int64]uint64),
		newTables: maps.Clone(w.newTables), freed: w.freed}
	for at, s := range w.slices {
		c := *s
		c.b = append([]byte(nil), s.b...)
		f.slices[at] = c
	}
	for i := range w.l1Dirty {
		f.l1[i] = w.l1[i]
	}
	w.freed = nil
	return f
}

// putBack is for a flush that failed: what it took is still to be done.
func (w *writing) putBack(f flush) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.freed = append(w.freed, f.freed...)
}

// done notes that f is in the file and durable. What was changed meanwhile
// stays dirty.
func (w *writing) done(f flush) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushes++
	for at, c := range f.slices {
		s := w.slices[at]
		if s.version != c.version {
			continue
		}
		// One that is being filled has read the file before the write. Who
		// edits s may go on to change it, so the copy is what is cached.
		w.tables.Remove(at)
		w.tables.Add(at, c.b, int64(len(c.b)))
		delete(w.slices, at)
	}
	for i, e := range f.l1 {
		if w.l1[i] == e {
			delete(w.l1Dirty, i)
		}
	}
	for t := range f.newTables {
		delete(w.newTables, t)
	}
}
