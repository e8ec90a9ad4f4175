package qcow2

import (
	"context"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	l1Name = "qcow2 L1 table"
	l2Name = "qcow2 L2 table"
)

// l2Slice is the largest piece of an L2 table, in bytes, that is read and kept
// at once: with clusters of 2 MiB a whole table maps 512 GiB, and a reader of a
// few blocks should not wait for it.
const l2Slice = 64 << 10

// kind says where the bytes of an extent are.
type kind uint8

const (
	unallocated kind = iota // in the backing file, or zeros
	zero
	plain      // at extent.host of the data file
	compressed // extent.entry describes them; one cluster at most
)

// extent is a stretch of the disk with one answer.
type extent struct {
	kind  kind
	len   int64
	host  int64  // plain: offset in the data file
	owned bool   // plain, of an image open for writing: nothing else refers to it
	entry uint64 // compressed: the L2 entry
}

// readL1 reads the L1 table.
func readL1(ctx context.Context, src block.Device, h *header) ([]uint64, error) {
	n := h.l1Needed(h.size)
	b := make([]byte, n*entryLen)
	if err := block.ReadFull(ctx, src, b, h.l1Offset); err != nil {
		return nil, err
	}
	l1 := make([]uint64, n)
	for i := range l1 {
		l1[i] = be64(b, i*entryLen)
	}
	return l1, nil
}

// l2Table is the host offset of the L2 table that covers the guest offset off;
// 0 where there is none.
func (d *disk) l2Table(off int64) (int64, error) {
	i := off >> d.h.l2Bits()
	return d.l2Host(d.l1[i], d.h.l1Offset+i*entryLen)
}

// l2Host is the host offset of the L2 table of the L1 entry e, which stands at
// the host offset at; 0 where it has none.
func (d *disk) l2Host(e uint64, at int64) (int64, error) {
	host := int64(e & entryOffset)
	switch {
	case e&l1Reserved != 0:
		return 0, ondisk.Corrupt(l1Name, at, "entry %#x has reserved bits set", e)
	case host == 0:
		return 0, nil
	case host&(d.h.cluster()-1) != 0:
		return 0, ondisk.Corrupt(l1Name, at, "the L2 table at %d is not aligned to the clusters of %d bytes", host, d.h.cluster())
	case !ondisk.Fits(host, d.h.cluster(), d.src.Size()):
		return 0, ondisk.Corrupt(l1Name, at, "the L2 table at %d is outside the file of %d bytes", host, d.src.Size())
	}
	return host, nil
}

// slice is the piece of an L2 table at the host offset at.
func (d *disk) slice(ctx context.Context, at, n int64) ([]byte, error) {
	if b, ok := d.tables.Peek(at); ok {
		return b, nil
	}
	return d.tables.Get(ctx, at, func(ctx context.Context) ([]byte, int64, error) {
		b := make([]byte, n)
		err := block.ReadFull(ctx, d.src, b, at)
		return b, n, err
	})
}

// place is where the L2 entry of a guest offset stands: in the slice at a host
// offset, and at which byte of it.
type place struct{ slice, in int64 }

// sliceLen is the number of bytes of an L2 slice.
func (d *disk) sliceLen() int64 { return min(d.h.cluster(), l2Slice) }

// entryPlace is the place of the entry of off in the L2 table at table.
func (d *disk) entryPlace(table, off int64) place {
	covered := int64(1) << d.h.l2Bits()
	at := off & (covered - 1) >> d.h.clusterBits * d.h.l2EntryLen()
	return place{slice: table + at&^(d.sliceLen()-1), in: at & (d.sliceLen() - 1)}
}

// extentAt is the extent at off, at most n bytes long. It is 0 <= off < size
// and n > 0. It asks for one L2 slice at most, so that the next extent may
// continue this one.
func (d *disk) extentAt(ctx context.Context, off, n int64) (extent, error) {
	n = min(n, d.h.size-off)
	if d.w != nil {
		return d.w.extentAt(ctx, off, n)
	}
	table, err := d.l2Table(off)
	if err != nil {
		return extent{}, err
	}
	if table == 0 {
		return d.noTable(off, n), nil
	}
	at := d.entryPlace(table, off)
	b, err := d.slice(ctx, at.slice, d.sliceLen())
	if err != nil {
		return extent{}, err
	}
	return d.scan(b, at, off, n)
}

// noTable is the extent at off where no L2 table covers it.
func (d *disk) noTable(off, n int64) extent {
	covered := int64(1) << d.h.l2Bits()
	return extent{kind: unallocated, len: min(n, covered-off&(covered-1))}
}

