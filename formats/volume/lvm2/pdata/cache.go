package pdata

import (
	"context"
	"io"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A mapping in a cache's array: the block of the origin, and flags.
const (
	mappingBits  = 16
	mappingValid = 1
)

// A cached is an origin of which a cache has some blocks.
type cached struct {
	origin, data block.Device
	block        int64
	at           map[int64]int64 // blocks of the origin that are in the cache, and where
}

// OpenCache puts an origin and its cache together, by the cache's metadata. All
// blocks in the cache are read from there: those that are not dirty are the
// same, and the mark is only kept when a cache is shut down properly.
func OpenCache(ctx context.Context, metadata, data, origin block.Device) (block.Device, error) {
	s := NewStore(metadata, 1<<20)
	b, err := s.read(ctx, "cache superblock", 0, cacheSalt, blockNumber)
	if err != nil {
		return nil, err
	}
	if u64(b, superMagic) != cacheMagic {
		return nil, ondisk.Corrupt("cache superblock", 0, "no magic")
	}
	if v := u32(b, superVersion); v < 1 || v > 2 {
		return nil, ondisk.Unsupported("cache", "version %d", v)
	}
	sectors, blocks := u32(b, cacheBlockSize), u32(b, cacheBlocks)
	if sectors < 64 || sectors > 2<<20 || sectors%64 != 0 {
		return nil, ondisk.Corrupt("cache superblock", 0, "blocks of %d sectors", sectors)
	}
	c := &cached{origin: origin, data: data, block: int64(sectors) * 512, at: map[int64]int64{}}
	if int64(blocks) > data.Size()/c.block {
		return nil, ondisk.Corrupt("cache superblock", 0, "%d blocks of %d bytes in a cache of %d", blocks, c.block, data.Size())
	}
	if err := c.load(ctx, s, u64(b, cacheMapping), uint64(blocks)); err != nil {
		return nil, err
	}
	return c, nil
}

// load reads the array of mappings: one for each block of the cache.
func (c *cached) load(ctx context.Context, s *Store, root, blocks uint64) error {
	index := uint64(0)
	for key := uint64(0); index < blocks; key++ {
		_, v, ok, err := s.Next(ctx, root, key)
		if err != nil {
			return err
		}
		if !ok || len(v) != 8 {
			return ondisk.Corrupt("cache mapping", 0, "it ends at block %d of %d", index, blocks)
		}
		b, err := s.read(ctx, "array block", u64(v, 0), arraySalt, arrayNumber)
		if err != nil {
			return err
		}
		entries := uint64(u32(b, arrayEntries))
		if u32(b, arrayValueSize) != 8 || entries == 0 || arrayValues+entries*8 > BlockSize {
			return ondisk.Corrupt("array block", int64(u64(v, 0))*BlockSize, "%d entries of %d bytes", entries, u32(b, arrayValueSize))
		}
		for i := range entries {
			if index == blocks {
				break
			}
			if m := u64(b, arrayValues+int(i)*8); m&mappingValid != 0 {
				if o := m >> mappingBits; o <= uint64(math.MaxInt64/c.block) {
					c.at[int64(o)] = int64(index) * c.block
				}
			}
			index++
		}
	}
	return nil
}

func (c *cached) Size() int64 { return c.origin.Size() }

// find says which device has the bytes at off, where, and how many.
func (c *cached) find(off int64) (dev block.Device, at, n int64) {
	b, in := off/c.block, off%c.block
	n = min(c.block-in, c.Size()-off)
	if at, ok := c.at[b]; ok {
		return c.data, at + in, n
	}
	return c.origin, off, n
}

func (c *cached) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), c.Size())
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	for done := int64(0); done < n; {
		dev, at, run := c.find(off + done)
		run = min(run, n-done)
		if err := block.ReadFull(ctx, dev, p[done:done+run], at); err != nil {
			return int(done), err
		}
		done += run
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (c *cached) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, c.Size()); n == 0 {
		return block.Run{}, io.EOF
	}
	dev, at, run := c.find(off)
	return dev.Locate(ctx, at, min(run, n))
}
