package ext4

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// dxLimit is how many index entries fit behind a place in a block.
func (g *geometry) dxLimit(from int) int {
	room := g.blockSize - from
	if g.metadataCsum {
		room -= dxTail
	}
	return room / dxEntry
}

// makeIndex turns a directory of one full block into a hash tree: its entries
// go into a second block, the first becomes the root.
func (x *tx) makeIndex(ctx context.Context, dir *inode) error {
	g := x.fs.geo
	root, err := x.editDirBlock(ctx, dir, 0)
	if err != nil {
		return err
	}
	dot, dotdot := dirent(root), dirent(root[direntMin:])
	if dot.nameLen() != 1 || recLen(dot.rawRecLen(), g.blockSize) != direntMin || dotdot.inode() == 0 || dotdot.nameLen() != 2 {
		return dir.corrupt(ctx, "the directory does not begin with . and ..")
	}
	leaf, lblk, err := x.appendDirBlock(ctx, dir)
	if err != nil {
		return err
	}
	g.initLeaf(leaf)
	for at := direntMin + recLen(dotdot.rawRecLen(), g.blockSize); at < g.leafEnd(); {
		d := dirent(root[at:])
		if d.inode() != 0 && !g.putEntry(leaf, dirEntry{string(d.name()), d.inode(), d.fileType()}) {
			return dir.corrupt(ctx, "the entries of the first block overlap")
		}
		at += recLen(d.rawRecLen(), g.blockSize)
	}
	clear(root[direntMin+direntMin:])
	dotdot.setRecLen(g.blockSize-direntMin, g.blockSize)
	info := dxInfo(root[dxRootInfo:])
	info[4], info[5] = x.fs.sb.defHashVersion(), dxInfoLength
	e := dxEntries(root[dxRootEntries:])
	e.setLimit(g.dxLimit(dxRootEntries))
	e.setCount(1)
	e.setBlock(0, uint32(lblk))
	dir.raw.setFlags(dir.raw.flags() | flagIndex)
	return nil
}

// maxSplits bounds how often a tree is split for one name.
const maxSplits = 8

// addHashed puts a name into a hash tree.
func (x *tx) addHashed(ctx context.Context, dir *inode, e dirEntry) error {
	need := direntLen(len(e.name))
	for range maxSplits {
		w := dxWalk{dir: dir}
		leaf, err := w.start(ctx, dir.nameMatch(e.name))
		if errors.Is(err, errNoIndex) {
			return dir.corrupt(ctx, "the index of the directory is damaged, and nothing is added to it")
		}
		if err != nil {
			return err
		}
		b, ok, err := dir.dirBlock(ctx, uint64(leaf))
		if err != nil {
			return err
		}
		if _, index := dxPlace(b); !ok || index {
			return dir.corrupt(ctx, "block %d, a leaf of the index, is none", leaf)
		}
		if x.fs.geo.room(b, need) {
			if b, err = x.editDirBlock(ctx, dir, uint64(leaf)); err != nil {
				return err
			}
			x.fs.geo.putEntry(b, e)
			return nil
		}
		if last := w.frames[len(w.frames)-1]; last.entries.count() < last.entries.limit() {
			err = x.splitLeaf(ctx, dir, &w, leaf)
		} else {
			err = x.splitIndex(ctx, dir, &w)
		}
		if err != nil {
			return err
		}
	}
	return syscall.ENOSPC
}

// editIndex gives the entries of an index node to be changed.
func (x *tx) editIndex(ctx context.Context, dir *inode, f dxFrame) (dxEntries, error) {
	b, err := x.editDirBlock(ctx, dir, uint64(f.lblk))
	if err != nil {
		return nil, err
	}
	from, ok := dxPlace(b)
	if !ok {
		return nil, dir.corrupt(ctx, "block %d of the directory is no index", f.lblk)
	}
	return dxEntries(b[from:]), nil
}

// insertAfter adds an index entry behind entry at.
func (d dxEntries) insertAfter(at int, hash, block uint32) {
	n := d.count()
	copy(d[(at+2)*dxEntry:(n+1)*dxEntry], d[(at+1)*dxEntry:n*dxEntry])
	d.set(at+1, hash, block)
	d.setCount(n + 1)
}