// scan is the extent at off by the entries of the slice b from at on.
func (d *disk) scan(b []byte, at place, off, n int64) (extent, error) {
	per := d.h.l2EntryLen()
	var all extent
	for in := at.in; in < int64(len(b)) && all.len < n; in += per {
		pos := off + all.len
		var e extent
		var err error
		where := at.slice + in
		if d.h.extended() {
			e, err = d.decodeExtended(be64(b, int(in)), be64(b, int(in)+entryLen), where, pos)
		} else {
			e, err = d.decode(be64(b, int(in)), where, pos)
		}
		if err != nil && all.len > 0 {
			break // it is the next one's
		}
		if err != nil {
			return extent{}, err
		}
		if all.len == 0 {
			all = e
		} else if !all.join(e) {
			break
		}
		if (pos+e.len)&(d.h.cluster()-1) != 0 {
			break // a part of the cluster has another answer
		}
	}
	all.len = min(all.len, n)
	return all, nil
}

// join puts next behind e, if both have one answer.
func (e *extent) join(next extent) bool {
	if e.kind != next.kind || e.kind == compressed || e.kind == plain && (e.host+e.len != next.host || e.owned != next.owned) {
		return false
	}
	e.len += next.len
	return true
}

// decode is the extent from the guest offset pos to the end of its cluster, by
// the standard L2 entry e, which stands at the host offset at.
func (d *disk) decode(e uint64, at, pos int64) (extent, error) {
	in := pos & (d.h.cluster() - 1)
	ext := extent{len: d.h.cluster() - in}
	if e&l2Compressed != 0 {
		ext.kind, ext.entry = compressed, e
		return ext, d.checkCompressed(at)
	}
	if e&l2Reserved != 0 {
		return ext, ondisk.Corrupt(l2Name, at, "entry %#x has reserved bits set", e)
	}
	if e&l2Zero != 0 {
		if d.h.version < 3 {
			return ext, ondisk.Corrupt(l2Name, at, "entry %#x has the zero flag, which version 2 does not have", e)
		}
		ext.kind = zero
		return ext, nil
	}
	host, ok, err := d.hostCluster(e, at, pos)
	if ok {
		ext.kind, ext.host, ext.owned = plain, host+in, d.w != nil && e&l2Copied != 0
	}
	return ext, err
}

// decodeExtended is the extent from pos to where its cluster's subclusters
// change, by the extended L2 entry of e and the allocation bitmap.
func (d *disk) decodeExtended(e, bitmap uint64, at, pos int64) (extent, error) {
	in := pos & (d.h.cluster() - 1)
	if e&l2Compressed != 0 {
		return extent{kind: compressed, len: d.h.cluster() - in, entry: e}, d.checkCompressed(at)
	}
	if e&(l2Reserved|l2Zero) != 0 {
		return extent{}, ondisk.Corrupt(l2Name, at, "entry %#x has reserved bits set", e)
	}
	allocated, zeros := bitmap&allSubclusters, bitmap>>subclusterZeroBit
	if allocated&zeros != 0 {
		return extent{}, ondisk.Corrupt(l2Name, at, "bitmap %#x has subclusters that are both allocated and zero", bitmap)
	}
	host, ok, err := d.hostCluster(e, at, pos)
	if err != nil {
		return extent{}, err
	}
	if !ok && allocated != 0 {
		return extent{}, ondisk.Corrupt(l2Name, at, "bitmap %#x has allocated subclusters in a cluster without a place", bitmap)
	}
	size := d.h.cluster() / subclusters
	answer := func(i int64) kind {
		switch {
		case zeros>>i&1 != 0:
			return zero
		case allocated>>i&1 != 0:
			return plain
		}
		return unallocated
	}
	i := in / size
	ext := extent{kind: answer(i), len: size - in%size}
	for i++; i < subclusters && answer(i) == ext.kind; i++ {
		ext.len += size
	}
	if ext.kind == plain {
		ext.host, ext.owned = host+in, d.w != nil && e&l2Copied != 0
	}
	return ext, nil
}

// hostCluster is the offset in the data file of the cluster that holds pos, by
// the standard cluster descriptor in e; ok is false where it has none.
func (d *disk) hostCluster(e uint64, at, pos int64) (host int64, ok bool, err error) {
	host = int64(e & entryOffset)
	// Only in an external data file may a cluster lie at 0.
	if host == 0 && (!d.external || e&l2Copied == 0) {
		return 0, false, nil
	}
	switch first := pos &^ (d.h.cluster() - 1); {
	case host&(d.h.cluster()-1) != 0:
		return 0, false, ondisk.Corrupt(l2Name, at, "the cluster at %d is not aligned to the clusters of %d bytes", host, d.h.cluster())
	case d.external && host != first:
		return 0, false, ondisk.Corrupt(l2Name, at, "the cluster at %d of the external data file is not at its place in the disk, %d", host, first)
	case host >= d.data.Size():
		return 0, false, ondisk.Corrupt(l2Name, at, "the cluster at %d is outside the file of %d bytes", host, d.data.Size())
	}
	return host, true, nil
}

func (d *disk) checkCompressed(at int64) error {
	if d.external {
		return ondisk.Corrupt(l2Name, at, "a compressed cluster in an image with an external data file")
	}
	return nil
}
