package btrfs

import (
	"context"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A tree is a B-tree of items. It does not change.
type tree struct {
	fs   *FileSystem
	id   uint64
	root blockRef

	// edits are the objects of which the replayed log has other items; nil for
	// most trees. All items of such an object are there.
	edits map[uint64]*object
}

// A cursor stands on an item of a tree, or behind the last. It is for one
// goroutine. In an edited object it goes on to the object's end only.
type cursor struct {
	key  key
	data []byte
	ok   bool // it stands on an item

	t     *tree
	path  [maxLevel + 1]step // by level
	ahead bool               // leaves that come next are read along

	obj *object
	at  int
}

type step struct {
	n    node
	slot int
}

// search is the last entry of a node whose key is at or before k; -1 where
// there is none.
func (n node) search(k key) int {
	lo, hi := 0, n.count()
	size := n.slot()
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if keyAt(n[headerSize+mid*size:]).compare(k) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// floor stands on the last item at or before k; without ok where there is
// none, and next is the first item then.
func (t *tree) floor(ctx context.Context, k key) (c cursor, err error) {
	c.t = t
	if obj := t.edits[k.id]; obj != nil {
		c.obj, c.at = obj, obj.search(k.typ, k.off)
		c.load()
		return c, nil
	}
	n, err := t.fs.block(ctx, t.root, t.id)
	if err != nil {
		return c, err
	}
	for {
		slot := n.search(k)
		if n.level() == 0 {
			c.path[0] = step{n, slot}
			c.load()
			return c, nil
		}
		c.path[n.level()] = step{n, max(slot, 0)}
		if n, err = c.child(ctx, n.level()); err != nil {
			return c, err
		}
	}
}

// ceil stands on the first item at or behind k.
func (t *tree) ceil(ctx context.Context, k key) (c cursor, err error) {
	c, err = t.floor(ctx, k)
	if err == nil && (!c.ok || c.key != k) {
		err = c.next(ctx)
	}
	return c, err
}

// get gives the item of a key.
func (t *tree) get(ctx context.Context, k key) (data []byte, ok bool, err error) {
	c, err := t.floor(ctx, k)
	if err != nil || !c.ok || c.key != k {
		return nil, false, err
	}
	return c.data, true, nil
}

// child reads the block below the step of a level. Its keys must lie between
// the pointer's key and the next one: so no walk comes to a block twice.
func (c *cursor) child(ctx context.Context, level int) (node, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := c.path[level]
	bytenr, generation := s.n.child(s.slot)
	n, err := c.t.fs.block(ctx, blockRef{bytenr, generation, level - 1}, c.t.id)
	if err != nil {
		return nil, err
	}
	if n.count() == 0 || n.key(0) != s.n.key(s.slot) {
		return nil, ondisk.Corrupt(whatBlock, int64(bytenr), "its first key is not that of the pointer in the block at %d", s.n.bytenr())
	}
	if upper, ok := c.upper(level); ok && n.key(n.count()-1).compare(upper) >= 0 {
		return nil, ondisk.Corrupt(whatBlock, int64(bytenr), "its last key reaches into the next block's")
	}
	return n, nil
}

// upper is the key before which all that is below the step of a level ends.
func (c *cursor) upper(level int) (key, bool) {
	for ; level <= maxLevel && c.path[level].n != nil; level++ {
		if s := c.path[level]; s.slot+1 < s.n.count() {
			return s.n.key(s.slot + 1), true
		}
	}
	return key{}, false
}

// load takes the item that the steps lead to.
func (c *cursor) load() {
	if c.obj != nil {
		if c.ok = c.at >= 0 && c.at < len(c.obj.items); c.ok {
			i := &c.obj.items[c.at]
			c.key, c.data = key{c.obj.id, i.typ, i.off}, i.data
		}
		return
	}
	s := c.path[0]
	if c.ok = s.slot >= 0 && s.slot < s.n.count(); c.ok {
		c.key, c.data = s.n.key(s.slot), s.n.item(s.slot)
	}
}

// next goes to the item behind; without ok at the end of the tree.
func (c *cursor) next(ctx context.Context) error {
	if c.obj != nil {
		c.at++
		c.load()
		return nil
	}
	c.path[0].slot++
	if s := c.path[0]; s.slot < s.n.count() {
		c.load()
		return nil
	}
	level := 1
	for ; level <= maxLevel && c.path[level].n != nil; level++ {
		if s := &c.path[level]; s.slot+1 < s.n.count() {
			s.slot++
			break
		}
	}
	if level > maxLevel || c.path[level].n == nil {
		c.ok = false
		return nil
	}
	for ; level > 0; level-- {
		if level == 1 && c.ahead {
			c.readAhead(ctx)
		}
		n, err := c.child(ctx, level)
		if err != nil {
			c.ok = false
			return err
		}
		c.path[level-1] = step{n, 0}
	}
	c.load()
	return nil
}

// aheadBlocks is how many leaves are read along by a cursor that says so.
const aheadBlocks = 32

// readAhead reads the leaf below the step of level 1 with those behind it,
// where it is not in memory.
func (c *cursor) readAhead(ctx context.Context) {
	s := c.path[1]
	first, _ := s.n.child(s.slot)
	if _, ok := c.t.fs.blocks.Peek(first); ok {
		return
	}
	var addrs []uint64
	for i := s.slot; i < min(s.slot+aheadBlocks, s.n.count()); i++ {
		a, _ := s.n.child(i)
		addrs = append(addrs, a)
	}
	if len(addrs) > 1 {
		c.t.fs.prefetchBlocks(ctx, addrs)
	}
}

// leaves gives the leaves that hold the keys, which ascend, as far as the
// blocks above can be read.
func (t *tree) leaves(ctx context.Context, keys []key) []uint64 {
	var addrs []uint64
	var c cursor
	var upper key
	bounded := false
	for i, k := range keys {
		if t.edits[k.id] != nil || i > 0 && bounded && k.compare(upper) < 0 && len(addrs) > 0 {
			continue
		}
		if i > 0 && !bounded && len(addrs) > 0 {
			break // the last leaf holds all that follows
		}
		c = cursor{t: t}
		n, err := t.fs.block(ctx, t.root, t.id)
		for err == nil && n.level() > 1 {
			c.path[n.level()] = step{n, max(n.search(k), 0)}
			n, err = c.child(ctx, n.level())
		}
		if err != nil || n.level() == 0 {
			return addrs
		}
		c.path[1] = step{n, max(n.search(k), 0)}
		a, _ := n.child(c.path[1].slot)
		addrs = append(addrs, a)
		upper, bounded = c.upper(1)
	}
	return addrs
}
