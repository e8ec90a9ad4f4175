package ext4

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// The block allocator. A block is free where the bitmap says so and it is not
// held. Held are blocks that somebody reserved, from the choice until the
// change that maps them is done, and blocks that a change has freed, until that
// is durable. The bitmap is edited by changes only.

// groupBlocks is the number of blocks of a group; the last one is cut short.
func (g *geometry) groupBlocks(group uint32) uint64 {
	return min(g.blocksPerGroup, g.blocks-g.groupStart(group))
}

// groupOf is the group of a block, and its bit there.
func (g *geometry) groupOf(blk uint64) (group uint32, bit uint64) {
	blk -= g.firstBlock
	return uint32(blk / g.blocksPerGroup), blk % g.blocksPerGroup
}

// freshBlockBitmap is the bitmap of a group that was never used: its copies of
// the superblock and the descriptors, its own bitmaps and table where they lie
// in it, and what is behind its end.
func (fs *FileSystem) freshBlockBitmap(d groupDesc, group uint32) []byte {
	b := make([]byte, fs.geo.blockSize)
	super, descs := fs.copies(group)
	for i := range min(super*(1+uint64(fs.sb.reservedGDTBlocks()))+descs, fs.geo.groupBlocks(group)) {
		setBit(b, i)
	}
	mark := func(blk, n uint64) {
		for ; n > 0; n-- {
			if in, bit := fs.geo.groupOf(blk); in == group {
				setBit(b, bit)
			}
			blk++
		}
	}
	mark(d.blockBitmap(), 1)
	mark(d.inodeBitmap(), 1)
	mark(d.inodeTable(), fs.geo.tableBlocks)
	for bit := fs.geo.groupBlocks(group); bit < uint64(len(b))*8; bit++ {
		setBit(b, bit)
	}
	return b
}

func setBit(b []byte, i uint64)      { b[i/8] |= 1 << (i % 8) }
func clearBit(b []byte, i uint64)    { b[i/8] &^= 1 << (i % 8) }
func hasBit(b []byte, i uint64) bool { return b[i/8]&(1<<(i%8)) != 0 }

// freeBits counts the clear bits among the first n.
func freeBits(b []byte, n uint64) (free uint64) {
	for i := uint64(0); i < n; i += 64 {
		w := binary.LittleEndian.Uint64(b[i/8:])
		if n-i < 64 {
			w |= ^uint64(0) << (n - i)
		}
		free += uint64(64 - bits.OnesCount64(w))
	}
	return free
}

// blockBitmap is the bitmap of a group outside of any change. w.mu is held.
func (fs *FileSystem) blockBitmap(ctx context.Context, group uint32) ([]byte, error) {
	d, err := fs.readDesc(ctx, group)
	if err != nil {
		return nil, err
	}
	if err := fs.verifyBitmaps(ctx, d, group); err != nil {
		return nil, err
	}
	if d.flags()&groupBlockUninit != 0 {
		return fs.freshBlockBitmap(d, group), nil
	}
	return fs.store.Read(ctx, fs.at(d.blockBitmap()), fs.kinds.blockBitmap)
}

// verifyBitmaps compares the bitmaps of a group with its descriptor, before
// the first change of either. w.mu is held.
func (fs *FileSystem) verifyBitmaps(ctx context.Context, d groupDesc, group uint32) error {
	g := &fs.w.groups[group]
	if g.verified {
		return nil
	}
	blocks := fs.freshBlockBitmap(d, group)
	if d.flags()&groupBlockUninit == 0 {
		b, err := fs.store.Read(ctx, fs.at(d.blockBitmap()), fs.kinds.blockBitmap)
		if err != nil {
			return err
		}
		if sum := fs.geo.bitmapChecksum(d, b, fs.geo.blocksPerGroup); fs.geo.metadataCsum && sum != d.blockBitmapChecksum() {
			return ondisk.BadChecksum(fmt.Sprintf("ext4 block bitmap of group %d", group), fs.at(d.blockBitmap()).Off, d.blockBitmapChecksum(), sum)
		}
		blocks = b
	}
	if free := freeBits(blocks, fs.geo.groupBlocks(group)); free != uint64(d.freeBlocks()) {
		return ondisk.Corrupt(fmt.Sprintf("ext4 block bitmap of group %d", group), fs.at(d.blockBitmap()).Off, "%d blocks are free, the descriptor says %d", free, d.freeBlocks())
	}
	if d.flags()&groupInodeUninit == 0 {
		b, err := fs.store.Read(ctx, fs.at(d.inodeBitmap()), fs.kinds.inodeBitmap)
		if err != nil {
			return err
		}
		if sum := fs.geo.bitmapChecksum(d, b, uint64(fs.geo.inodesPerGroup)); fs.geo.metadataCsum && sum != d.inodeBitmapChecksum() {
			return ondisk.BadChecksum(fmt.Sprintf("ext4 inode bitmap of group %d", group), fs.at(d.inodeBitmap()).Off, d.inodeBitmapChecksum(), sum)
		}
		if free := freeBits(b, uint64(fs.geo.inodesPerGroup)); free != uint64(d.freeInodes()) {
			return ondisk.Corrupt(fmt.Sprintf("ext4 inode bitmap of group %d", group), fs.at(d.inodeBitmap()).Off, "%d inodes are free, the descriptor says %d", free, d.freeInodes())
		}
	}
	g.verified = true
	return nil
}

