package ext4

import (
	"context"
	"encoding/binary"
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
		if g.free == 0 {
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
	// used is the word of both bitmaps from a bit on; bits behind its end are 0.
	used := func(i uint64) uint64 {
		at := i / 64 * 8
		w := binary.LittleEndian.Uint64(b[at:])
		if held != nil {
			w |= binary.LittleEndian.Uint64(held[at:])
		}
		return w >> (i % 64)
	}
	for i := from; i < end; {
		if n := uint64(bits.TrailingZeros64(^used(i))); n > 0 {
			i = min(i+n, i/64*64+64)
			continue
		}
		start := i
		for i < end && i-start < want {
			n := min(uint64(bits.TrailingZeros64(used(i))), 64-i%64)
			if n == 0 {
				break
			}
			i += n
		}
		i = min(i, end, start+want)
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
	w := x.fs.w
	w.mu.Lock()
	x.fs.hold(s)
	w.mu.Unlock()
	x.t.OnAbort(func() { x.fs.release(s) })
	x.t.OnDone(func() { w.waiting.Add(int64(s.len)) })
	x.t.OnCommit(func() {
		x.fs.release(s)
		w.waiting.Add(-int64(s.len))
	})
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
