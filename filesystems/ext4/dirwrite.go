package ext4

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// direntLen is the room that an entry with a name of n bytes takes.
func direntLen(n int) int { return (direntHeader + n + 3) &^ 3 }

// fileTypeOf is the file type that an entry has for an inode's mode.
func fileTypeOf(mode uint32) uint8 {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return 1
	case syscall.S_IFDIR:
		return 2
	case syscall.S_IFCHR:
		return 3
	case syscall.S_IFBLK:
		return 4
	case syscall.S_IFIFO:
		return 5
	case syscall.S_IFSOCK:
		return 6
	case syscall.S_IFLNK:
		return 7
	}
	return 0
}

// leafEnd is where the entries of a leaf end: before the checksum.
func (g *geometry) leafEnd() int {
	if g.metadataCsum {
		return g.blockSize - direntTail
	}
	return g.blockSize
}

// initLeaf makes b a leaf without entries.
func (g *geometry) initLeaf(b []byte) {
	clear(b)
	dirent(b).setRecLen(g.leafEnd(), g.blockSize)
	g.initTail(b)
}

func (g *geometry) initTail(b []byte) {
	if g.metadataCsum {
		tail := dirent(b[len(b)-direntTail:])
		tail.setRecLen(direntTail, g.blockSize)
		tail.setFileType(direntTailType)
	}
}

// An entry is what stands in a directory.
type dirEntry struct {
	name string
	num  uint32
	kind uint8
}

// putEntry puts an entry into a leaf, if there is room.
func (g *geometry) putEntry(b []byte, e dirEntry) bool {
	need := direntLen(len(e.name))
	for at := 0; at < g.leafEnd(); {
		d := dirent(b[at:])
		length, used := recLen(d.rawRecLen(), g.blockSize), 0
		if d.inode() != 0 {
			used = direntLen(d.nameLen())
		}
		if length-used < need {
			at += length
			continue
		}
		if used > 0 {
			d.setRecLen(used, g.blockSize)
			d = dirent(b[at+used:])
			d.setRecLen(length-used, g.blockSize)
		}
		d.setInode(e.num)
		if !g.noFiletype {
			d.setFileType(e.kind)
		}
		d.setName(e.name)
		return true
	}
	return false
}

// room says whether putEntry would find room.
func (g *geometry) room(b []byte, need int) bool {
	for at := 0; at < g.leafEnd(); {
		d := dirent(b[at:])
		length, used := recLen(d.rawRecLen(), g.blockSize), 0
		if d.inode() != 0 {
			used = direntLen(d.nameLen())
		}
		if length-used >= need {
			return true
		}
		at += length
	}
	return false
}

// editDirBlock gives a block of a directory to be changed.
func (x *tx) editDirBlock(ctx context.Context, dir *inode, lblk uint64) ([]byte, error) {
	r, err := dir.runAt(ctx, lblk)
	if err != nil {
		return nil, err
	}
	if r.hole() || r.unwritten {
		return nil, dir.corrupt(ctx, "block %d of the directory is a hole", lblk)
	}
	b, err := x.block(ctx, r.start, x.fs.kinds.dir, dir)
	if err != nil {
		return nil, err
	}
	if _, index := dxPlace(b); !index && x.fs.geo.metadataCsum && !dirent(b[len(b)-direntTail:]).isTail() {
		return nil, ondisk.Corrupt(x.fs.kinds.dir.Name, int64(r.start<<x.fs.geo.blockBits), "no room for a checksum")
	}
	return b, nil
}

// appendDirBlock adds a block to a directory, of zeros.
func (x *tx) appendDirBlock(ctx context.Context, dir *inode) (b []byte, lblk uint64, err error) {
	lblk = dir.dirBlocks()
	goal := x.fs.geo.groupStart((dir.num - 1) / x.fs.geo.inodesPerGroup)
	if lblk > 0 {
		if r, err := dir.runAt(ctx, lblk-1); err == nil && !r.hole() {
			goal = r.start + 1
		}
	}
	s, err := x.allocate(ctx, goal, 1)
	if err != nil {
		return nil, 0, err
	}
	x.addBlocks(dir, 1)
	if err := x.mapBlocks(ctx, dir, mapping{lblk, 1, s.start, false}); err != nil {
		return nil, 0, err
	}
	dir.raw.setSize64(int64(lblk+1) << x.fs.geo.blockBits)
	b, err = x.fresh(s.start, x.fs.kinds.dir, dir)
	return b, lblk, err
}

