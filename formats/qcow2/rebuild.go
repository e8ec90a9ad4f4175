package qcow2

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	// maxRepair bounds the reference counts of a repair in memory, in bytes.
	maxRepair = 512 << 20
	// maxL1Repair bounds the L1 tables that a repair reads, in bytes.
	maxL1Repair = 256 << 20
)

// listMetadata finds where the tables lie, for unused.
func (w *writing) listMetadata(snapshots []snapshot) error {
	c := &counter{writing: w}
	c.header(snapshots)
	c.whole(w.refs.offset, w.refs.length*entryLen)
	for i, e := range w.refs.table {
		if e == 0 {
			continue
		}
		at, err := w.refs.place(int64(i))
		if err != nil {
			return err
		}
		c.whole(at, w.h.cluster())
	}
	for _, e := range w.l1 {
		if host := int64(e & entryOffset); host != 0 {
			c.whole(host, w.h.cluster())
		}
	}
	w.setMetadata(c.meta)
	return nil
}

func (w *writing) setMetadata(all []int64) {
	slices.Sort(all)
	w.metadata = slices.Compact(all)
}

// counter counts references from the tables.
type counter struct {
	*writing
	meta []int64 // clusters that hold tables, one for each time
}

// whole notes the clusters of a table of n bytes at off.
func (c *counter) whole(off, n int64) {
	for at := off >> c.h.clusterBits; n > 0 && at <= (off+n-1)>>c.h.clusterBits; at++ {
		c.meta = append(c.meta, at)
	}
}

// header notes what is there once: the header, the L1 tables, the snapshot
// table.
func (c *counter) header(snapshots []snapshot) {
	c.whole(0, c.h.cluster())
	c.whole(c.h.l1Offset, c.h.l1Size*entryLen)
	end := c.h.snapOffset
	for _, s := range snapshots {
		c.whole(int64(s.l1Offset), int64(s.l1Size)*entryLen)
		end = s.end
	}
	c.whole(c.h.snapOffset, end-c.h.snapOffset)
}

// rebuild makes the reference counts of an image whose writer did not close it
// anew, from all that refers to a cluster, as QEMU does when it opens one for
// writing. Nothing is written before the first Sync or Close: what the image
// says until then is that its counts are wrong. An image with any other damage
// is refused.
func (w *writing) rebuild(ctx context.Context, snapshots []snapshot) error {
	old := w.refs
	w.refs = newRefcounts(w.src, w.h)
	w.refs.limit = maxRepair
	c := &counter{writing: w}
	tables, err := c.l1Tables(ctx, snapshots)
	if err != nil {
		return err
	}
	c.header(snapshots)
	if err := c.bitmaps(ctx); err != nil {
		return err
	}
	for _, at := range c.meta {
		if err := c.add(ctx, at, 1); err != nil {
			return err
		}
	}
	for at, n := range tables {
		if err := c.l2Table(ctx, at, n); err != nil {
			return err
		}
	}
	for _, at := range c.meta {
		if err := c.exactly(ctx, at<<w.h.clusterBits, 1); err != nil {
			return err
		}
	}
	for at, n := range tables {
		if err := c.exactly(ctx, at, n); err != nil {
			return err
		}
		c.whole(at, w.h.cluster())
	}
	if err := w.fixFlags(ctx); err != nil {
		return err
	}
	if err := c.adopt(ctx, old); err != nil {
		return err
	}
	w.refs.limit = 0
	w.setMetadata(c.meta)
	return nil
}

// add counts n references to the cluster at.
func (c *counter) add(ctx context.Context, at int64, n uint64) error {
	v, err := c.refs.get(ctx, at)
	if err != nil {
		return err
	}
	if n > c.refs.max()-v {
		return ondisk.Corrupt(refBlockName, at<<c.h.clusterBits, "the cluster is used more than %d times", c.refs.max())
	}
	return c.refs.set(ctx, at, v+n)
}

// exactly is an error where the cluster of a table, which n others name, is
// used by anything else.
func (c *counter) exactly(ctx context.Context, off int64, n uint64) error {
	v, err := c.refs.get(ctx, off>>c.h.clusterBits)
	if err == nil && v != n {
		err = ondisk.Corrupt("qcow2 table", off, "the cluster is used %d times, %d of them as a table", v, n)
	}
	return err
}

