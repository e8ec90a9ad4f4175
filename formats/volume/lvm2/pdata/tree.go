package pdata

import (
	"context"
	"fmt"
	"math"
	"sort"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// maxDepth bounds a tree: 2^64 keys in nodes of at least two need no more than
// 64 levels, and the kernel's are far flatter.
const maxDepth = 24

// Store reads blocks of a metadata device and keeps them, verified.
type Store struct {
	dev   block.Device
	cache *block.Cache[uint64, []byte]
}

// NewStore reads dev, keeping at most that many bytes.
func NewStore(dev block.Device, cacheBytes int64) *Store {
	return &Store{dev, block.NewCache[uint64, []byte](cacheBytes)}
}

// read reads block n, whose checksum has that salt and whose number is at at.
func (s *Store) read(ctx context.Context, what string, n uint64, salt uint32, at int) ([]byte, error) {
	if n > math.MaxInt64/BlockSize || !ondisk.Fits(int64(n)*BlockSize, BlockSize, s.dev.Size()) {
		return nil, ondisk.Corrupt(what, 0, "block %d lies beyond the metadata of %d bytes", n, s.dev.Size())
	}
	off := int64(n) * BlockSize
	b := make([]byte, BlockSize)
	if err := block.ReadFull(ctx, s.dev, b, off); err != nil {
		return nil, fmt.Errorf("read the %s at byte %d: %w", what, off, err)
	}
	if sum := ondisk.CRC32C(^uint32(0), b[4:]) ^ salt; sum != u32(b, checksumOffset) {
		return nil, ondisk.BadChecksum(what, off, u32(b, checksumOffset), sum)
	}
	if u64(b, at) != n {
		return nil, ondisk.Corrupt(what, off, "it says that it is block %d", u64(b, at))
	}
	return b, nil
}

// A node is a verified node of a tree.
type node struct {
	b        []byte
	entries  int
	max      int
	size     int // of a value
	internal bool
}

func (s *Store) node(ctx context.Context, n uint64) (node, error) {
	b, err := s.cache.Get(ctx, n, func(ctx context.Context) ([]byte, int64, error) {
		b, err := s.read(ctx, "B-tree node", n, nodeSalt, nodeNumber)
		return b, BlockSize, err
	})
	if err != nil {
		return node{}, err
	}
	max, size, entries, flags := u32(b, nodeMax), u32(b, nodeValueSize), u32(b, nodeEntries), u32(b, nodeFlags)
	if size == 0 || size > BlockSize || max > BlockSize || nodeKeys+max*(8+size) > BlockSize || entries > max ||
		flags != nodeInternal && flags != nodeLeaf || flags == nodeInternal && (size != 8 || entries == 0) {
		return node{}, ondisk.Corrupt("B-tree node", int64(n)*BlockSize, "%d of %d entries of %d bytes, flags %#x", entries, max, size, flags)
	}
	return node{b, int(entries), int(max), int(size), flags == nodeInternal}, nil
}

func (n node) key(i int) uint64   { return u64(n.b, nodeKeys+8*i) }
func (n node) value(i int) []byte { return n.b[nodeKeys+8*n.max+n.size*i:][:n.size] }

// number is value i as a number; the values have 8 bytes.
func (n node) number(i int) uint64 { return u64(n.value(i), 0) }

// Next finds the first entry of the tree at root whose key is at least key.
func (s *Store) Next(ctx context.Context, root, key uint64) (found uint64, value []byte, ok bool, err error) {
	// The path down, and at each node the entry gone by, to go on to the right.
	type step struct {
		n  node
		at int
	}
	var path []step
	at := root
	for len(path) < maxDepth {
		n, err := s.node(ctx, at)
		if err != nil {
			return 0, nil, false, err
		}
		if n.internal {
			// The child whose keys begin at or before key.
			i := max(0, sort.Search(n.entries, func(i int) bool { return n.key(i) > key })-1)
			path = append(path, step{n, i})
			at = n.number(i)
			continue
		}
		if i := sort.Search(n.entries, func(i int) bool { return n.key(i) >= key }); i < n.entries {
			return n.key(i), n.value(i), true, nil
		}
		// On to the next leaf: the next child of the nearest node that has one.
		for len(path) > 0 && path[len(path)-1].at+1 >= path[len(path)-1].n.entries {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			return 0, nil, false, nil
		}
		last := &path[len(path)-1]
		last.at++
		if next := last.n.key(last.at); next > key {
			key = next
		} else {
			return 0, nil, false, ondisk.Corrupt("B-tree node", 0, "its keys are not in order")
		}
		at = last.n.number(last.at)
	}
	return 0, nil, false, ondisk.Corrupt("B-tree", int64(min(root, math.MaxInt64/BlockSize))*BlockSize, "it is deeper than %d nodes", maxDepth)
}

// Get is the value of key.
func (s *Store) Get(ctx context.Context, root, key uint64) (value []byte, ok bool, err error) {
	k, v, ok, err := s.Next(ctx, root, key)
	return v, ok && k == key && err == nil, err
}
