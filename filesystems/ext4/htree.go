package ext4

import (
	"context"
	"errors"

	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	dxLevels      = 2 // of index nodes, the root included
	dxLevelsLarge = 3 // with large_dir
)

// dxPlace says where the index entries of a block begin; ok is false where it
// is no index node. A node is an unused entry of the whole block, a root the
// entries . and .. , the latter reaching to the end.
func dxPlace(b []byte) (from int, ok bool) {
	first := dirent(b)
	switch length := recLen(first.rawRecLen(), len(b)); {
	case length == len(b) && first.inode() == 0:
		return dxNodeEntries, true
	case length == direntMin && recLen(dirent(b[direntMin:]).rawRecLen(), len(b)) == len(b)-direntMin:
		info := dxInfo(b[dxRootInfo:])
		return dxRootEntries, info.reserved() == 0 && info.infoLength() == dxInfoLength
	}
	return 0, false
}

// dxFrame is a place in an index node.
type dxFrame struct {
	entries dxEntries
	at      int
	lblk    uint32 // the node's block in the directory
}

// dxWalk is a way from the root of a hash tree to a leaf.
type dxWalk struct {
	dir    *inode
	frames []dxFrame
	hash   uint32

	version uint8 // of the hash, as dirHash takes it
	levels  int   // that an index of this filesystem may have
}

// errNoIndex says that an index gives no answer: it is damaged, or its hash
// needs a key. The names are then searched one by one.
var errNoIndex = errors.New("the directory index cannot be used")

// findHashed looks a name up by the hash tree. done is false where the tree
// gives no answer that counts: it is damaged, and a walk through all blocks
// finds the name or the damage; its hash needs a key; or the name's case is
// folded by other rules than the tree's.
func (n *inode) findHashed(ctx context.Context, m *matcher) (num uint32, done bool, err error) {
	w := dxWalk{dir: n}
	leaf, err := w.start(ctx, m)
	for more := true; err == nil && more; {
		b, ok, rerr := n.dirBlock(ctx, uint64(leaf))
		if err = rerr; err != nil || !ok {
			break
		}
		if num := n.search(b, m); num != 0 {
			return num, true, nil
		}
		leaf, more, err = w.next(ctx)
		if err == nil && !more {
			return 0, m.mode == matchExact, nil
		}
	}
	if damage := (*ondisk.CorruptError)(nil); err == nil || errors.As(err, &damage) || errors.Is(err, errNoIndex) {
		return 0, false, nil
	}
	return 0, false, err
}

// start walks from the root to the leaf that may hold the name.
func (w *dxWalk) start(ctx context.Context, m *matcher) (leaf uint32, err error) {
	n := w.dir
	root, ok, err := n.dirBlock(ctx, 0)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, errNoIndex
	}
	from, ok := dxPlace(root)
	info := dxInfo(root[dxRootInfo:])
	levels := dxLevels
	if n.fs.sb.hasIncompat(incompatLargedir) {
		levels = dxLevelsLarge
	}
	if !ok || from != dxRootEntries || int(info.indirectLevels()) >= levels {
		return 0, errNoIndex
	}
	w.version, w.levels = n.fs.geo.hashVersion(info.hashVersion()), levels
	if w.hash, ok = m.hash(w.version, n.fs.sb.hashSeed()); !ok {
		return 0, errNoIndex
	}
	if err := w.push(root[dxRootEntries:], 0, false); err != nil {
		return 0, err
	}
	return w.descend(ctx, int(info.indirectLevels()), false)
}

// hashVersion is the version of an index, with the signedness of the filesystem.
func (g *geometry) hashVersion(version uint8) uint8 {
	if version <= hashTEA && g.hashUnsigned {
		return version + hashLegacyUnsigned
	}
	return version
}

// push adds a node, at the place in it that leads to the hash, or at the first.
func (w *dxWalk) push(b []byte, lblk uint32, first bool) error {
	e := dxEntries(b)
	if e.limit() > len(b)/dxEntry || e.count() == 0 || e.count() > e.limit() {
		return errNoIndex
	}
	lo, hi := 1, e.count()
	for lo < hi && !first {
		mid := int(uint(lo+hi) >> 1)
		if e.hash(mid) <= w.hash {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	w.frames = append(w.frames, dxFrame{entries: e, at: lo - 1, lblk: lblk})
	return nil
}

// descend goes down from the last frame by a number of index levels, and gives
// the leaf.
func (w *dxWalk) descend(ctx context.Context, levels int, first bool) (leaf uint32, err error) {
	for range levels {
		f := w.frames[len(w.frames)-1]
		lblk := f.entries.block(f.at)
		b, ok, err := w.dir.dirBlock(ctx, uint64(lblk))
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, errNoIndex
		}
		if from, is := dxPlace(b); !is || from != dxNodeEntries {
			return 0, errNoIndex
		}
		if err := w.push(b[dxNodeEntries:], lblk, first); err != nil {
			return 0, err
		}
	}
	f := w.frames[len(w.frames)-1]
	return f.entries.block(f.at), nil
}

// next moves to the following leaf if names of the same hash go on there.
// Every move takes an entry of a bounded node, so that it ends.
func (w *dxWalk) next(ctx context.Context) (leaf uint32, more bool, err error) {
	depth := len(w.frames)
	for len(w.frames) > 0 && w.frames[len(w.frames)-1].at+1 >= w.frames[len(w.frames)-1].entries.count() {
		w.frames = w.frames[:len(w.frames)-1]
	}
	if len(w.frames) == 0 {
		return 0, false, nil
	}
	f := &w.frames[len(w.frames)-1]
	if f.at++; f.entries.hash(f.at)&^1 != w.hash {
		return 0, false, nil
	}
	leaf, err = w.descend(ctx, depth-len(w.frames), true)
	return leaf, err == nil, err
}
