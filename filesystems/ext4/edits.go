package ext4

import (
	"cmp"
	"slices"
	"syscall"
)

// edits are the changes that fast commits make on top of the replayed journal,
// held in memory. They are complete before the filesystem is open and never
// change after. The methods that read may be called on nil, which changes
// nothing.
//
// They are consulted where the tables are: inode at the read of a raw inode,
// extents at the map of a file's blocks, dir at a directory.
type edits struct {
	inodes map[uint32]rawInode
	maps   map[uint32]*editMap
	dirs   map[uint32]*dirEdit

	// usedInodes and usedBlocks are what the fast commits took, for statfs:
	// inodes, and blocks of data. They are negative where more was given back.
	usedInodes int64
	usedBlocks int64
}

func newEdits() *edits {
	return &edits{inodes: make(map[uint32]rawInode), maps: make(map[uint32]*editMap), dirs: make(map[uint32]*dirEdit)}
}

// editMap is the map of an inode whose own is not used any more.
type editMap struct {
	changes []editExtent // in their order
	extents []editExtent // sorted; set by finish
	home    int64        // blocks that the inode's own map had
}

// editExtent is a run of a file's blocks. What no extent holds is a hole, and
// in a list of changes a start of 0 makes one.
type editExtent struct {
	file      uint32 // first block in the file
	blocks    uint64 // > 0, and file+blocks is at most maxLogical
	start     uint64 // first block on the device, which has them all
	unwritten bool
}

func (x editExtent) end() uint64 { return uint64(x.file) + x.blocks }

// dirEdit is what changes in one directory.
type dirEdit struct {
	names map[string]uint32 // the inode that a name was given; 0 where it was removed
	added []dirAdd          // those with an inode, sorted by name; set by finish
}

// dirAdd is a name that the fast commits put into a directory.
type dirAdd struct {
	name string
	ino  uint32
	mode uint32 // S_IFMT bits
}

// inode gives the bytes of an inode that a fast commit changed. Its checksum
// is not kept right.
func (e *edits) inode(num uint32) (rawInode, bool) {
	if e == nil {
		return nil, false
	}
	raw, ok := e.inodes[num]
	return raw, ok
}

// extents gives the whole map of an inode, sorted, where it replaces the
// inode's own.
func (e *edits) extents(num uint32) ([]editExtent, bool) {
	if e == nil || e.maps[num] == nil {
		return nil, false
	}
	return e.maps[num].extents, true
}

// dir gives what changes in a directory; nil where nothing does.
func (e *edits) dir(num uint32) *dirEdit {
	if e == nil {
		return nil
	}
	return e.dirs[num]
}

// hides says whether a name that stands in the directory's blocks does not
// count: it was removed, or given another inode.
func (d *dirEdit) hides(name string) bool {
	if d == nil {
		return false
	}
	_, edited := d.names[name]
	return edited
}

// setName gives a name in a directory an inode that e has, or removes the name
// with 0.
func (e *edits) setName(dir uint32, name string, num uint32) {
	d := e.dirs[dir]
	if d == nil {
		d = &dirEdit{names: make(map[string]uint32)}
		e.dirs[dir] = d
	}
	d.names[name] = num
}

// finish makes what was collected ready to be read.
func (e *edits) finish() {
	for _, m := range e.maps {
		m.extents = flatten(m.changes)
		for _, x := range m.extents {
			e.usedBlocks += int64(x.blocks)
		}
		e.usedBlocks -= m.home
	}
	for _, d := range e.dirs {
		for name, num := range d.names {
			if num != 0 {
				d.added = append(d.added, dirAdd{name, num, uint32(e.inodes[num].mode()) & syscall.S_IFMT})
			}
		}
		slices.SortFunc(d.added, func(a, b dirAdd) int { return cmp.Compare(a.name, b.name) })
	}
}

// flatten makes sorted extents of a list of changes, of which a later one
// replaces what it covers of the earlier ones. It takes n log n steps: the
// changes are laid, the last one first, over the stretches between all their
// ends, and what is covered is skipped.
func flatten(changes []editExtent) []editExtent {
	ends := make([]uint64, 0, 2*len(changes))
	for _, x := range changes {
		ends = append(ends, uint64(x.file), x.end())
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)

	owner := make([]int32, len(ends)) // of the stretch from ends[i]: the change, -1 for none
	free := make([]int32, len(ends)+1)
	for i := range ends {
		owner[i] = -1
	}
	for i := range free {
		free[i] = int32(i) // the first stretch from i on that has no owner
	}
	next := func(i int32) int32 {
		root := i
		for free[root] != root {
			root = free[root]
		}
		for free[i] != root {
			free[i], i = root, free[i]
		}
		return root
	}
	for c := len(changes) - 1; c >= 0; c-- {
		from, _ := slices.BinarySearch(ends, uint64(changes[c].file))
		for i := next(int32(from)); int(i) < len(ends) && ends[i] < changes[c].end(); i = next(i) {
			owner[i] = int32(c)
			free[i] = i + 1
		}
	}

	var out []editExtent
	for i, c := range owner {
		if c < 0 || changes[c].start == 0 {
			continue
		}
		x := changes[c]
		cut := editExtent{uint32(ends[i]), ends[i+1] - ends[i], x.start + (ends[i] - uint64(x.file)), x.unwritten}
		if n := len(out); n > 0 && out[n-1].end() == uint64(cut.file) && out[n-1].start+out[n-1].blocks == cut.start && out[n-1].unwritten == cut.unwritten {
			out[n-1].blocks += cut.blocks
			continue
		}
		out = append(out, cut)
	}
	return out
}