// editBlockBitmap gives a group's bitmap and descriptor to be changed.
func (x *tx) editBlockBitmap(ctx context.Context, group uint32) (groupDesc, []byte, error) {
	d, err := x.desc(ctx, group)
	if err != nil {
		return nil, nil, err
	}
	x.groups[group].blockMap = true
	at := x.fs.at(d.blockBitmap())
	if d.flags()&groupBlockUninit == 0 {
		b, err := x.t.Edit(ctx, at, x.fs.kinds.blockBitmap)
		return d, b, err
	}
	b, err := x.t.Fresh(at, x.fs.kinds.blockBitmap)
	if err != nil {
		return nil, nil, err
	}
	copy(b, x.fs.freshBlockBitmap(d, group))
	d.setFlags(d.flags() &^ groupBlockUninit)
	return d, b, nil
}

// span is blocks in a row.
type span struct{ start, len uint64 }

// reserve chooses at most want free blocks in a row, near goal, and holds them.
// ENOSPC where none is free.
func (fs *FileSystem) reserve(ctx context.Context, goal, want uint64) (span, error) {
	w := fs.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if goal <= fs.geo.firstBlock || goal >= fs.geo.blocks {
		goal = fs.geo.firstBlock
	}
	first, bit := fs.geo.groupOf(goal)
	var best span
	tried := 0
	for i := range fs.geo.groups + 1 { // the first group twice: from the goal on, and from its start
		group := (first + i) % fs.geo.groups
		g := &w.groups[group]
		if g.free <= g.heldN {
			continue
		}
		b, err := fs.blockBitmap(ctx, group)
		if err != nil {
			return span{}, err
		}
		from := uint64(0)
		if i == 0 {
			from = bit
		}
		at, n := findRun(b, g.held, from, fs.geo.groupBlocks(group), want)
		if n > best.len {
			best = span{fs.geo.groupStart(group) + at, n}
		}
		tried++
		if best.len >= want || best.len > 0 && tried >= 8 {
			break
		}
	}
	if best.len == 0 {
		return span{}, syscall.ENOSPC
	}
	fs.hold(best)
	return best, nil
}

// reserveData is reserve for data, outside of any change: where the disk is
// full but for blocks that wait for a commit, it commits.
func (fs *FileSystem) reserveData(ctx context.Context, goal, want uint64) (span, error) {
	s, err := fs.reserve(ctx, goal, want)
	if err == syscall.ENOSPC {
		if err := fs.w.manager.Sync(); err != nil {
			return span{}, err
		}
		s, err = fs.reserve(ctx, goal, want)
	}
	return s, err
}

// findRun finds want clear bits in a row, in both bitmaps, from a bit on and
// below end: the first such run, or else the longest.
func findRun(b, held []byte, from, end, want uint64) (at, n uint64) {
	bestAt, best := uint64(0), uint64(0)
	for i := from; i < end; {
		if i%64 == 0 && binary.LittleEndian.Uint64(b[i/8:]) == ^uint64(0) {
			i += 64
			continue
		}
		if hasBit(b, i) || held != nil && hasBit(held, i) {
			i++
			continue
		}
		start := i
		for i < end && i-start < want && !hasBit(b, i) && (held == nil || !hasBit(held, i)) {
			i++
		}
		if i-start > best {
			bestAt, best = start, i-start
			if best == want {
				break
			}
		}
	}
	return bestAt, best
}

