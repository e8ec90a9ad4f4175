package ntfs

import (
	"context"
	"io"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// maxIndexBlock bounds an index block, in bytes.
	maxIndexBlock = 2 << 20
	// maxIndexVisits bounds the blocks that one search reads: the height of the
	// tree, and those over which equal keys spread.
	maxIndexVisits = 256
)

// An index is a B+-tree of $INDEX_ROOT and $INDEX_ALLOCATION.
type index struct {
	f         *file
	root      node
	alloc     stream // of $INDEX_ALLOCATION; absent where blockSize is 0
	bitmap    stream
	blockSize int64 // bytes
	vcnSize   int64 // bytes of the unit in which blocks are numbered
}

// A node is the bytes of a node's entries.
type node struct {
	b    []byte
	off  int64 // where the node lies in the volume, for errors
	what string
}

// openIndex opens the index of the given name in UTF-16LE.
func (f *file) openIndex(ctx context.Context, name []byte) (*index, error) {
	var root stream
	ok, err := f.find(ctx, typeIndexRoot, name, &root)
	if err != nil {
		return nil, err
	}
	if !ok || !root.resident() || len(root.value) < indexRootHeader+indexHeaderSize {
		return nil, f.corrupt("it lacks a resident $INDEX_ROOT named %q", decodeName(name))
	}
	x := &index{f: f}
	h := indexHeader(root.value[indexRootHeader:])
	x.root = node{off: f.fs.recordOffset(f.num), what: "NTFS $INDEX_ROOT"}
	if x.root.b, err = h.entries(len(root.value)-indexRootHeader, x.root); err != nil {
		return nil, err
	}
	if h.flags()&indexHasChildren == 0 {
		return x, nil
	}
	size := int64(indexRoot(root.value).blockSize())
	if size < usaStride || size > maxIndexBlock || size&(size-1) != 0 {
		return nil, f.corrupt("its index has blocks of %d bytes", size)
	}
	x.blockSize, x.vcnSize = size, min(f.fs.geo.cluster, size)
	if f.fs.geo.cluster > size {
		x.vcnSize = usaStride
	}
	if ok, err = f.find(ctx, typeIndexAllocation, name, &x.alloc); err == nil && (!ok || x.alloc.resident()) {
		err = f.corrupt("its index has children and no $INDEX_ALLOCATION")
	}
	// It is never sparse: a larger one would take a listing forever.
	if err == nil && x.alloc.size > f.fs.geo.clusters*f.fs.geo.cluster {
		err = f.corrupt("its index has %d bytes in a volume of %d", x.alloc.size, f.fs.geo.clusters*f.fs.geo.cluster)
	}
	if err == nil {
		if ok, err = f.find(ctx, typeBitmap, name, &x.bitmap); err == nil && !ok {
			err = f.corrupt("its index has children and no $BITMAP")
		}
	}
	return x, err
}

// entries gives the bytes of the entries behind a header, of size bytes with
// it, in which at least the last entry is.
func (h indexHeader) entries(size int, n node) ([]byte, error) {
	from, to := int64(h.entriesOffset()), int64(h.indexLength())
	if from < indexHeaderSize || from&7 != 0 || to > int64(size) || from > to-indexEntryHeader {
		return nil, ondisk.Corrupt(n.what, n.off, "entries from %d to %d of %d bytes", from, to, size)
	}
	return h[from:to:to], nil
}

// entry gives the entry at byte at of a node, with its lengths compared.
func (n node) entry(at int) (indexEntry, error) {
	left := len(n.b) - at
	if left < indexEntryHeader {
		return nil, ondisk.Corrupt(n.what, n.off, "it has no last entry")
	}
	e := indexEntry(n.b[at:])
	size, need := e.length(), indexEntryHeader
	if e.hasChild() {
		need += 8
	}
	if !e.last() {
		need += e.keyLength()
	}
	if size < need || size > left || size&7 != 0 {
		return nil, ondisk.Corrupt(n.what, n.off, "the entry at %d has %d bytes of %d", at, size, left)
	}
	return e[:size:size], nil
}

// verifyIndex checks an index block as it enters memory: its fixups, which are
// applied, and its entries.
func (fs *FileSystem) verifyIndex(b []byte, at txn.Addr) error {
	x := indexBlock(b)
	if m := multiSector(b).magic(); m != magicIndx {
		return ondisk.Corrupt("NTFS index block", at.Off, "the magic is %#08x, expected \"INDX\"", m)
	}
	if problem := applyFixups(b); problem != "" {
		return ondisk.Corrupt("NTFS index block", at.Off, "%s", problem)
	}
	n := node{off: at.Off, what: "NTFS index block"}
	var err error
	if n.b, err = x.header().entries(len(b)-indexBlockHeader, n); err != nil {
		return err
	}
	for i := 0; ; {
		e, err := n.entry(i)
		if err != nil {
			return err
		}
		if e.last() {
			return nil
		}
		i += len(e)
	}
}

