package qcow2

import (
	"context"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// span is host clusters in a row, by number.
type span struct{ first, count int64 }

// run is host clusters in a row that were allocated.
type run struct {
	host  int64 // offset in the file
	count int64 // clusters
	fresh bool  // the file was made longer for them: they are zeros
}

// allocate finds up to n clusters in a row that nothing refers to, exactly n
// where exact, and counts one reference to each. It takes what is free in the
// file first, in order, and makes the file longer where that does not do.
// writing.alloc is held.
func (w *writing) allocate(ctx context.Context, n int64, exact bool) (run, error) {
	size := w.src.Size()
	first, count := w.free, int64(0)
	for count < n {
		c := first + count
		// Counts that the image invents can make this long.
		if c&(1<<16-1) == 0 && ctx.Err() != nil {
			return run{}, ctx.Err()
		}
		v, err := w.refs.get(ctx, c)
		if err != nil {
			return run{}, err
		}
		// Clusters of the old and of the new part of the file are not one run.
		split := !exact && count > 0 && first<<w.h.clusterBits < size && c<<w.h.clusterBits >= size
		if v == 0 && !split {
			if err := w.unused(c); err != nil {
				return run{}, err
			}
			count++
			continue
		}
		if count > 0 && !exact {
			break
		}
		first, count = c+1, 0
		if !exact {
			w.free = first
		}
	}
	r := run{host: first << w.h.clusterBits, count: count}
	end := r.host + count<<w.h.clusterBits
	if end > entryOffset {
		return run{}, syscall.EFBIG
	}
	if end > size {
		r.fresh = r.host >= size
		if err := growTo(ctx, w.src, end); err != nil {
			return run{}, err
		}
	}
	for c := first; c < first+count; c++ {
		if err := w.refs.set(ctx, c, 1); err != nil {
			w.release(ctx, run{host: r.host, count: c - first})
			return run{}, err
		}
	}
	if first == w.free {
		w.free = first + count
	}
	return r, nil
}

// growTo makes dev as long as a write up to end needs.
func growTo(ctx context.Context, dev block.Writer, end int64) error {
	if end <= dev.Size() {
		return nil
	}
	if g, ok := dev.(block.Grower); ok {
		return g.Grow(ctx, end)
	}
	return syscall.ENOSPC
}

// unused is an error where the cluster c, which the counts call free, holds
// metadata that was there when the image was opened.
func (w *writing) unused(c int64) error {
	_, found := slices.BinarySearch(w.metadata, c)
	if found {
		return ondisk.Corrupt(refBlockName, c<<w.h.clusterBits, "the cluster is counted as free and holds metadata")
	}
	return nil
}

// release gives clusters back that nothing in the file or in memory refers to.
// Where that fails they are lost until the next repair.
func (w *writing) release(ctx context.Context, r run) {
	first := r.host >> w.h.clusterBits
	for c := first; c < first+r.count; c++ {
		if w.refs.set(context.WithoutCancel(ctx), c, 0) != nil {
			return
		}
		w.free = min(w.free, c)
	}
}

// unref takes one reference from the cluster c, of which the file no longer
// says that it is used. writing.alloc is held.
func (w *writing) unref(ctx context.Context, c int64) error {
	v, err := w.refs.get(ctx, c)
	if err != nil {
		return err
	}
	if v == 0 {
		return w.fail(ondisk.Corrupt(refBlockName, c<<w.h.clusterBits, "the cluster was in use and is counted as free"))
	}
	if err := w.refs.set(ctx, c, v-1); err != nil {
		return err
	}
	if v == 1 {
		w.free = min(w.free, c)
		if i, found := slices.BinarySearch(w.metadata, c); found {
			w.metadata = slices.Delete(w.metadata, i, i+1)
		}
		w.punch(ctx, c)
	}
	return nil
}

// punch gives the room of a free cluster back to the host, in runs. It is a
// favour: where the host cannot, nothing is lost.
func (w *writing) punch(ctx context.Context, c int64) {
	if c == w.hole.first+w.hole.count {
		w.hole.count++
		return
	}
	w.punchNow(ctx)
	w.hole = span{c, 1}
}

func (w *writing) punchNow(ctx context.Context) {
	off := w.hole.first << w.h.clusterBits
	if n := block.Clamp(off, w.hole.count<<w.h.clusterBits, w.src.Size()); n > 0 {
		_ = w.src.Zero(ctx, off, n)
	}
	w.hole = span{}
}

// grace keeps clusters that the file no longer refers to until those who may
// have looked them up before that have gone: a read or write in flight must
// not meet another's bytes.
type grace struct {
	generation atomic.Uint64
	inside     [2]atomic.Int64 // readers and writers, by the parity of the generation they came in

	// Clusters to take a reference from; writing.alloc guards them.
	young []int64
	old   []int64 // unmapped before the current generation began
}

// enter is called before the tables are asked, leave with its answer when the
// bytes are read or written.
func (g *grace) enter() uint64 {
	for {
		n := g.generation.Load()
		g.inside[n&1].Add(1)
		if g.generation.Load() == n {
			return n
		}
		g.inside[n&1].Add(-1)
	}
}

func (g *grace) leave(n uint64) { g.inside[n&1].Add(-1) }

// ripe takes those that nobody can be using.
func (g *grace) ripe() []int64 {
	var all []int64
	for range 2 {
		last := &g.inside[(g.generation.Load()+1)&1]
		if last.Load() != 0 {
			break
		}
		all, g.old = append(all, g.old...), nil
		if len(g.young) == 0 {
			break
		}
		g.old, g.young = g.young, nil
		g.generation.Add(1)
	}
	return all
}

// settle takes the references of clusters that are no longer in use.
func (w *writing) settle(ctx context.Context, all []int64) error {
	slices.Sort(all)
	for i, c := range all {
		if err := w.unref(ctx, c); err != nil {
			w.grace.young = append(w.grace.young, all[i:]...)
			w.punchNow(ctx)
			return err
		}
	}
	w.punchNow(ctx)
	return nil
}
