package xfs

import (
	"cmp"
	"slices"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
)

// edits are the changes that intents in the log make on top of the replayed
// metadata, held in memory. They are complete before the filesystem is open and
// never change after. The methods that read may be called on nil, which
// changes nothing.
type edits struct {
	inodes map[uint64]*inodeEdit
}

// inodeEdit is what changes in one inode.
type inodeEdit struct {
	forks   [2][]editExtent // sorted; they replace the map of the fork
	edited  [2]bool         // that they do
	resized bool
	size    int64
	blocks  int64 // more than the inode counts
}

// editExtent is a run of a fork's blocks. What no extent holds is a hole.
type editExtent struct {
	blk       uint64 // first block in the fork
	len       uint64 // > 0
	start     uint64 // first block on the device
	unwritten bool
}

func (x editExtent) end() uint64 { return x.blk + x.len }

// inode gives the edit of an inode; nil where nothing changes.
func (e *edits) inode(num uint64) *inodeEdit {
	if e == nil {
		return nil
	}
	return e.inodes[num]
}

// extents gives the whole map of a fork where it replaces the inode's own.
func (e *inodeEdit) extents(which whichFork) ([]editExtent, bool) {
	if e == nil || !e.edited[which] {
		return nil, false
	}
	return e.forks[which], true
}

// editedRun is the run at blk in a map that replaces an inode's own.
func editedRun(m []editExtent, blk uint64) run {
	i, _ := slices.BinarySearchFunc(m, blk, func(x editExtent, at uint64) int { return cmp.Compare(x.end(), at+1) })
	if i == len(m) {
		return run{len: maxLen(layout.MaxFileBlock, blk)}
	}
	x := m[i]
	if blk < x.blk {
		return run{len: x.blk - blk}
	}
	in := blk - x.blk
	return run{start: x.start + in, len: x.len - in, mapped: true, unwritten: x.unwritten}
}
