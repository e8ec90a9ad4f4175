package ext4

import (
	"context"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// The map of ext2 and ext3: twelve block numbers in i_block, then one each of
// an indirect, a doubly and a triply indirect block.
const (
	directBlocks  = 12
	blockNumber   = 4 // bytes of one
	indirectDepth = 3
)

// indirectAt walks the map down to a logical block. The depth is fixed by the
// place, so the walk ends.
func (n *inode) indirectAt(ctx context.Context, lblk uint64) (run, error) {
	perBlock := uint64(n.fs.geo.blockSize / blockNumber)
	node := n.raw.iBlock()
	if lblk < directBlocks {
		return n.pointers(ctx, node[:directBlocks*blockNumber], lblk, directBlocks-lblk, -1)
	}
	lblk -= directBlocks
	depth, span := 1, perBlock // span is how many blocks the tree of this depth maps
	for lblk >= span {
		lblk -= span
		span *= perBlock
		if depth++; depth > indirectDepth {
			return run{len: maxLogical - lblk}, nil
		}
	}
	at := u32(node, (directBlocks+depth-1)*blockNumber)
	for {
		if at == 0 {
			return run{len: span - lblk}, nil
		}
		b, err := n.fs.readBlock(ctx, uint64(at), n.fs.kinds.indirect, n)
		if err != nil {
			return run{}, err
		}
		span /= perBlock
		if span == 1 {
			return n.pointers(ctx, b, lblk, perBlock-lblk, int64(uint64(at)<<n.fs.geo.blockBits))
		}
		at = u32(b, int(lblk/span)*blockNumber)
		lblk %= span
	}
}

// pointers is the run at block number i of b: numbers that count up, or zeros.
// off is where b lies, -1 for the inode.
func (n *inode) pointers(ctx context.Context, b []byte, i, limit uint64, off int64) (run, error) {
	start := uint64(u32(b, int(i)*blockNumber))
	length := uint64(1)
	for ; length < limit; length++ {
		next := uint64(u32(b, int(i+length)*blockNumber))
		if start == 0 && next != 0 || start != 0 && next != start+length {
			break
		}
	}
	if start == 0 {
		return run{len: length}, nil
	}
	if start <= n.fs.geo.firstBlock || start >= n.fs.geo.blocks || length > n.fs.geo.blocks-start {
		if off < 0 {
			return run{}, n.corrupt(ctx, "i_block[%d] is block %d, expected %d to %d", i, start, n.fs.geo.firstBlock+1, n.fs.geo.blocks-1)
		}
		return run{}, ondisk.Corrupt(n.fs.kinds.indirect.Name, off, "inode %d: entry %d is block %d, expected %d to %d",
			n.num, i, start, n.fs.geo.firstBlock+1, n.fs.geo.blocks-1)
	}
	return run{start: start, len: length}, nil
}
