package fat

import (
	"context"
	"sort"
	"sync"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// geometry says where things are; every number in it has been compared.
type geometry struct {
	bits     int    // 12, 16, 32 (28 used), or 64 for exFAT's full 32
	sector   int64  // bytes
	cluster  int64  // bytes
	clusters uint32 // data clusters, numbered from 2
	fatOff   int64  // active FAT, bytes
	fatLen   int64  // bytes of one FAT
	heapOff  int64  // bytes, of cluster 2
	size     int64  // bytes of the volume
	second   bool   // exFAT: the second FAT and bitmap are the active ones
}

// has says whether c is the number of a data cluster.
func (g *geometry) has(c uint32) bool { return c >= 2 && c-2 < g.clusters }

// dirClusters is how many clusters a directory may have.
func (g *geometry) dirClusters() uint32 {
	return uint32(min(int64(g.clusters), dirMax/g.cluster))
}

// offset is the place of data cluster c.
func (g *geometry) offset(c uint32) int64 { return g.heapOff + int64(c-2)*g.cluster }

// fatUnit is how much of the FAT is read at once, in bytes: a multiple of 3,
// so that no FAT12 entry crosses two reads.
const fatUnit = 3 * 4096

// fatTable reads the active FAT. Nothing in a stretch of it can be verified by
// itself: every entry is compared where it is used.
type fatTable struct {
	geo   *geometry
	store *txn.Store
	kind  *txn.Kind
}

// fatView is one stretch of the FAT, kept while a chain is followed.
type fatView struct {
	unit int64
	b    []byte
}

// next answers what the FAT says about cluster c: the following cluster, or
// last. Anything else is damage.
func (t *fatTable) next(ctx context.Context, view *fatView, c uint32) (following uint32, last bool, err error) {
	var pos int64
	switch t.geo.bits {
	case 12:
		pos = int64(c) + int64(c)/2
	case 16:
		pos = int64(c) * 2
	default:
		pos = int64(c) * 4
	}
	unit := pos / fatUnit
	if view.b == nil || view.unit != unit {
		at := txn.Addr{Off: t.geo.fatOff + unit*fatUnit, Len: int(min(fatUnit, t.geo.fatLen-unit*fatUnit))}
		b, err := t.store.Read(ctx, at, t.kind)
		if err != nil {
			return 0, false, err
		}
		view.unit, view.b = unit, b
	}
	in := view.b[pos-unit*fatUnit:]
	var v, end uint32
	switch t.geo.bits {
	case 12:
		v, end = uint32(le.Uint16(in)), 0xFF8
		if c&1 != 0 {
			v >>= 4
		} else {
			v &= 0xFFF
		}
	case 16:
		v, end = uint32(le.Uint16(in)), 0xFFF8
	case 32:
		v, end = le.Uint32(in)&0x0FFFFFFF, 0x0FFFFFF8
	default:
		v, end = le.Uint32(in), 0xFFFFFFF8
	}
	if v >= end {
		return 0, true, nil
	}
	if !t.geo.has(v) {
		what := "outside the volume"
		switch v {
		case 0:
			what = "free"
		case end - 1:
			what = "bad"
		}
		return 0, false, ondisk.Corrupt("FAT entry", t.geo.fatOff+pos, "cluster %d is followed by %#x, which is %s", c, v, what)
	}
	return v, false, nil
}

// maxStretches bounds what is remembered of one chain.
const maxStretches = 4096

// A chain is the clusters of one file or directory.
type chain struct {
	fat   *fatTable
	first uint32
	// contiguous: exFAT's NoFatChain. The FAT says nothing.
	contiguous bool
	// clusters is how many there are at most: what the size needs; for a FAT
	// directory, whose size is not recorded, what dirMax allows.
	clusters uint32

	mu     sync.Mutex // guards all below, also while the FAT is read
	known  []stretch  // in ascending order, thinned where there are many
	every  uint32     // of how many runs one is kept; a power of two
	runs   uint32     // runs seen
	front  place      // the furthest cluster known
	count  uint32     // clusters in all, once ended
	ended  bool
	broken error // the frontier met damage: nothing follows it
	// Brent's cycle detection over the frontier, for what known has forgotten.
	turtle uint32
	power  uint32
	lambda uint32
}

// A place is a cluster and its index in the chain.
type place struct{ index, cluster uint32 }

// A stretch is n clusters in a row.
type stretch struct {
	place
	n uint32
}

// at is the place i clusters into the stretch.
func (s stretch) at(i uint32) place { return place{s.index + i, s.cluster + i} }

func newChain(t *fatTable, first uint32, contiguous bool, clusters uint32) *chain {
	start := place{0, first}
	return &chain{fat: t, first: first, contiguous: contiguous, clusters: clusters,
		known: []stretch{{start, 1}}, every: 1, runs: 1, front: start, turtle: first, power: 1}
}

// run answers the cluster at index, and how many clusters from there on lie in
// a row, up to max. n is 0 where the chain ends before index.
func (c *chain) run(ctx context.Context, index, max uint32) (cluster, n uint32, err error) {
	if index >= c.clusters || max == 0 {
		return 0, 0, nil
	}
	max = min(max, c.clusters-index)
	if c.contiguous {
		return c.first + index, max, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var view fatView
	at, row := c.front, uint32(1)
	if index < at.index {
		i := sort.Search(len(c.known), func(i int) bool { return c.known[i].index > index })
		s := c.known[i-1]
		skip := min(index-s.index, s.n-1)
		at, row = s.at(skip), s.n-skip
	}
	for at.index < index {
		ok, err := c.step(ctx, &view, &at)
		if err != nil || !ok {
			return 0, 0, err
		}
		row = 1
	}
	cluster, n = at.cluster, min(row, max)
	for at = (stretch{at, row}).at(n - 1); n < max; n++ {
		before := at.cluster
		ok, err := c.step(ctx, &view, &at)
		if err != nil {
			// What comes before the damage is good; the next call meets it.
			return cluster, n, nil
		}
		if !ok || at.cluster != before+1 {
			break
		}
	}
	return cluster, n, nil
}

// step moves at to the next cluster; false at the end of the chain. c.mu is held.
func (c *chain) step(ctx context.Context, view *fatView, at *place) (bool, error) {
	if c.ended && at.index+1 >= c.count {
		return false, nil
	}
	if at.index+1 >= c.clusters {
		return false, nil
	}
	if at.index&0xFFFF == 0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
	if c.broken != nil && at.index == c.front.index {
		return false, c.broken
	}
	next, last, err := c.fat.next(ctx, view, at.cluster)
	if err != nil {
		return false, err
	}
	if last {
		c.ended, c.count = true, at.index+1
		return false, nil
	}
	if at.index < c.front.index {
		*at = place{at.index + 1, next}
		return true, nil
	}
	jump := next != at.cluster+1
	if c.lambda++; next == c.turtle || jump && c.seen(next) {
		c.broken = ondisk.Corrupt("FAT chain", c.fat.geo.fatOff, "the chain of cluster %d comes back to cluster %d", c.first, next)
		return false, c.broken
	}
	*at = place{at.index + 1, next}
	c.front = *at
	if c.lambda == c.power {
		c.turtle, c.lambda = next, 0
		c.power *= 2
	}
	if jump {
		c.remember(*at)
	} else if s := &c.known[len(c.known)-1]; s.at(s.n) == *at {
		s.n++
	}
	return true, nil
}

// seen says whether a cluster lies in a stretch that is remembered. A chain
// that comes back does so by a jump to such a one.
func (c *chain) seen(cluster uint32) bool {
	for _, s := range c.known {
		if cluster-s.cluster < s.n {
			return true
		}
	}
	return false
}

// remember keeps the start of a run, and one of two of the others where there
// are too many.
func (c *chain) remember(at place) {
	if c.runs++; c.runs%c.every != 0 {
		return
	}
	if len(c.known) == maxStretches {
		kept := c.known[:1]
		for i := 2; i < len(c.known); i += 2 {
			kept = append(kept, c.known[i])
		}
		c.known = kept
		c.every *= 2
	}
	c.known = append(c.known, stretch{at, 1})
}

// length is the number of clusters in the chain.
func (c *chain) length(ctx context.Context) (uint32, error) {
	if c.contiguous {
		return c.clusters, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var view fatView
	at := c.front
	for {
		ok, err := c.step(ctx, &view, &at)
		if err != nil {
			return at.index + 1, err
		}
		if !ok {
			return at.index + 1, nil
		}
	}
}
