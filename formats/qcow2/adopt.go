package qcow2

import (
	"context"
	"maps"
	"slices"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// adopt goes on with the refcount table and the blocks of old that nothing
// else uses, and leaves the others.
func (c *counter) adopt(ctx context.Context, old *refcounts) error {
	r := c.refs
	free := func(at, n int64) (bool, error) {
		for i := at >> c.h.clusterBits; i <= (at+n-1)>>c.h.clusterBits; i++ {
			if v, err := r.get(ctx, i); v != 0 || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	claim := func(at, n int64) error {
		for i := at >> c.h.clusterBits; i <= (at+n-1)>>c.h.clusterBits; i++ {
			if err := r.set(ctx, i, 1); err != nil {
				return err
			}
		}
		c.whole(at, n)
		return nil
	}
	ok, err := free(old.offset, old.length*entryLen)
	if err != nil {
		return err
	}
	if ok = ok && old.length > 0; ok {
		if err := claim(old.offset, old.length*entryLen); err != nil {
			return err
		}
		r.offset, r.length = old.offset, old.length
	}
	if grow := int(old.length) - len(r.table); ok && grow > 0 {
		r.table = append(r.table, make([]uint64, grow)...)
	}
	kept := make(map[int64]int64)
	for i, e := range old.table {
		if e == 0 || i >= len(r.table) {
			continue
		}
		at, err := old.place(int64(i))
		if err == nil {
			if ok, err := free(at, c.h.cluster()); err != nil {
				return err
			} else if ok {
				if err := claim(at, c.h.cluster()); err != nil {
					return err
				}
				kept[int64(i)] = at
				continue
			}
		}
		r.stale[int64(i)] = struct{}{}
	}
	for _, i := range slices.Sorted(maps.Keys(kept)) {
		if err := r.keep(ctx, i, kept[i]); err != nil {
			return err
		}
	}
	return nil
}

// keep gives the block i its old place, and marks it dirty where the file has
// other counts.
func (r *refcounts) keep(ctx context.Context, i, at int64) error {
	b := make([]byte, r.cluster())
	if err := block.ReadFull(ctx, r.src, b, at); err != nil {
		return err
	}
	r.table[i] = uint64(at)
	have := r.blocks[i]
	if have == nil {
		have = &refBlock{b: make([]byte, r.cluster()), dirty: true}
		if r.limit > 0 && int64(len(r.blocks)+1)*r.cluster() > r.limit {
			return ondisk.Unsupported(what, "repairing reference counts of more than %d bytes", r.limit)
		}
		r.blocks[i] = have
	}
	if string(have.b) == string(b) {
		have.dirty = false
		r.clean += r.cluster()
	}
	return nil
}
