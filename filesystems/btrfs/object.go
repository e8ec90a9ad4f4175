package btrfs

import (
	"slices"
	"sort"
)

// An object is all items with one objectid of a tree that the replay of the
// log edits, in memory. It does not change once the filesystem is open.
type object struct {
	id    uint64
	items []item // ascending
}

type item struct {
	typ  uint8
	off  uint64
	data []byte // never changed in place: it may be part of a cached block
}

// search is the last item at or before (typ, off); -1 where there is none.
func (o *object) search(typ uint8, off uint64) int {
	return sort.Search(len(o.items), func(i int) bool {
		it := &o.items[i]
		return it.typ > typ || it.typ == typ && it.off > off
	}) - 1
}

// get gives an item; nil where there is none.
func (o *object) get(typ uint8, off uint64) *item {
	if i := o.search(typ, off); i >= 0 && o.items[i].typ == typ && o.items[i].off == off {
		return &o.items[i]
	}
	return nil
}

// set puts an item in, in place of the one that is there.
func (o *object) set(typ uint8, off uint64, data []byte) {
	i := o.search(typ, off)
	if i >= 0 && o.items[i].typ == typ && o.items[i].off == off {
		o.items[i].data = data
		return
	}
	o.items = slices.Insert(o.items, i+1, item{typ, off, data})
}

// remove takes an item out, where it is there.
func (o *object) remove(typ uint8, off uint64) {
	if i := o.search(typ, off); i >= 0 && o.items[i].typ == typ && o.items[i].off == off {
		o.items = slices.Delete(o.items, i, i+1)
	}
}

// of gives the items of a type. They are the object's own.
func (o *object) of(typ uint8) []item {
	from := o.search(typ, 0)
	if from < 0 || o.items[from].typ != typ {
		from++
	}
	to := from
	for to < len(o.items) && o.items[to].typ == typ {
		to++
	}
	return o.items[from:to]
}
