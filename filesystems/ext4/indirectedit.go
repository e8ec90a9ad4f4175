package ext4

import (
	"context"
	"syscall"
)

// Changes of the block map of ext2 and ext3. A pointer array is the part of
// i_block that holds block numbers, or an indirect block.

// maxPointer bounds the blocks that a map can name: its numbers have 32 bits.
const maxPointer = 1 << 32

// mapped is how many blocks a block map can map.
func (g *geometry) mapped() uint64 {
	p := uint64(g.blockSize / blockNumber)
	return directBlocks + p + p*p + p*p*p
}

// mapBlocks maps blocks that nothing maps yet, in whichever map the inode has.
func (x *tx) mapBlocks(ctx context.Context, n *inode, m mapping) error {
	if n.flag(flagExtents) {
		return x.insertExtent(ctx, n, m)
	}
	if m.unwritten {
		return syscall.EOPNOTSUPP
	}
	if m.start+m.len > maxPointer || m.end() > x.fs.geo.mapped() {
		return syscall.EFBIG
	}
	for m.len > 0 {
		ptrs, i, err := x.makePointers(ctx, n, m.lblk)
		if err != nil {
			return err
		}
		for ; i < len(ptrs)/blockNumber && m.len > 0; i++ {
			if u32(ptrs, i*blockNumber) != 0 {
				return n.corrupt(ctx, "logical block %d is mapped already", m.lblk)
			}
			set32(ptrs, i*blockNumber, uint32(m.start))
			m.lblk, m.start, m.len = m.lblk+1, m.start+1, m.len-1
		}
	}
	return nil
}

// makePointers gives the pointer array that holds a logical block, to be
// changed, and the block's place in it. Indirect blocks on the way that are
// missing are made.
func (x *tx) makePointers(ctx context.Context, n *inode, lblk uint64) (ptrs []byte, i int, err error) {
	if lblk < directBlocks {
		return n.raw.iBlock()[:directBlocks*blockNumber], int(lblk), nil
	}
	perBlock := uint64(x.fs.geo.blockSize / blockNumber)
	lblk -= directBlocks
	depth, span := 1, perBlock
	for lblk >= span {
		lblk -= span
		span *= perBlock
		depth++
	}
	ptrs, i = n.raw.iBlock(), directBlocks+depth-1
	goal := x.fs.geo.groupStart((n.num - 1) / x.fs.geo.inodesPerGroup)
	for range depth {
		at := u32(ptrs, i*blockNumber)
		var b []byte
		if at == 0 {
			s, err := x.allocate(ctx, goal, 1)
			if err != nil {
				return nil, 0, err
			}
			if s.start >= maxPointer {
				return nil, 0, syscall.EFBIG
			}
			if b, err = x.fresh(s.start, x.fs.kinds.indirect, n); err != nil {
				return nil, 0, err
			}
			x.addBlocks(n, 1)
			at = uint32(s.start)
			set32(ptrs, i*blockNumber, at)
		} else if b, err = x.block(ctx, uint64(at), x.fs.kinds.indirect, n); err != nil {
			return nil, 0, err
		}
		span /= perBlock
		ptrs, i, goal = b, int(lblk/span), uint64(at)+1
		lblk %= span
	}
	return ptrs, i, nil
}

// unmapBlocks unmaps and frees the logical blocks from from on, up to end, the
// last ones first. done is false where the change has become too large.
func (x *tx) unmapBlocks(ctx context.Context, n *inode, from, end uint64) (done bool, err error) {
	if n.flag(flagExtents) {
		return x.removeExtents(ctx, n, from, end, true)
	}
	perBlock := uint64(x.fs.geo.blockSize / blockNumber)
	c := &cutting{x: x, n: n, from: from, end: end}
	first := [...]uint64{directBlocks, directBlocks + perBlock, directBlocks + perBlock + perBlock*perBlock}
	for depth := indirectDepth; depth >= 1; depth-- {
		if done, err := c.tree(ctx, n.raw.iBlock(), directBlocks+depth-1, depth, first[depth-1]); err != nil || !done {
			return false, err
		}
	}
	return c.pointers(ctx, n.raw.iBlock()[:directBlocks*blockNumber], 0, func() ([]byte, error) { return n.raw.iBlock(), nil })
}