// l1Tables reads all L1 tables: the L2 tables and how often each is used.
func (c *counter) l1Tables(ctx context.Context, snapshots []snapshot) (map[int64]uint64, error) {
	tables := make(map[int64]uint64)
	left := int64(maxL1Repair)
	read := func(off, n int64) error {
		if left -= n * entryLen; left < 0 {
			return ondisk.Unsupported(what, "repairing reference counts with L1 tables of more than %d bytes", maxL1Repair)
		}
		b := make([]byte, n*entryLen)
		if err := block.ReadFull(ctx, c.src, b, off); err != nil {
			return err
		}
		for i := range n {
			e := be64(b, int(i*entryLen))
			host, err := c.l2Host(e, off+i*entryLen)
			if err != nil {
				return err
			}
			if host != 0 {
				tables[host]++
			}
		}
		return nil
	}
	if err := read(c.h.l1Offset, c.h.l1Size); err != nil {
		return nil, err
	}
	for i := range snapshots {
		h := *c.h
		if err := h.use(&snapshots[i], c.src.Size()); err != nil {
			return nil, err
		}
		if err := read(h.l1Offset, h.l1Size); err != nil {
			return nil, err
		}
	}
	return tables, nil
}

// l2Table counts what the L2 table at, which n L1 entries name, refers to.
func (c *counter) l2Table(ctx context.Context, at int64, n uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.add(ctx, at>>c.h.clusterBits, n); err != nil {
		return err
	}
	b := make([]byte, c.sliceLen())
	for off := int64(0); off < c.h.cluster(); off += c.sliceLen() {
		if err := block.ReadFull(ctx, c.src, b, at+off); err != nil {
			return err
		}
		for in := int64(0); in < c.sliceLen(); in += c.h.l2EntryLen() {
			hosts, err := c.entryHosts(b, place{at + off, in})
			if err != nil {
				return err
			}
			for _, host := range hosts {
				if err := c.add(ctx, host, n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// entryHosts lists the host clusters of the entry at b[in:]. Which guest
// offset it is for is not known, nor needed without an external data file.
func (c *counter) entryHosts(b []byte, at place) ([]int64, error) {
	if c.external || be64(b, int(at.in)) == 0 {
		return nil, nil
	}
	x, err := c.clusterOf(b, at, 0)
	if err != nil {
		return nil, err
	}
	return c.hostClusters(x), nil
}

// bitmaps notes the clusters of the persistent bitmaps.
func (c *counter) bitmaps(ctx context.Context) error {
	all, dir, err := readBitmaps(ctx, c.src, c.h)
	if err != nil {
		return err
	}
	c.whole(dir[0], dir[1])
	for _, m := range all {
		c.whole(m.offset, m.size*entryLen)
		b := make([]byte, m.size*entryLen)
		if err := block.ReadFull(ctx, c.src, b, m.offset); err != nil {
			return err
		}
		for i := range m.size {
			host := int64(be64(b, int(i*entryLen)) & entryOffset)
			if host == 0 {
				continue
			}
			if host&(c.h.cluster()-1) != 0 || host >= c.src.Size() {
				return ondisk.Corrupt("qcow2 bitmap table", m.offset+i*entryLen, "the cluster at %d is not aligned or outside the file", host)
			}
			c.whole(host, 1)
		}
	}
	return nil
}

// fixFlags makes the flags that say "used once" those of the counts, in the
// active tables, which a writer trusts.
func (w *writing) fixFlags(ctx context.Context) error {
	per := w.h.l2EntryLen()
	for i, e := range w.l1 {
		table := int64(e & entryOffset)
		if table == 0 {
			continue
		}
		n, err := w.refs.get(ctx, table>>w.h.clusterBits)
		if err != nil {
			return err
		}
		if once := n == 1; once != (e&l1Copied != 0) {
			w.l1[i] = e ^ l1Copied
			w.l1Dirty[int64(i)] = struct{}{}
		}
		if w.external {
			continue
		}
		b := make([]byte, w.sliceLen())
		for off := int64(0); off < w.h.cluster(); off += w.sliceLen() {
			if err := block.ReadFull(ctx, w.src, b, table+off); err != nil {
				return err
			}
			s := &dirtySlice{b: b, from: int64(len(b))}
			for in := int64(0); in < int64(len(b)); in += per {
				e := be64(b, int(in))
				if e&l2Compressed != 0 || e&entryOffset == 0 {
					continue
				}
				n, err := w.refs.get(ctx, int64(e&entryOffset)>>w.h.clusterBits)
				if err != nil {
					return err
				}
				if once := n == 1; once != (e&l2Copied != 0) {
					binary.BigEndian.PutUint64(b[in:], e^l2Copied)
					w.changed(s, place{table + off, in})
				}
			}
			if s.version > 0 {
				b = make([]byte, w.sliceLen())
			}
		}
	}
	return nil
}
