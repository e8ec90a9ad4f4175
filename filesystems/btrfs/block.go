package btrfs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/guestctl/guestctl/formats/ondisk"
)

const whatBlock = "btrfs tree block (logical)"

// A blockRef is what a parent says of a tree block.
type blockRef struct {
	bytenr     uint64
	generation uint64
	level      int
}

// blockCost is what a cached block costs besides its bytes.
const blockCost = 160

func isMissing(err error) bool {
	var m *MissingError
	return errors.As(err, &m)
}

// isDamage says whether an error is about what is on the disk.
func isDamage(err error) bool {
	var c *ondisk.CorruptError
	return errors.As(err, &c)
}

// block gives the verified tree block that ref names in the tree id, from
// memory or from whichever copy is good.
func (fs *FileSystem) block(ctx context.Context, ref blockRef, id uint64) (node, error) {
	if n, ok := fs.blocks.Peek(ref.bytenr); ok {
		if fs.checkRef(n, ref, id) == nil {
			return n, nil
		}
		// An old copy may have been read ahead.
		fs.blocks.Remove(ref.bytenr)
	}
	n, err := fs.blocks.Get(ctx, ref.bytenr, func(ctx context.Context) (node, int64, error) {
		if ref.bytenr%uint64(fs.geo.sector) != 0 {
			return nil, 0, ondisk.Corrupt(whatBlock, int64(ref.bytenr), "an address that is no multiple of %d", fs.geo.sector)
		}
		n := make(node, fs.geo.node)
		err := fs.chunks.readVerified(ctx, n, ref.bytenr, fs.log, func() error {
			if err := fs.verifyBlock(n, ref.bytenr); err != nil {
				return err
			}
			return fs.checkRef(n, ref, id)
		})
		return n, int64(len(n)) + blockCost, err
	})
	if err == nil {
		err = fs.checkRef(n, ref, id) // another reader may have expected another one
	}
	if err != nil {
		return nil, err
	}
	return n, nil
}

// checkRef compares a verified block with what its parent says and with the
// tree that it is in. Subvolumes share blocks, so there any subvolume may be
// the owner.
func (fs *FileSystem) checkRef(n node, ref blockRef, id uint64) error {
	switch {
	case n.generation() != ref.generation:
		return ondisk.Corrupt(whatBlock, int64(ref.bytenr), "generation %d, expected %d", n.generation(), ref.generation)
	case n.level() != ref.level:
		return ondisk.Corrupt(whatBlock, int64(ref.bytenr), "level %d, expected %d", n.level(), ref.level)
	case isSubvolume(id) && !isSubvolume(n.owner()) || !isSubvolume(id) && n.owner() != id:
		return ondisk.Corrupt(whatBlock, int64(ref.bytenr), "a block of tree %d in tree %d", int64(n.owner()), int64(id))
	}
	return nil
}

// isSubvolume says whether a tree holds files.
func isSubvolume(id uint64) bool { return id == fsTreeID || id >= firstFreeID && id < 1<<48 }

// verifyBlock says whether n is the tree block at bytenr: checksum, address,
// filesystem, and a structure in which every key and item can be used without
// looking again.
func (fs *FileSystem) verifyBlock(n node, bytenr uint64) error {
	bad := func(format string, args ...any) error {
		return ondisk.Corrupt(whatBlock, int64(bytenr), format, args...)
	}
	if !fs.geo.sum.matches(n.csum(), n.covered()) {
		return fs.geo.sum.mismatch(whatBlock, bytenr, n.csum(), n.covered())
	}
	if n.bytenr() != bytenr {
		return bad("it says that it is at %d", n.bytenr())
	}
	if fs.fsids != nil && !fs.fsids[[uuidSize]byte(n.fsid())] {
		return bad("it belongs to the filesystem %s", uuidString(n.fsid()))
	}
	if n.level() > maxLevel {
		return bad("level %d", n.level())
	}
	count := le32(n[96:])
	if count > uint32(len(n)-headerSize)/uint32(n.slot()) || count == 0 && n.level() > 0 {
		return bad("%d entries at level %d", count, n.level())
	}
	end := uint32(len(n) - headerSize)
	var last key
	for i := range int(count) {
		k := n.key(i)
		if i > 0 && last.compare(k) >= 0 {
			return bad("key %d is not above the one before it", i)
		}
		last = k
		if n.level() > 0 {
			continue
		}
		off, size := n.itemRange(i)
		if off > end || size != end-off || off < count*itemSize {
			return bad("item %d has %d bytes at %d, expected to end at %d", i, size, off, end)
		}
		end = off
	}
	return nil
}

const (
	// prefetchGap is how many unwanted bytes are read to save a request.
	prefetchGap = 64 << 10
	// prefetchMax bounds one read, in bytes.
	prefetchMax = 1 << 20
	// prefetchJobs is how many reads are under way at once.
	prefetchJobs = 4
)

// prefetchBlocks reads those of the blocks that are not in memory, in few
// large reads, and returns when that is done. What cannot be read or verified
// is left out; block finds the reason, or a better copy.
func (fs *FileSystem) prefetchBlocks(ctx context.Context, addrs []uint64) {
	want := make([]uint64, 0, len(addrs))
	for _, a := range addrs {
		if _, ok := fs.blocks.Peek(a); !ok && a%uint64(fs.geo.sector) == 0 {
			want = append(want, a)
		}
	}
	slices.SortFunc(want, cmp.Compare[uint64])
	want = slices.Compact(want)
	size := uint64(fs.geo.node)
	var wg sync.WaitGroup
	slots := make(chan struct{}, prefetchJobs)
	for len(want) > 0 && ctx.Err() == nil {
		c, err := fs.chunks.find(want[0])
		if err != nil {
			want = want[1:]
			continue
		}
		n, end := 1, want[0]+size
		for n < len(want) && want[n] <= end+prefetchGap && want[n]+size-want[0] <= prefetchMax && want[n]+size <= c.end() {
			end = want[n] + size
			n++
		}
		batch := want[:n]
		want = want[n:]
		if len(want) == 0 {
			fs.readBatch(ctx, batch, end)
			break
		}
		slots <- struct{}{}
		wg.Go(func() {
			fs.readBatch(ctx, batch, end)
			<-slots
		})
	}
	wg.Wait()
}

// readBatch reads from batch[0] to end at once and keeps the blocks in it.
func (fs *FileSystem) readBatch(ctx context.Context, batch []uint64, end uint64) {
	buf := fs.buffer(int(end - batch[0]))
	defer fs.buffers.Put(buf)
	if ok, err := fs.chunks.read(ctx, *buf, batch[0], 0); !ok || err != nil {
		return
	}
	for _, a := range batch {
		// A copy of its own, so that one kept block does not keep the whole read.
		n := append(node(nil), (*buf)[a-batch[0]:][:fs.geo.node]...)
		if fs.verifyBlock(n, a) == nil {
			fs.blocks.Add(a, n, int64(len(n))+blockCost)
		}
	}
}

// buffer gives n bytes from the pool.
func (fs *FileSystem) buffer(n int) *[]byte {
	b, _ := fs.buffers.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	*b = (*b)[:n]
	return b
}