// cutting is a walk that unmaps a range of a block map.
type cutting struct {
	x         *tx
	n         *inode
	from, end uint64
}

// tree cuts the tree of that depth which pointer i of an array names, whose
// first logical block is first. Where nothing is left the tree goes.
func (c *cutting) tree(ctx context.Context, ptrs []byte, i, depth int, first uint64) (done bool, err error) {
	perBlock := uint64(c.x.fs.geo.blockSize / blockNumber)
	span := uint64(1)
	for range depth {
		span *= perBlock
	}
	at := uint64(u32(ptrs, i*blockNumber))
	if at == 0 || first >= c.end || first+span <= c.from {
		return true, nil
	}
	kind := c.x.fs.kinds.indirect
	b, err := c.n.fs.readBlock(ctx, at, kind, c.n)
	if err != nil {
		return false, err
	}
	edit := func() ([]byte, error) { return c.x.block(ctx, at, kind, c.n) }
	if depth == 1 {
		if done, err := c.pointers(ctx, b, first, edit); err != nil || !done {
			return false, err
		}
	} else {
		span /= perBlock
		for k := int(perBlock) - 1; k >= 0; k-- {
			if lblk := first + uint64(k)*span; u32(b, k*blockNumber) == 0 || lblk >= c.end || lblk+span <= c.from {
				continue
			}
			if b, err = edit(); err != nil {
				return false, err
			}
			if done, err := c.tree(ctx, b, k, depth-1, first+uint64(k)*span); err != nil || !done {
				return false, err
			}
		}
	}
	if b, err = c.n.fs.readBlock(ctx, at, kind, c.n); err != nil {
		return false, err
	}
	for k := range int(perBlock) {
		if u32(b, k*blockNumber) != 0 {
			return true, nil
		}
	}
	if err := c.x.freeMeta(ctx, at, kind); err != nil {
		return false, err
	}
	set32(ptrs, i*blockNumber, 0)
	c.x.addBlocks(c.n, -1)
	return true, nil
}

// pointers frees what an array of data pointers, whose first is of logical
// block first, names of the range. edit gives the array to be changed.
func (c *cutting) pointers(ctx context.Context, ptrs []byte, first uint64, edit func() ([]byte, error)) (done bool, err error) {
	x, n := c.x, c.n
	i, low := len(ptrs)/blockNumber, 0
	if first+uint64(i) > c.end {
		i = int(c.end - min(c.end, first))
	}
	if c.from > first {
		low = int(min(c.from-first, uint64(i)))
	}
	most := int(8 * x.fs.geo.blocksPerGroup)
	meta := n.fileType() == syscall.S_IFDIR
	if meta {
		most = spare / 4
	}
	for i > low {
		last := uint64(u32(ptrs, (i-1)*blockNumber))
		if last == 0 {
			i--
			continue
		}
		if x.t.Edits() > x.fs.w.manager.Credits()-spare {
			return false, nil
		}
		if ptrs, err = edit(); err != nil {
			return false, err
		}
		k := 1
		for i-k > low && k < most && uint64(k) < last && uint64(u32(ptrs, (i-k-1)*blockNumber)) == last-uint64(k) {
			k++
		}
		s := span{last + 1 - uint64(k), uint64(k)}
		if err := x.free(ctx, s); err != nil {
			return false, err
		}
		for b := s.start; meta && b <= last; b++ {
			x.t.Free(x.fs.at(b).Off, x.fs.kinds.dir)
		}
		clear(ptrs[(i-k)*blockNumber : i*blockNumber])
		x.addBlocks(n, -int64(k))
		i -= k
	}
	return true, nil
}
