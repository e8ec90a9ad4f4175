package ext4

import (
	"context"
	"syscall"
)

// splitExtents makes room in the leaf of a path: the lowest node above it that
// has room gets a second child, half of the first. Where none has, the root
// goes into a block of its own below a new one.
func (x *tx) splitExtents(ctx context.Context, n *inode, path []level) error {
	i := len(path) - 1
	for i > 0 && path[i-1].node.entries() == path[i-1].node.max() {
		i--
	}
	goal := x.extentGoal(n, path)
	s, err := x.allocate(ctx, goal, 1)
	if err != nil {
		return err
	}
	b, err := x.fresh(s.start, x.fs.kinds.extents, n)
	if err != nil {
		return err
	}
	x.addBlocks(n, 1)
	to := extentNode(b)
	limit := (x.fs.geo.blockSize - extentHeader) / extentEntry
	if i == 0 {
		root := path[0].node
		if root.depth() == extentMaxDepth {
			return syscall.EFBIG
		}
		k := root.entries()
		to.setHeader(k, limit, root.depth())
		copy(to[extentHeader:], root[extentHeader:extentHeader+k*extentEntry])
		first := uint32(0)
		if k > 0 {
			first = to.block(0)
		}
		depth := root.depth() + 1
		clear(root)
		root.setHeader(1, (iBlockSize-extentHeader)/extentEntry, depth)
		root.setIndex(0, first, s.start)
		return nil
	}
	// A file that grows fills its nodes: the new one gets the last entry only.
	from := path[i].node
	k := from.entries()
	keep := k / 2
	if rightmost(path) {
		keep = k - 1
	}
	to.setHeader(k-keep, limit, from.depth())
	copy(to[extentHeader:], from[extentHeader+keep*extentEntry:extentHeader+k*extentEntry])
	from.remove(keep, k-keep)
	parent := &path[i-1]
	parent.node.insert(parent.at + 1)
	parent.node.setIndex(parent.at+1, to.block(0), s.start)
	return nil
}

// rightmost says whether a path leads to the last entry of all.
func rightmost(path []level) bool {
	for _, l := range path {
		if l.at < l.node.entries()-1 {
			return false
		}
	}
	return true
}

// extentGoal is where a new node of the tree is best put.
func (x *tx) extentGoal(n *inode, path []level) uint64 {
	leaf := path[len(path)-1]
	if leaf.blk != 0 {
		return leaf.blk + 1
	}
	return x.fs.geo.groupStart((n.num - 1) / x.fs.geo.inodesPerGroup)
}
