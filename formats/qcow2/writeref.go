package qcow2

import (
	"context"
	"encoding/binary"
)

// flushRefcounts makes the counts in the file those in memory, and durable but for the
// last barrier, which is the caller's. Blocks go first, at places that nothing
// refers to or where they were before; the table's entries when the blocks are
// durable; and the header when a new table is.
func (w *writing) flushRefcounts(ctx context.Context) error {
	r := w.refs
	for {
		// Giving a block a place may make another block dirty, or the table longer.
		for again := true; again; {
			again = false
			for _, i := range r.dirty() {
				if r.table[i] != 0 {
					continue
				}
				at, err := w.allocate(ctx, 1, true)
				if err != nil {
					return err
				}
				r.table[i] = uint64(at.host)
				r.stale[i] = struct{}{}
				again = true
			}
			if int64(len(r.table)) <= r.length {
				continue
			}
			// Some room, so that this is rare.
			clusters := (int64(len(r.table))*entryLen*3/2 + r.cluster() - 1) >> r.clusterBits
			clusters = max(min(clusters, maxRefcountBytes>>r.clusterBits), 1)
			at, err := w.allocate(ctx, clusters, true)
			if err != nil {
				return err
			}
			if r.length > 0 {
				w.oldTables = append(w.oldTables, span{r.offset >> r.clusterBits, r.length * entryLen >> r.clusterBits})
			}
			r.offset, r.length = at.host, clusters*r.cluster()/entryLen
			w.tableMoved = true
			again = true
		}
		if len(r.dirty())+len(r.stale) == 0 && !w.tableMoved {
			return nil
		}
		if err := w.writeRefcounts(ctx); err != nil {
			return err
		}
		// Nothing in the file names the old tables any more.
		for _, s := range w.oldTables {
			for c := s.first; c < s.first+s.count; c++ {
				if err := w.unref(ctx, c); err != nil {
					return err
				}
			}
		}
		w.oldTables = nil
		w.punchNow(ctx)
	}
}

// writeRefcounts writes what is dirty, all of which has its place.
func (w *writing) writeRefcounts(ctx context.Context) error {
	r := w.refs
	dirty := r.dirty()
	for _, i := range dirty {
		at, err := r.place(i)
		if err != nil {
			return err
		}
		if _, err := w.src.WriteAt(ctx, r.blocks[i].b, at); err != nil {
			return err
		}
	}
	if len(r.stale) > 0 || w.tableMoved {
		if err := w.barrier(ctx, "counts"); err != nil {
			return err
		}
		if err := w.writeRefTable(ctx); err != nil {
			return err
		}
		clear(r.stale)
	}
	for _, i := range dirty {
		r.blocks[i].dirty = false
		r.clean += r.cluster()
	}
	return nil
}

// writeRefTable writes the entries of blocks with a new place, or the whole of
// a new table, and then the header.
func (w *writing) writeRefTable(ctx context.Context) error {
	r := w.refs
	if !w.tableMoved {
		for i := range r.stale {
			var b [entryLen]byte
			binary.BigEndian.PutUint64(b[:], r.table[i])
			if _, err := w.src.WriteAt(ctx, b[:], r.offset+i*entryLen); err != nil {
				return err
			}
		}
		return nil
	}
	b := make([]byte, r.length*entryLen)
	for i, e := range r.table {
		binary.BigEndian.PutUint64(b[i*entryLen:], e)
	}
	if _, err := w.src.WriteAt(ctx, b, r.offset); err != nil {
		return err
	}
	if err := w.barrier(ctx, "table"); err != nil {
		return err
	}
	// Both fields lie in one sector.
	var h [offRefcountClusters + 4 - offRefcountOffset]byte
	binary.BigEndian.PutUint64(h[:], uint64(r.offset))
	binary.BigEndian.PutUint32(h[offRefcountClusters-offRefcountOffset:], uint32(r.length*entryLen>>r.clusterBits))
	if _, err := w.src.WriteAt(ctx, h[:], offRefcountOffset); err != nil {
		return err
	}
	if err := w.barrier(ctx, "header"); err != nil {
		return err
	}
	w.tableMoved = false
	return nil
}