// address says where the block at byte off of $INDEX_ALLOCATION lies; ok is
// false where it is in pieces.
func (x *index) address(ctx context.Context, off int64) (at txn.Addr, ok bool, err error) {
	if off < 0 || off%x.blockSize != 0 && off%x.vcnSize != 0 || !ondisk.Fits(off, x.blockSize, x.alloc.size) {
		return txn.Addr{}, false, x.f.corrupt("its index refers to byte %d of %d", off, x.alloc.size)
	}
	ext, err := x.alloc.mapAt(ctx, off, x.blockSize)
	if err != nil {
		return txn.Addr{}, false, err
	}
	if ext.Kind == vfs.Mapped && ext.Len == x.blockSize {
		return txn.Addr{Off: ext.Off, Len: int(x.blockSize)}, true, nil
	}
	return txn.Addr{Off: ext.Off}, false, nil
}

// block gives the node in the block at byte off of $INDEX_ALLOCATION.
func (x *index) block(ctx context.Context, off int64) (node, error) {
	fs := x.f.fs
	at, ok, err := x.address(ctx, off)
	if err != nil {
		return node{}, err
	}
	var b []byte
	if ok {
		b, err = fs.store.Read(ctx, at, fs.kinds.index)
	}
	if !ok || err == nil && int64(len(b)) != x.blockSize {
		// Clusters smaller than the block, and not in a row; or another index has
		// blocks of another size at the same place.
		b = make([]byte, x.blockSize)
		if err = x.alloc.readFull(ctx, b, off); err == nil {
			err = fs.verifyIndex(b, at)
		}
	}
	if err == io.ErrUnexpectedEOF {
		err = fs.beyond("NTFS index block", at.Off)
	}
	if err != nil {
		return node{}, err
	}
	n := node{off: at.Off, what: "NTFS index block"}
	blk := indexBlock(b)
	if want := off / x.vcnSize; blk.vcn() != want {
		return node{}, ondisk.Corrupt(n.what, n.off, "it says that it is block %d, expected %d", blk.vcn(), want)
	}
	n.b, err = blk.header().entries(len(b)-indexBlockHeader, n)
	return n, err
}

// child gives the node below an entry.
func (x *index) child(ctx context.Context, e indexEntry) (node, error) {
	vcn := e.child()
	if x.blockSize == 0 || vcn < 0 || vcn > maxVCN/x.vcnSize {
		return node{}, x.f.corrupt("its index refers to block %d", vcn)
	}
	return x.block(ctx, vcn*x.vcnSize)
}

// search visits, in order, the entries whose key is equal by compare, which
// orders what is looked for against an entry's key, until visit answers false.
// It reads one block for each level of the tree where no keys are equal.
func (x *index) search(ctx context.Context, compare func(key []byte) (int, error), visit func(e indexEntry) (bool, error)) error {
	s := indexSearch{x: x, compare: compare, visit: visit}
	_, err := s.descend(ctx, x.root)
	return err
}

type indexSearch struct {
	x       *index
	compare func(key []byte) (int, error)
	visit   func(e indexEntry) (bool, error)
	visits  int
}

// descend searches a node and what is below it. more is false where the search
// is over.
func (s *indexSearch) descend(ctx context.Context, n node) (more bool, err error) {
	if s.visits++; s.visits > maxIndexVisits {
		return false, ondisk.Corrupt(n.what, n.off, "a search goes through more than %d blocks", maxIndexVisits)
	}
	for at := 0; ; {
		e, err := n.entry(at)
		if err != nil {
			return false, err
		}
		order := -1
		if !e.last() {
			if order, err = s.compare(e.key()); err != nil {
				return false, err
			}
		}
		if order <= 0 {
			// Smaller keys, and equal ones before this, are below the entry.
			if e.hasChild() {
				c, err := s.x.child(ctx, e)
				if err != nil {
					return false, err
				}
				if more, err := s.descend(ctx, c); !more || err != nil {
					return false, err
				}
			}
			if order < 0 {
				return e.last(), nil
			}
			if more, err := s.visit(e); !more || err != nil {
				return false, err
			}
		}
		at += len(e)
	}
}

// indexAhead is how many blocks a listing reads at once.
const indexAhead = 64

// prefetch reads the blocks of $INDEX_ALLOCATION from byte off on.
func (x *index) prefetch(ctx context.Context, off int64) {
	addrs := make([]txn.Addr, 0, indexAhead)
	for ; len(addrs) < indexAhead && off+x.blockSize <= x.alloc.size; off += x.blockSize {
		at, ok, err := x.address(ctx, off)
		if err != nil {
			break
		}
		if ok {
			addrs = append(addrs, at)
		}
	}
	x.f.fs.store.Prefetch(ctx, addrs, x.f.fs.kinds.index)
}

// used reads the part of $BITMAP that says which blocks are in use: 4 KiB of
// bits that hold block's.
func (x *index) used(ctx context.Context, blk int64, buf []byte) ([]byte, error) {
	at := blk / 8
	n := block.Clamp(at, int64(len(buf)), x.bitmap.size)
	if n == 0 {
		return nil, nil
	}
	return buf[:n], x.bitmap.readFull(ctx, buf[:n], at)
}
