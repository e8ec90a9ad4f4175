package qcow2

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	refTableName = "qcow2 refcount table"
	refBlockName = "qcow2 refcount block"
)

// cleanBlocks is how many bytes of unchanged refcount blocks are kept.
const cleanBlocks = 16 << 20

// refcounts are the reference counts of all host clusters as they are in
// memory, section "Host cluster management". writing.alloc guards them.
type refcounts struct {
	src         block.Device
	clusterBits uint
	order       uint // a count has 1<<order bits

	offset int64    // of the table in the file; 0 where it has none yet
	length int64    // entries that the table in the file has room for
	table  []uint64 // host offsets of the blocks; 0: none yet
	stale  map[int64]struct{}
	blocks map[int64]*refBlock
	clean  int64 // bytes of blocks that are not dirty
	limit  int64 // bytes of blocks at most, where > 0: of a repair
}

// refBlock is a refcount block in memory.
type refBlock struct {
	b     []byte
	dirty bool // it differs from the file, or has no place there
}

// readRefcounts reads the refcount table.
func readRefcounts(ctx context.Context, src block.Device, h *header) (*refcounts, error) {
	r := newRefcounts(src, h)
	b := make([]byte, h.refBytes)
	if err := block.ReadFull(ctx, src, b, h.refOffset); err != nil {
		return nil, err
	}
	r.offset, r.length = h.refOffset, h.refBytes/entryLen
	r.table = make([]uint64, r.length)
	for i := range r.table {
		r.table[i] = be64(b, i*entryLen)
	}
	return r, nil
}

func newRefcounts(src block.Device, h *header) *refcounts {
	return &refcounts{src: src, clusterBits: h.clusterBits, order: h.refOrder,
		stale: make(map[int64]struct{}), blocks: make(map[int64]*refBlock)}
}

func (r *refcounts) cluster() int64 { return 1 << r.clusterBits }

// perBits is the number of bits of a cluster number that one block covers.
func (r *refcounts) perBits() uint { return r.clusterBits + 3 - r.order }

// max is the largest count that fits.
func (r *refcounts) max() uint64 {
	if r.order == maxRefcountOrder {
		return math.MaxUint64
	}
	return 1<<(1<<r.order) - 1
}

// block is the block with the number i; nil where there is none and all its
// counts are 0.
func (r *refcounts) block(ctx context.Context, i int64) (*refBlock, error) {
	if b := r.blocks[i]; b != nil {
		return b, nil
	}
	if i >= int64(len(r.table)) || r.table[i] == 0 {
		return nil, nil
	}
	at, err := r.place(i)
	if err != nil {
		return nil, err
	}
	if r.clean > cleanBlocks {
		for k, b := range r.blocks {
			if !b.dirty {
				delete(r.blocks, k)
			}
		}
		r.clean = 0
	}
	b := &refBlock{b: make([]byte, r.cluster())}
	if err := block.ReadFull(ctx, r.src, b.b, at); err != nil {
		return nil, err
	}
	r.blocks[i] = b
	r.clean += r.cluster()
	return b, nil
}

// place is where the block i, which the table has, is in the file.
func (r *refcounts) place(i int64) (int64, error) {
	e, entry := r.table[i], r.offset+i*entryLen
	switch {
	case e&refcountReserved != 0 || e > math.MaxInt64:
		return 0, ondisk.Corrupt(refTableName, entry, "entry %#x has reserved bits set", e)
	case int64(e)&(r.cluster()-1) != 0:
		return 0, ondisk.Corrupt(refTableName, entry, "the refcount block at %d is not aligned to the clusters of %d bytes", e, r.cluster())
	case !ondisk.Fits(int64(e), r.cluster(), r.src.Size()):
		return 0, ondisk.Corrupt(refTableName, entry, "the refcount block at %d is outside the file of %d bytes", e, r.src.Size())
	}
	return int64(e), nil
}

// get is the count of the cluster with the number c.
func (r *refcounts) get(ctx context.Context, c int64) (uint64, error) {
	b, err := r.block(ctx, c>>r.perBits())
	if b == nil || err != nil {
		return 0, err
	}
	return r.at(b.b, c&(1<<r.perBits()-1)), nil
}

// at is the count with the index i in a block.
func (r *refcounts) at(b []byte, i int64) uint64 {
	switch r.order {
	case 3:
		return uint64(b[i])
	case 4:
		return uint64(binary.BigEndian.Uint16(b[i*2:]))
	case 5:
		return uint64(binary.BigEndian.Uint32(b[i*4:]))
	case 6:
		return binary.BigEndian.Uint64(b[i*8:])
	}
	bit := i << r.order
	return uint64(b[bit>>3]>>(bit&7)) & r.max()
}

// set makes v, which fits, the count of the cluster with the number c.
func (r *refcounts) set(ctx context.Context, c int64, v uint64) error {
	n := c >> r.perBits()
	b, err := r.block(ctx, n)
	if err != nil {
		return err
	}
	if b == nil {
		if n >= max(maxRefcountBytes, r.cluster())/entryLen {
			return syscall.EFBIG
		}
		if r.limit > 0 && int64(len(r.blocks)+1)*r.cluster() > r.limit {
			return ondisk.Unsupported(what, "repairing reference counts of more than %d bytes", r.limit)
		}
		b = &refBlock{b: make([]byte, r.cluster()), dirty: true}
		r.blocks[n] = b
		if grow := n + 1 - int64(len(r.table)); grow > 0 {
			r.table = append(r.table, make([]uint64, grow)...)
		}
	}
	if !b.dirty {
		b.dirty = true
		r.clean -= r.cluster()
	}
	i := c & (1<<r.perBits() - 1)
	switch r.order {
	case 3:
		b.b[i] = byte(v)
	case 4:
		binary.BigEndian.PutUint16(b.b[i*2:], uint16(v))
	case 5:
		binary.BigEndian.PutUint32(b.b[i*4:], uint32(v))
	case 6:
		binary.BigEndian.PutUint64(b.b[i*8:], v)
	default:
		bit := i << r.order
		b.b[bit>>3] = b.b[bit>>3]&^byte(r.max()<<(bit&7)) | byte(v<<(bit&7))
	}
	return nil
}

// dirty lists the blocks that differ from the file, in order.
func (r *refcounts) dirty() []int64 {
	var all []int64
	for i, b := range r.blocks {
		if b.dirty {
			all = append(all, i)
		}
	}
	slices.Sort(all)
	return all
}