// hold keeps blocks from being given out. w.mu is held.
func (fs *FileSystem) hold(s span) {
	for i := range s.len {
		group, bit := fs.geo.groupOf(s.start + i)
		g := &fs.w.groups[group]
		if g.held == nil {
			g.held = make([]byte, fs.geo.blockSize)
		}
		if !hasBit(g.held, bit) {
			setBit(g.held, bit)
			g.heldN++
		}
	}
}

// release ends a hold.
func (fs *FileSystem) release(s span) {
	fs.w.mu.Lock()
	defer fs.w.mu.Unlock()
	for i := range s.len {
		group, bit := fs.geo.groupOf(s.start + i)
		g := &fs.w.groups[group]
		if g.held == nil || !hasBit(g.held, bit) {
			continue
		}
		clearBit(g.held, bit)
		if g.heldN--; g.heldN == 0 {
			g.held = nil
		}
	}
}

// use takes blocks that are held: they are in use with this change, and are
// released when it is done, or given up.
func (x *tx) use(ctx context.Context, s span) error {
	err := x.eachGroup(ctx, s, func(d groupDesc, b []byte, delta *groupDelta, bit, n uint64) error {
		for i := bit; i < bit+n; i++ {
			if hasBit(b, i) {
				return ondisk.Corrupt("ext4 block bitmap", x.fs.at(d.blockBitmap()).Off, "bit %d, which was free, is in use", i)
			}
			setBit(b, i)
		}
		d.setFreeBlocks(d.freeBlocks() - uint32(n))
		delta.blocks -= int64(n)
		return nil
	})
	if err != nil {
		return err
	}
	x.t.OnDone(func() { x.fs.release(s) })
	return nil
}

// allocate reserves and takes blocks in a row, for metadata.
func (x *tx) allocate(ctx context.Context, goal, want uint64) (span, error) {
	s, err := x.fs.reserve(ctx, goal, want)
	if err != nil {
		return span{}, err
	}
	x.t.OnAbort(func() { x.fs.release(s) })
	return s, x.use(ctx, s)
}

// free gives blocks back. Nobody gets them before the change is durable.
func (x *tx) free(ctx context.Context, s span) error {
	if s.start <= x.fs.geo.firstBlock || s.len > x.fs.geo.blocks || s.start > x.fs.geo.blocks-s.len {
		return ondisk.Corrupt("ext4 blocks", int64(s.start<<x.fs.geo.blockBits), "%d blocks at %d are to be freed", s.len, s.start)
	}
	err := x.eachGroup(ctx, s, func(d groupDesc, b []byte, delta *groupDelta, bit, n uint64) error {
		for i := bit; i < bit+n; i++ {
			if !hasBit(b, i) {
				return ondisk.Corrupt("ext4 block bitmap", x.fs.at(d.blockBitmap()).Off, "bit %d, of a block in use, is clear", i)
			}
			clearBit(b, i)
		}
		d.setFreeBlocks(d.freeBlocks() + uint32(n))
		delta.blocks += int64(n)
		return nil
	})
	if err != nil {
		return err
	}
	x.fs.w.mu.Lock()
	x.fs.hold(s)
	x.fs.w.mu.Unlock()
	x.t.OnAbort(func() { x.fs.release(s) })
	x.t.OnCommit(func() { x.fs.release(s) })
	return nil
}

// freeMeta gives a metadata block back, of which the log may have a copy.
func (x *tx) freeMeta(ctx context.Context, blk uint64, kind *txn.Kind) error {
	if err := x.free(ctx, span{blk, 1}); err != nil {
		return err
	}
	x.t.Free(int64(blk<<x.fs.geo.blockBits), kind)
	return nil
}

// eachGroup visits the groups that blocks lie in.
func (x *tx) eachGroup(ctx context.Context, s span, visit func(d groupDesc, b []byte, delta *groupDelta, bit, n uint64) error) error {
	for s.len > 0 {
		group, bit := x.fs.geo.groupOf(s.start)
		n := min(s.len, x.fs.geo.groupBlocks(group)-bit)
		d, b, err := x.editBlockBitmap(ctx, group)
		if err != nil {
			return err
		}
		if err := visit(d, b, x.groups[group], bit, n); err != nil {
			return err
		}
		s.start, s.len = s.start+n, s.len-n
	}
	return nil
}