// addEntry puts a name that is not there into a directory.
func (x *tx) addEntry(ctx context.Context, dir *inode, e dirEntry) error {
	if dir.indexed() {
		return x.addHashed(ctx, dir, e)
	}
	if dir.flag(flagIndex) {
		return ondisk.Unsupported("ext4 filesystem", "changing the indexed directory %d without the feature dir_index", dir.num)
	}
	need, blocks := direntLen(len(e.name)), dir.dirBlocks()
	for lblk := range blocks {
		b, ok, err := dir.dirBlock(ctx, lblk)
		if err != nil {
			return err
		}
		if !ok || !x.fs.geo.room(b, need) {
			continue
		}
		if b, err = x.editDirBlock(ctx, dir, lblk); err != nil {
			return err
		}
		x.fs.geo.putEntry(b, e)
		return nil
	}
	if blocks == 1 && x.fs.sb.hasCompat(compatDirIndex) {
		if err := x.makeIndex(ctx, dir); err != nil {
			return err
		}
		return x.addHashed(ctx, dir, e)
	}
	b, _, err := x.appendDirBlock(ctx, dir)
	if err != nil {
		return err
	}
	x.fs.geo.initLeaf(b)
	x.fs.geo.putEntry(b, e)
	return nil
}

// A slot is where a name stands: in b, which can be changed, behind the entry
// at prev; prev is -1 for the first one.
type slot struct {
	b        []byte
	at, prev int
}

func (s slot) entry() dirent { return dirent(s.b[s.at:]) }

// findSlot finds a name to be changed. ENOENT where it is not there.
func (x *tx) findSlot(ctx context.Context, dir *inode, name string) (slot, error) {
	m := dir.nameMatch(name)
	if dir.indexed() && !m.dots {
		w := dxWalk{dir: dir}
		leaf, err := w.start(ctx, m)
		for more := true; err == nil && more; {
			if s, found, err := x.slotIn(ctx, dir, uint64(leaf), m); err != nil || found {
				return s, err
			}
			leaf, more, err = w.next(ctx)
		}
		if err == nil {
			return slot{}, syscall.ENOENT
		}
	}
	for lblk := range dir.dirBlocks() {
		if s, found, err := x.slotIn(ctx, dir, lblk, m); err != nil || found {
			return s, err
		}
	}
	return slot{}, syscall.ENOENT
}

func (x *tx) slotIn(ctx context.Context, dir *inode, lblk uint64, m *matcher) (slot, bool, error) {
	b, ok, err := dir.dirBlock(ctx, lblk)
	if err != nil || !ok {
		return slot{}, false, err
	}
	prev := -1
	for at := 0; at < len(b); {
		d := dirent(b[at:])
		if d.inode() != 0 && m.matches(d.name()) {
			b, err = x.editDirBlock(ctx, dir, lblk)
			return slot{b, at, prev}, err == nil, err
		}
		prev = at
		at += recLen(d.rawRecLen(), len(b))
	}
	return slot{}, false, nil
}

// removeEntry takes the entry of a slot out of its block. The room goes to the
// entry before it.
func (x *tx) removeName(s slot) {
	size := x.fs.geo.blockSize
	d := s.entry()
	length := recLen(d.rawRecLen(), size)
	if s.prev >= 0 {
		p := dirent(s.b[s.prev:])
		p.setRecLen(recLen(p.rawRecLen(), size)+length, size)
		clear(s.b[s.at : s.at+direntLen(d.nameLen())])
		return
	}
	clear(s.b[s.at : s.at+direntLen(d.nameLen())])
	d.setRecLen(length, size)
}

// emptyDir says whether a directory holds nothing but . and ..
func (x *tx) emptyDir(ctx context.Context, dir *inode) (bool, error) {
	if dir.flag(flagInlineData) {
		for part, err := range dir.inlineParts(ctx) {
			if err != nil {
				return false, err
			}
			if !onlyDots(part.b) {
				return false, nil
			}
		}
		return true, nil
	}
	for lblk := range dir.dirBlocks() {
		b, ok, err := dir.dirBlock(ctx, lblk)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		if !onlyDots(b) {
			return false, nil
		}
	}
	return true, nil
}

// onlyDots says whether entries, which were checked, are none but . and ..
func onlyDots(b []byte) bool {
	for at := 0; at < len(b); {
		d := dirent(b[at:])
		if d.inode() != 0 && !isDots(d.name()) {
			return false
		}
		at += recLen(d.rawRecLen(), len(b))
	}
	return true
}
