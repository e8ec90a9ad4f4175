package ext4

import (
	"context"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// Changes of an extent tree. A level is a node on the way from the root, in
// i_block, to a leaf, and the entry that was taken there.
type level struct {
	node extentNode
	at   int
	blk  uint64 // where the node lies; 0: in the inode
}

// mapping is one extent as it is in a leaf.
type mapping struct {
	lblk, len uint64
	start     uint64
	unwritten bool
}

func (m mapping) end() uint64 { return m.lblk + m.len }

// most is how long one extent may be.
func (m mapping) most() uint64 {
	if m.unwritten {
		return extentMaxLen - 1
	}
	return extentMaxLen
}

func (e extentNode) mapping(i int) mapping {
	length, unwritten := e.written(i)
	return mapping{uint64(e.block(i)), length, e.start(i), unwritten}
}

func (e extentNode) setMapping(i int, m mapping) {
	e.setExtent(i, uint32(m.lblk), m.len, m.unwritten, m.start)
}

// follows says whether b goes on where a ends, so that both can be one.
func (m mapping) follows(a mapping) bool {
	return a.end() == m.lblk && a.start+a.len == m.start && a.unwritten == m.unwritten && a.len+m.len <= a.most()
}

// path walks down to the leaf where a logical block is, or would be.
func (x *tx) path(ctx context.Context, n *inode, lblk uint64) ([]level, error) {
	node := extentNode(n.raw.iBlock())
	if err := x.fs.checkExtentNode(node, 0); err != nil {
		return nil, fmt.Errorf("ext4 inode %d: %w", n.num, err)
	}
	path := []level{{node: node, at: node.search(uint32(lblk))}}
	for depth := node.depth(); depth > 0; depth-- {
		l := &path[len(path)-1]
		l.at = max(l.at, 0)
		if l.node.entries() == 0 {
			return nil, n.corrupt(ctx, "an extent index without entries")
		}
		blk := l.node.leaf(l.at)
		b, err := x.block(ctx, blk, x.fs.kinds.extents, n)
		if err != nil {
			return nil, err
		}
		child := extentNode(b)
		if child.depth() != depth-1 || child.entries() == 0 {
			return nil, ondisk.Corrupt(x.fs.kinds.extents.Name, int64(blk<<x.fs.geo.blockBits), "inode %d: eh_depth %d and %d entries, expected depth %d", n.num, child.depth(), child.entries(), depth-1)
		}
		path = append(path, level{node: child, at: child.search(uint32(lblk)), blk: blk})
	}
	return path, nil
}

// insertExtent maps blocks that nothing maps yet.
func (x *tx) insertExtent(ctx context.Context, n *inode, m mapping) error {
	for m.len > m.most() {
		first := m
		first.len = m.most()
		if err := x.insertExtent(ctx, n, first); err != nil {
			return err
		}
		m.lblk, m.start, m.len = m.lblk+first.len, m.start+first.len, m.len-first.len
	}
	path, err := x.path(ctx, n, m.lblk)
	if err != nil {
		return err
	}
	leaf := &path[len(path)-1]
	e, at := leaf.node, leaf.at
	// What lies before and behind may take it in.
	if at >= 0 {
		if left := e.mapping(at); left.end() > m.lblk {
			return n.corrupt(ctx, "logical block %d is mapped already", m.lblk)
		} else if m.follows(left) {
			left.len += m.len
			if at+1 < e.entries() && e.mapping(at+1).follows(left) {
				left.len += e.mapping(at + 1).len
				e.remove(at+1, 1)
			}
			e.setMapping(at, left)
			return nil
		}
	}
	if at+1 < e.entries() {
		right := e.mapping(at + 1)
		if right.lblk < m.end() {
			return n.corrupt(ctx, "logical block %d is mapped already", right.lblk)
		}
		if right.follows(m) {
			right.lblk, right.start, right.len = m.lblk, m.start, right.len+m.len
			e.setMapping(at+1, right)
			if at < 0 {
				lowerFirst(path, uint32(m.lblk))
			}
			return nil
		}
	}
	if e.entries() == e.max() {
		if err := x.splitExtents(ctx, n, path); err != nil {
			return err
		}
		return x.insertExtent(ctx, n, m)
	}
	e.insert(at + 1)
	e.setMapping(at+1, m)
	if at < 0 {
		lowerFirst(path, uint32(m.lblk))
	}
	return nil
}

// lowerFirst makes the indexes above a leaf's first entry begin at lblk.
func lowerFirst(path []level, lblk uint32) {
	for i := len(path) - 2; i >= 0; i-- {
		path[i].node.setBlock(path[i].at, lblk)
		if path[i].at > 0 {
			return
		}
	}
}

// spare is how many blocks a Tx may still edit when a loop over extents stops,
// for what comes after it.
const spare = 24

// removeExtents unmaps the logical blocks from from on, up to end, the last
// ones first. Their blocks are freed where give says so. done is false where
// the change has become too large; what is left begins at from still.
func (x *tx) removeExtents(ctx context.Context, n *inode, from, end uint64, give bool) (done bool, err error) {
	for end > from {
		if x.t.Edits() > x.fs.w.manager.Credits()-spare {
			return false, nil
		}
		path, err := x.path(ctx, n, end-1)
		if err != nil {
			return false, err
		}
		leaf := &path[len(path)-1]
		if leaf.at < 0 {
			return true, nil // nothing is mapped before
		}
		e, m := leaf.node, leaf.node.mapping(leaf.at)
		if m.end() <= from {
			return true, nil
		}
		cut := mapping{max(m.lblk, from), 0, 0, m.unwritten}
		cutEnd := min(m.end(), end)
		cut.len = cutEnd - cut.lblk
		cut.start = m.start + cut.lblk - m.lblk
		if give {
			// A long extent lies in many groups, and each block of a directory is revoked: as many as one change can free.
			most := 8 * x.fs.geo.blocksPerGroup
			meta := n.fileType() == syscall.S_IFDIR
			if meta {
				most = spare / 4
			}
			if cut.len > most {
				cut.lblk, cut.start, cut.len = cut.lblk+cut.len-most, cut.start+cut.len-most, most
			}
			if err := x.free(ctx, span{cut.start, cut.len}); err != nil {
				return false, err
			}
			for i := range cut.len {
				if meta {
					x.t.Free(x.fs.at(cut.start+i).Off, x.fs.kinds.dir)
				}
			}
			x.addBlocks(n, -int64(cut.len))
		}
		head := mapping{m.lblk, cut.lblk - m.lblk, m.start, m.unwritten}
		tail := mapping{cut.end(), m.end() - cut.end(), cut.start + cut.len, m.unwritten}
		switch {
		case head.len > 0:
			e.setMapping(leaf.at, head)
			if tail.len > 0 {
				if err := x.insertExtent(ctx, n, tail); err != nil {
					return false, err
				}
			}
		case tail.len > 0:
			e.setMapping(leaf.at, tail)
			if leaf.at == 0 {
				lowerFirst(path, uint32(tail.lblk))
			}
		default:
			if err := x.removeEntry(ctx, n, path); err != nil {
				return false, err
			}
		}
		end = cut.lblk
	}
	return true, nil
}

// removeEntry takes the entry of a path out of its leaf, and the nodes that are
// empty then out of the tree.
func (x *tx) removeEntry(ctx context.Context, n *inode, path []level) error {
	for i := len(path) - 1; i >= 0; i-- {
		l := &path[i]
		l.node.remove(l.at, 1)
		if l.node.entries() > 0 || i == 0 {
			if l.node.entries() > 0 && l.at == 0 {
				lowerFirst(path[:i+1], l.node.block(0))
			}
			break
		}
		if err := x.freeMeta(ctx, l.blk, x.fs.kinds.extents); err != nil {
			return err
		}
		x.addBlocks(n, -1)
	}
	root := extentNode(n.raw.iBlock())
	if root.entries() == 0 {
		root.setHeader(0, (iBlockSize-extentHeader)/extentEntry, 0)
	}
	return x.raiseRoot(ctx, n)
}

// raiseRoot takes a node into the root whose only child it is, where it fits.
func (x *tx) raiseRoot(ctx context.Context, n *inode) error {
	root := extentNode(n.raw.iBlock())
	for root.depth() > 0 && root.entries() == 1 {
		blk := root.leaf(0)
		b, err := x.block(ctx, blk, x.fs.kinds.extents, n)
		if err != nil {
			return err
		}
		child := extentNode(b)
		limit := (iBlockSize - extentHeader) / extentEntry
		k := child.entries()
		if k > limit {
			return nil
		}
		clear(root)
		root.setHeader(k, limit, child.depth())
		copy(root[extentHeader:], child[extentHeader:extentHeader+k*extentEntry])
		if err := x.freeMeta(ctx, blk, x.fs.kinds.extents); err != nil {
			return err
		}
		x.addBlocks(n, -1)
	}
	return nil
}

// addBlocks changes i_blocks by a number of filesystem blocks.
func (x *tx) addBlocks(n *inode, blocks int64) {
	unit := int64(x.fs.geo.blockSize / 512)
	if n.flag(flagHugeFile) && x.fs.sb.hasRoCompat(roHugeFile) {
		unit = 1
	}
	raw := int64(n.raw.blocksLo()) | int64(n.raw.blocksHigh())<<32
	raw += blocks * unit
	set32(n.raw, 0x1C, uint32(raw))
	set16(n.raw, 0x74, uint16(raw>>32))
}
