package btrfs

import (
	"context"
	"math"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/guestctl/guestctl/formats/ondisk"
)

const whatChunk = "btrfs chunk (logical)"

// A chunk is a range of logical addresses and where it lies.
//
// Every profile without parity is one shape: the stripes are groups of copies,
// and the 64 KiB pieces of the chunk go to the groups in turns. single, dup and
// raid1 have one group, raid0 groups of one copy, raid10 several groups of
// several.
type chunk struct {
	start   uint64
	length  uint64
	typ     uint64
	copies  int // stripes in a group
	parity  int // stripes of parity: 1 of raid5, 2 of raid6
	stripes []stripe
}

type stripe struct {
	on  *member
	off uint64
}

func (c *chunk) end() uint64     { return c.start + c.length }
func (c *chunk) groups() int     { return len(c.stripes) / c.copies }
func (c *chunk) data() int       { return len(c.stripes) - c.parity }
func (c *chunk) profile() uint64 { return c.typ & groupProfile }

// A chunkMap translates logical addresses. But for the count of
// warnings it does not change once it is in use.
type chunkMap struct {
	chunks []chunk // ascending
	ms     *members
	warned atomic.Int64 // bad copies that were passed over
}

// find is the chunk that holds a logical address.
func (m *chunkMap) find(logical uint64) (*chunk, error) {
	i := sort.Search(len(m.chunks), func(i int) bool { return m.chunks[i].end() > logical })
	if i == len(m.chunks) || m.chunks[i].start > logical {
		return nil, ondisk.Corrupt(whatChunk, int64(logical), "no chunk holds this address")
	}
	return &m.chunks[i], nil
}

// add puts in the chunk that item describes at a logical address. One that is
// there already, as those of the superblock are, must be the same.
func (m *chunkMap) add(start uint64, item chunkItem) error {
	c, err := m.parse(start, item)
	if err != nil {
		return err
	}
	i := sort.Search(len(m.chunks), func(i int) bool { return m.chunks[i].end() > start })
	if i < len(m.chunks) && m.chunks[i].start < c.end() {
		if m.chunks[i].start == start && m.chunks[i].length == c.length {
			m.chunks[i] = c
			return nil
		}
		return ondisk.Corrupt(whatChunk, int64(start), "it overlaps the chunk at %d", m.chunks[i].start)
	}
	m.chunks = slices.Insert(m.chunks, i, c)
	return nil
}

// shapes are the copies, parities and numbers of stripes of the profiles.
var shapes = [...]struct {
	profile        uint64
	copies, parity int
	fewest, most   int
}{
	{0, 1, 0, 1, 1},
	{groupDUP, 2, 0, 2, 2},
	{groupRAID0, 1, 0, 1, math.MaxInt},
	{groupRAID1, 2, 0, 2, 2},
	{groupRAID1C3, 3, 0, 3, 3},
	{groupRAID1C4, 4, 0, 4, 4},
	{groupRAID10, 2, 0, 2, math.MaxInt},
	{groupRAID5, 1, 1, 2, math.MaxInt},
	{groupRAID6, 1, 2, 3, math.MaxInt},
}

// parse compares the numbers of a chunk.
func (m *chunkMap) parse(start uint64, item chunkItem) (chunk, error) {
	bad := func(format string, args ...any) (chunk, error) {
		return chunk{}, ondisk.Corrupt(whatChunk, int64(start), format, args...)
	}
	if len(item) < chunkSize+stripeSize || len(item) < item.size() || item.numStripes() == 0 {
		return bad("an item of %d bytes", len(item))
	}
	c := chunk{start: start, length: item.length(), typ: item.typ()}
	n := item.numStripes()
	if c.length == 0 || start > math.MaxInt64 || c.length > math.MaxInt64-start {
		return bad("%d bytes", c.length)
	}
	if item.stripeLen() != stripeLen {
		return bad("stripes of %d bytes, expected %d", item.stripeLen(), stripeLen)
	}
	known := false
	for _, s := range shapes {
		if s.profile != c.profile() {
			continue
		}
		known = true
		c.copies, c.parity = s.copies, s.parity
		if n < s.fewest || n > s.most || n%s.copies != 0 {
			return bad("%d stripes of type %#x", n, c.typ)
		}
	}
	if !known {
		return bad("type %#x has several profiles", c.typ)
	}
	if c.profile() == groupRAID10 && item.subStripes() != c.copies {
		return bad("%d copies, expected %d", item.subStripes(), c.copies)
	}
	for i := range n {
		off := item.offset(i)
		if off > math.MaxInt64-c.length {
			return bad("stripe %d is at byte %d", i, off)
		}
		c.stripes = append(c.stripes, stripe{m.ms.of(item.devid(i), item.devUUID(i)), off})
	}
	if c.parity == 0 {
		// Those that are there and current come first.
		for g := range c.groups() {
			slices.SortStableFunc(c.stripes[g*c.copies:(g+1)*c.copies], func(a, b stripe) int { return a.on.rank() - b.on.rank() })
		}
	}
	return c, nil
}

// rank says which copy to read first: lower is better.
func (m *member) rank() int {
	switch {
	case m.dev == nil:
		return 2
	case m.stale:
		return 1
	}
	return 0
}

// addArray puts in the chunks of the superblock's sys_chunk_array, without
// which the chunk tree cannot be read.
func (m *chunkMap) addArray(sb superblock) error {
	size := sb.sysArraySize()
	if size > sysMapSize {
		return ondisk.Corrupt(whatSuper, int64(sb.bytenr()), "sys_chunk_array_size %d", size)
	}
	rest := sb.sysArray()[:size]
	for len(rest) > 0 {
		if len(rest) < keySize+chunkSize {
			return ondisk.Corrupt(whatSuper, int64(sb.bytenr()), "sys_chunk_array ends within a chunk")
		}
		k, item := keyAt(rest), chunkItem(rest[keySize:])
		if k.typ != chunkItemType || k.id != firstChunkID || len(item) < item.size() {
			return ondisk.Corrupt(whatSuper, int64(sb.bytenr()), "sys_chunk_array has the key (%d %d %d)", k.id, k.typ, k.off)
		}
		if item.typ()&groupSystem == 0 {
			return ondisk.Corrupt(whatSuper, int64(sb.bytenr()), "sys_chunk_array has a chunk of type %#x", item.typ())
		}
		if err := m.add(k.off, item[:item.size()]); err != nil {
			return err
		}
		rest = rest[keySize+item.size():]
	}
	return nil
}

// readChunkTree completes the map and learns which filesystems the tree blocks
// may name: this one and its seeds.
func (fs *FileSystem) readChunkTree(ctx context.Context, root blockRef) error {
	t := &tree{fs: fs, id: chunkTreeID, root: root}
	full := &chunkMap{ms: fs.chunks.ms, chunks: slices.Clone(fs.chunks.chunks)}
	fsids := map[[uuidSize]byte]bool{fs.fsid: true}
	c, err := t.ceil(ctx, key{})
	for ; err == nil && c.ok; err = c.next(ctx) {
		switch {
		case c.key.typ == devItemType && c.key.id == devItemsID && len(c.data) >= devItemSize:
			d := devItem(c.data)
			full.ms.of(d.devid(), d.uuid())
			var u [uuidSize]byte
			copy(u[:], d.fsid())
			fsids[u] = true
		case c.key.typ == chunkItemType && c.key.id == firstChunkID:
			if err := full.add(c.key.off, chunkItem(c.data)); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	fs.chunks, fs.fsids = full, fsids
	return nil
}
