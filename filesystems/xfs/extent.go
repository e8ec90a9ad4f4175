package xfs

import (
	"context"
	"fmt"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// whichFork names one of the forks of an inode.
type whichFork uint8

const (
	dataFork whichFork = iota
	attrFork
)

func (w whichFork) String() string {
	if w == attrFork {
		return "attribute fork"
	}
	return "data fork"
}

// fork is a part of an inode that holds something itself, or maps its blocks.
type fork struct {
	n      *inode
	which  whichFork
	format uint8
	bytes  []byte // in the inode
	count  uint64 // extents, by the inode's account
}

// fork gives a fork. It has no bytes where there is none.
func (n *inode) fork(which whichFork) fork {
	if which == attrFork {
		return fork{n, which, n.raw.AttrFormat(), n.raw.AttrFork(), n.raw.AttrExtentCount()}
	}
	return fork{n, which, n.raw.Format(), n.raw.DataFork(), n.raw.DataExtents()}
}

func (f fork) corrupt(format string, args ...any) error {
	return f.n.corrupt("%s: "+format, append([]any{f.which}, args...)...)
}

// check compares the root of a map: the extents, or the root of the tree.
func (f fork) check() error {
	switch f.format {
	case layout.FormatExtents:
		if f.count > uint64(len(f.bytes)/layout.BmapRecordSize) {
			return f.corrupt("%d extents in %d bytes", f.count, len(f.bytes))
		}
		return f.n.fs.checkRecords(f.bytes[:f.count*layout.BmapRecordSize], f.n.fs.geo.InoOffset(f.n.num))
	case layout.FormatBtree:
		root := layout.BmapRoot(f.bytes)
		if len(root) < layout.BmapRootHeader {
			return f.corrupt("%d bytes for the root of a B+tree", len(root))
		}
		if root.Level() < 1 || root.Level() > layout.BmapMaxLevels || root.NumRecs() < 1 || root.NumRecs() > root.MaxRecs() {
			return f.corrupt("the root of a B+tree has level %d and %d of %d entries", root.Level(), root.NumRecs(), root.MaxRecs())
		}
		for i := 1; i < root.NumRecs(); i++ {
			if root.Key(i) <= root.Key(i-1) {
				return f.corrupt("the keys of the root are not in order")
			}
		}
	}
	return nil
}

// run is how consecutive blocks of a fork are mapped.
type run struct {
	start     uint64 // first block on the device, with its group
	len       uint64 // blocks, > 0
	mapped    bool   // not a hole
	unwritten bool
}

// runAt finds the longest run at a block of the fork that the map tells
// cheaply.
func (f fork) runAt(ctx context.Context, blk uint64) (run, error) {
	if blk >= layout.MaxFileBlock {
		return run{len: 1}, nil
	}
	if m, ok := f.n.edit.extents(f.which); ok {
		return editedRun(m, blk), nil
	}
	return f.homeRunAt(ctx, blk)
}

// homeRunAt is runAt as the inode has it.
func (f fork) homeRunAt(ctx context.Context, blk uint64) (run, error) {
	switch f.format {
	case layout.FormatExtents:
		return searchRecords(f.bytes[:f.count*layout.BmapRecordSize], blk, layout.MaxFileBlock), nil
	case layout.FormatBtree:
		return f.treeRunAt(ctx, blk)
	}
	return run{}, f.corrupt("a map of the format %d", f.format)
}

// treeRunAt walks the B+tree down to a block. Each level is one less than the
// one above, so the walk ends.
func (f fork) treeRunAt(ctx context.Context, blk uint64) (run, error) {
	root, geo := layout.BmapRoot(f.bytes), f.n.fs.geo
	hdr, max := geo.LongHeader(), geo.BmapMax()
	end := uint64(layout.MaxFileBlock) // of what this block maps
	count, key, ptr := root.NumRecs(), root.Key, root.Ptr
	for level := root.Level(); ; level-- {
		i := searchKeys(count, key, blk)
		if i+1 < count {
			end = min(end, key(i+1))
		}
		if i < 0 || end <= blk {
			return run{len: maxLen(end, blk)}, nil
		}
		first := key(i)
		b, err := f.n.readBlock(ctx, ptr(i), f.n.fs.kinds.bmap)
		if err != nil {
			return run{}, fmt.Errorf("%s of inode %d: %w", f.which, f.n.num, err)
		}
		child := layout.Btree(b)
		off, _ := geo.Offset(ptr(i), 1)
		if child.Level() != level-1 || child.NumRecs() == 0 {
			return run{}, ondisk.Corrupt(f.n.fs.kinds.bmap.Name, off, "inode %d: level %d with %d entries, expected level %d", f.n.num, child.Level(), child.NumRecs(), level-1)
		}
		if level == 1 {
			records := b[hdr : hdr+child.NumRecs()*layout.BmapRecordSize]
			if got := layout.BmapRecord(records).Offset(); got < first {
				return run{}, ondisk.Corrupt(f.n.fs.kinds.bmap.Name, off, "inode %d: begins at block %d, its parent says %d", f.n.num, got, first)
			}
			return searchRecords(records, blk, end), nil
		}
		count = child.NumRecs()
		key = func(i int) uint64 { return child.BmapKey(hdr, i) }
		ptr = func(i int) uint64 { return child.BmapPtr(hdr, max, i) }
		if key(0) < first {
			return run{}, ondisk.Corrupt(f.n.fs.kinds.bmap.Name, off, "inode %d: begins at block %d, its parent says %d", f.n.num, key(0), first)
		}
	}
}

// maxLen is the length of a hole from blk to end, at least a block.
func maxLen(end, blk uint64) uint64 { return max(end, blk+1) - blk }

// searchKeys finds the last of count keys at or before blk, -1 where there is
// none.
func searchKeys(count int, key func(int) uint64, blk uint64) int {
	lo, hi := 0, count
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if key(mid) <= blk {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// searchRecords is the run at blk in checked records, of which nothing is
// mapped from end on. Extents that continue one another are one run.
func searchRecords(records []byte, blk, end uint64) run {
	n := len(records) / layout.BmapRecordSize
	at := func(i int) layout.BmapRecord { return layout.BmapRecord(records[i*layout.BmapRecordSize:]) }
	i := searchKeys(n, func(i int) uint64 { return at(i).Offset() }, blk)
	if i+1 < n {
		end = min(end, at(i+1).Offset())
	}
	if i < 0 || blk >= at(i).Offset()+at(i).Count() {
		return run{len: maxLen(end, blk)}
	}
	x := at(i)
	in := blk - x.Offset()
	r := run{start: x.Start() + in, len: x.Count() - in, mapped: true, unwritten: x.Unwritten()}
	for i++; i < n; i++ {
		next := at(i)
		if next.Offset() != blk+r.len || next.Start() != r.start+r.len || next.Unwritten() != r.unwritten {
			break
		}
		r.len += next.Count()
	}
	return r
}

// checkRecords compares extents: their order and their blocks.
func (fs *FileSystem) checkRecords(records []byte, off int64) error {
	next := uint64(0)
	for i := 0; i+layout.BmapRecordSize <= len(records); i += layout.BmapRecordSize {
		x := layout.BmapRecord(records[i:])
		if x.Offset() < next || x.Count() == 0 || x.Offset()+x.Count() > layout.MaxFileBlock {
			return ondisk.Corrupt("xfs extent", off, "record %d: %d blocks at block %d, expected at least %d", i/layout.BmapRecordSize, x.Count(), x.Offset(), next)
		}
		next = x.Offset() + x.Count()
	}
	return nil
}

// verifyBmap is the Verify of a block of a map.
func (fs *FileSystem) verifyBmap(b []byte, at txn.Addr) error {
	const what = "xfs extent B+tree"
	t := layout.Btree(b)
	if want := pick[uint32](fs.geo.CRC, layout.BmapMagicCRC, layout.BmapMagic); t.Magic() != want {
		return ondisk.Corrupt(what, at.Off, "magic %#x, expected %#x", t.Magic(), want)
	}
	if err := fs.verifyHeader(b, at); err != nil {
		return err
	}
	if t.NumRecs() > fs.geo.BmapMax() {
		return ondisk.Corrupt(what, at.Off, "%d entries, at most %d", t.NumRecs(), fs.geo.BmapMax())
	}
	if t.Level() >= layout.BmapMaxLevels {
		return ondisk.Corrupt(what, at.Off, "level %d, at most %d", t.Level(), layout.BmapMaxLevels-1)
	}
	hdr := fs.geo.LongHeader()
	if t.Level() == 0 {
		return fs.checkRecords(b[hdr:hdr+t.NumRecs()*layout.BmapRecordSize], at.Off)
	}
	for i := 1; i < t.NumRecs(); i++ {
		if t.BmapKey(hdr, i) <= t.BmapKey(hdr, i-1) {
			return ondisk.Corrupt(what, at.Off, "key %d is not above the one before it", i)
		}
	}
	return nil
}

func pick[T any](crc bool, with, without T) T {
	if crc {
		return with
	}
	return without
}

// readBlock gives the verified metadata block fsb that the inode refers to.
func (n *inode) readBlock(ctx context.Context, fsb uint64, kind *txn.Kind) ([]byte, error) {
	at, err := n.blockAddr(fsb, 1, kind.Name)
	if err != nil {
		return nil, err
	}
	return n.fs.store.Read(ctx, at, kind)
}

// blockAddr compares count blocks from fsb on, and makes an address of them.
func (n *inode) blockAddr(fsb, count uint64, what string) (txn.Addr, error) {
	off, ok := n.fs.geo.Offset(fsb, count)
	if !ok {
		ag, bno := n.fs.geo.Split(fsb)
		return txn.Addr{}, n.corrupt("it refers to block %d of group %d for %d blocks of %s, which are not there", bno, ag, count, what)
	}
	at := txn.Addr{Off: off, Len: int(count) << n.fs.geo.BlockLog, Owner: n.num}
	if !ondisk.Fits(at.Off, int64(count)<<n.fs.geo.BlockLog, n.fs.dev.Size()) {
		return txn.Addr{}, n.fs.beyond(what, at.Off)
	}
	return at, nil
}
