package ext4

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// maxLogical bounds the logical block numbers of a file: they have 32 bits.
const maxLogical = 1 << 32

// run is how consecutive logical blocks of a file are mapped. start is 0 for a
// hole.
type run struct {
	start     uint64 // first block on the device
	len       uint64 // blocks, > 0
	unwritten bool
}

func (r run) hole() bool { return r.start == 0 }

// runAt finds the longest run at a logical block that the map tells cheaply.
func (n *inode) runAt(ctx context.Context, lblk uint64) (run, error) {
	if lblk >= maxLogical {
		return run{len: 1 << 62 >> n.fs.geo.blockBits}, nil
	}
	if m, ok := n.fs.edits.extents(n.num); ok {
		return editedRun(m, lblk), nil
	}
	if n.flag(flagExtents) {
		return n.extentAt(ctx, lblk)
	}
	return n.indirectAt(ctx, lblk)
}

// editedRun is the run at lblk in the map that a fast commit left.
func editedRun(m []editExtent, lblk uint64) run {
	i, _ := slices.BinarySearchFunc(m, lblk, func(x editExtent, at uint64) int { return cmp.Compare(x.end(), at+1) })
	if i == len(m) {
		return run{len: maxLogical - lblk}
	}
	x := m[i]
	if first := uint64(x.file); lblk < first {
		return run{len: first - lblk}
	}
	in := lblk - uint64(x.file)
	return run{start: x.start + in, len: x.blocks - in, unwritten: x.unwritten}
}

// extentAt walks the extent tree down to a logical block. Each level is one
// less than the one above, so the walk ends.
func (n *inode) extentAt(ctx context.Context, lblk uint64) (run, error) {
	node := extentNode(n.raw.iBlock())
	if n.fs.checkExtentNode(node, 0) != nil {
		return run{}, fmt.Errorf("ext4 inode %d: %w", n.num, n.fs.checkExtentNode(node, n.fs.inodeOffset(ctx, n.num)))
	}
	end := uint64(maxLogical) // of what this node maps
	for level := node.depth(); ; level-- {
		i := node.search(uint32(lblk))
		if i+1 < node.entries() {
			end = min(end, uint64(node.block(i+1)))
		}
		if i < 0 || end <= lblk {
			// Before the first entry; or the index above ends here, though the entry below goes on.
			return run{len: max(end, lblk+1) - lblk}, nil
		}
		if level == 0 {
			return node.runAt(i, lblk, end), nil
		}
		first := node.block(i)
		child, err := n.fs.readBlock(ctx, node.leaf(i), n.fs.kinds.extents, n)
		if err != nil {
			return run{}, err
		}
		off := int64(node.leaf(i) << n.fs.geo.blockBits)
		node = extentNode(child)
		if node.depth() != level-1 {
			return run{}, ondisk.Corrupt(n.fs.kinds.extents.Name, off, "inode %d: eh_depth %d, expected %d", n.num, node.depth(), level-1)
		}
		if node.entries() == 0 {
			return run{}, ondisk.Corrupt(n.fs.kinds.extents.Name, off, "inode %d: no entries", n.num)
		}
		if node.block(0) < first {
			return run{}, ondisk.Corrupt(n.fs.kinds.extents.Name, off, "inode %d: begins at logical block %d, its parent says %d", n.num, node.block(0), first)
		}
	}
}

// search finds the last entry at or before a logical block, -1 where there is
// none.
func (e extentNode) search(lblk uint32) int {
	lo, hi := 0, e.entries()
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if e.block(mid) <= lblk {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// runAt is the run at lblk in a leaf whose entry i is the last at or before it.
// Extents that continue one another are one run. Nothing is mapped from end on.
func (e extentNode) runAt(i int, lblk, end uint64) run {
	length, unwritten := e.written(i)
	first := uint64(e.block(i))
	if lblk >= first+length {
		return run{len: end - lblk}
	}
	r := run{start: e.start(i) + (lblk - first), len: first + length - lblk, unwritten: unwritten}
	for k := i + 1; k < e.entries(); k++ {
		more, un := e.written(k)
		if un != unwritten || uint64(e.block(k)) != lblk+r.len || e.start(k) != r.start+r.len {
			break
		}
		r.len += more
	}
	if i+1 == e.entries() {
		r.len = min(r.len, end-lblk)
	}
	return r
}

// written splits the length of an extent from the mark that nothing was
// written to it.
func (e extentNode) written(i int) (length uint64, unwritten bool) {
	l := e.length(i)
	if l > extentMaxLen {
		return uint64(l - extentMaxLen), true
	}
	return uint64(l), false
}

// checkExtentNode compares everything in a node: header, order, blocks.
func (fs *FileSystem) checkExtentNode(e extentNode, off int64) error {
	const what = "ext4 extent node"
	switch {
	case e.magic() != extentMagic:
		return ondisk.Corrupt(what, off, "eh_magic %#x, expected %#x", e.magic(), extentMagic)
	case e.max() == 0 || e.max() > (len(e)-extentHeader)/extentEntry:
		return ondisk.Corrupt(what, off, "eh_max %d, expected 1 to %d", e.max(), (len(e)-extentHeader)/extentEntry)
	case e.entries() > e.max():
		return ondisk.Corrupt(what, off, "eh_entries %d, but eh_max %d", e.entries(), e.max())
	case e.depth() > extentMaxDepth:
		return ondisk.Corrupt(what, off, "eh_depth %d, at most %d", e.depth(), extentMaxDepth)
	}
	next := uint64(0)
	for i := range e.entries() {
		first := uint64(e.block(i))
		if first < next {
			return ondisk.Corrupt(what, off, "entry %d: logical block %d, expected at least %d", i, first, next)
		}
		start, length := e.leaf(i), uint64(1)
		if e.depth() == 0 {
			start = e.start(i)
			length, _ = e.written(i)
		}
		if length == 0 || first+length > maxLogical {
			return ondisk.Corrupt(what, off, "entry %d: %d blocks at logical block %d", i, length, first)
		}
		if start <= fs.geo.firstBlock || start >= fs.geo.blocks || length > fs.geo.blocks-start {
			return ondisk.Corrupt(what, off, "entry %d: blocks %d+%d, expected within %d to %d", i, start, length, fs.geo.firstBlock+1, fs.geo.blocks-1)
		}
		next = first + length
	}
	return nil
}

// verifyExtentBlock is the Verify of extent tree blocks.
func (fs *FileSystem) verifyExtentBlock(b []byte, at txn.Addr) error {
	e := extentNode(b)
	if e.magic() == extentMagic && fs.geo.metadataCsum {
		tail := extentHeader + e.max()*extentEntry
		if tail > len(b)-extentTail {
			return ondisk.Corrupt(fs.kinds.extents.Name, at.Off, "eh_max %d, at most %d", e.max(), (len(b)-extentHeader-extentTail)/extentEntry)
		}
		stored := binary.LittleEndian.Uint32(b[tail:])
		if sum := ondisk.CRC32C(fs.geo.inodeSeed(uint32(at.Owner), at.Gen), b[:tail]); sum != stored {
			return ondisk.BadChecksum(fmt.Sprintf("%s of inode %d", fs.kinds.extents.Name, at.Owner), at.Off, stored, sum)
		}
	}
	return fs.checkExtentNode(e, at.Off)
}