// splitLeaf moves the upper half of a leaf's names, by their hashes, into a new
// block. The index node above has room.
func (x *tx) splitLeaf(ctx context.Context, dir *inode, w *dxWalk, leaf uint32) error {
	g := x.fs.geo
	old, err := x.editDirBlock(ctx, dir, uint64(leaf))
	if err != nil {
		return err
	}
	type hashed struct {
		dirEntry
		hash uint32
	}
	var all []hashed
	total := 0
	for at := 0; at < g.leafEnd(); {
		d := dirent(old[at:])
		if d.inode() != 0 {
			hash, _, ok := dirHash(w.version, x.fs.sb.hashSeed(), d.name())
			if !ok {
				return ondisk.Unsupported("ext4 filesystem", "a directory index with hash version %d", w.version)
			}
			all = append(all, hashed{dirEntry{string(d.name()), d.inode(), d.fileType()}, hash})
			total += direntLen(d.nameLen())
		}
		at += recLen(d.rawRecLen(), g.blockSize)
	}
	if len(all) < 2 {
		return dir.corrupt(ctx, "block %d of the directory has no room and %d names", leaf, len(all))
	}
	slices.SortStableFunc(all, func(a, b hashed) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return 0
	})
	split, size := len(all), 0
	for split > 1 && size+direntLen(len(all[split-1].name)) <= max(total/2, 1) {
		split--
		size += direntLen(len(all[split].name))
	}
	if split == len(all) {
		split--
	}
	b, lblk, err := x.appendDirBlock(ctx, dir)
	if err != nil {
		return err
	}
	g.initLeaf(b)
	g.initLeaf(old)
	for i, e := range all {
		to := old
		if i >= split {
			to = b
		}
		if !g.putEntry(to, e.dirEntry) {
			return dir.corrupt(ctx, "the entries of block %d overlap", leaf)
		}
	}
	hash := all[split].hash
	if all[split-1].hash == hash {
		hash |= 1 // names of this hash begin in the block before
	}
	last := w.frames[len(w.frames)-1]
	e, err := x.editIndex(ctx, dir, last)
	if err != nil {
		return err
	}
	e.insertAfter(last.at, hash, uint32(lblk))
	return nil
}

// splitIndex makes room in an index node of a walk whose lowest is full: the
// lowest whose parent has room is split, or else the root goes one level down.
func (x *tx) splitIndex(ctx context.Context, dir *inode, w *dxWalk) error {
	i := len(w.frames) - 1
	for i > 0 && w.frames[i-1].entries.count() == w.frames[i-1].entries.limit() {
		i--
	}
	if i == 0 && len(w.frames) >= w.levels {
		return syscall.ENOSPC // the tree has all the levels it may have
	}
	b, lblk, err := x.appendDirBlock(ctx, dir)
	if err != nil {
		return err
	}
	dirent(b).setRecLen(x.fs.geo.blockSize, x.fs.geo.blockSize)
	to := dxEntries(b[dxNodeEntries:])
	to.setLimit(x.fs.geo.dxLimit(dxNodeEntries))
	e, err := x.editIndex(ctx, dir, w.frames[i])
	if err != nil {
		return err
	}
	n := e.count()
	if i == 0 { // the root's entries go one level down
		copy(to[dxEntry:], e[dxEntry:n*dxEntry])
		to.setBlock(0, e.block(0))
		to.setCount(n)
		e.setCount(1)
		e.setBlock(0, uint32(lblk))
		root, err := x.editDirBlock(ctx, dir, 0)
		if err != nil {
			return err
		}
		info := dxInfo(root[dxRootInfo:])
		info.setLevels(info.indirectLevels() + 1)
		return nil
	}
	keep := n / 2
	hash := e.hash(keep)
	copy(to[dxEntry:], e[(keep+1)*dxEntry:n*dxEntry])
	to.setBlock(0, e.block(keep))
	to.setCount(n - keep)
	e.setCount(keep)
	parent, err := x.editIndex(ctx, dir, w.frames[i-1])
	if err != nil {
		return err
	}
	parent.insertAfter(w.frames[i-1].at, hash, uint32(lblk))
	return nil
}
