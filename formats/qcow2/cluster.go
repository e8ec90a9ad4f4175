package qcow2

import (
	"encoding/binary"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// cluster is an L2 entry taken apart, for changing it. An entry without
// subclusters is one whose single subcluster is the whole cluster.
type cluster struct {
	packed uint64 // the entry of a compressed cluster; else 0
	placed bool   // it has a host cluster
	owned  bool   // to which nothing else refers
	host   int64  // of the host cluster, in the data file
	plain  uint64 // subclusters whose bytes are in the host cluster
	zero   uint64 // subclusters that are zeros
}

// unit is the number of bytes of a subcluster, or of a cluster without them:
// what is allocated, and made zero, as a whole.
func (h *header) unit() int64 {
	if h.extended() {
		return h.cluster() / subclusters
	}
	return h.cluster()
}

// units is the mask of all units of a cluster.
func (h *header) units() uint64 {
	if h.extended() {
		return allSubclusters
	}
	return 1
}

// touched is the mask of the units that hold any of the bytes [from, to) of a
// cluster.
func (h *header) touched(from, to int64) uint64 {
	return mask(from/h.unit(), (to+h.unit()-1)/h.unit())
}

// mask has the bits from first up to end.
func mask(first, end int64) uint64 {
	if end <= first {
		return 0
	}
	return (1<<end - 1) &^ (1<<first - 1)
}

// clusterOf takes the entry at b[in:] of an L2 slice apart, which is that of
// the guest offset pos, and checks it as a reader does.
func (d *disk) clusterOf(b []byte, at place, pos int64) (cluster, error) {
	pos &^= d.h.cluster() - 1
	e, where := be64(b, int(at.in)), at.slice+at.in
	var c cluster
	var err error
	var bitmap uint64
	if d.h.extended() {
		bitmap = be64(b, int(at.in)+entryLen)
		_, err = d.decodeExtended(e, bitmap, where, pos)
	} else {
		_, err = d.decode(e, where, pos)
	}
	if err != nil {
		return c, err
	}
	if e&l2Compressed != 0 {
		if e&l2Copied != 0 {
			return c, ondisk.Corrupt(l2Name, where, "entry %#x is compressed and marked as used once", e)
		}
		c.packed = e
		_, _, err = d.place(e)
		return c, err
	}
	if c.host, c.placed, err = d.hostCluster(e&^l2Zero, where, pos); err != nil {
		return c, err
	}
	c.owned = c.placed && e&l2Copied != 0
	switch {
	case d.h.extended():
		c.plain, c.zero = bitmap&allSubclusters, bitmap>>subclusterZeroBit
	case e&l2Zero != 0:
		c.zero = 1
	case c.placed:
		c.plain = 1
	}
	return c, nil
}

// put writes the entry of c to b[in:].
func (h *header) put(b []byte, in int64, c cluster) {
	e := c.packed
	if e == 0 {
		e = uint64(c.host)
		if c.owned {
			e |= l2Copied
		}
		if !h.extended() {
			e |= c.zero * l2Zero
		}
	}
	binary.BigEndian.PutUint64(b[in:], e)
	if h.extended() {
		bitmap := uint64(0)
		if c.packed == 0 {
			bitmap = c.plain | c.zero<<subclusterZeroBit
		}
		binary.BigEndian.PutUint64(b[in+entryLen:], bitmap)
	}
}

// hostClusters lists the host clusters to which c refers; a compressed cluster
// may lie in more than one.
func (d *disk) hostClusters(c cluster) []int64 {
	if c.packed == 0 {
		if !c.placed || d.external {
			return nil
		}
		return []int64{c.host >> d.h.clusterBits}
	}
	first, last := d.packedClusters(c.packed)
	all := make([]int64, 0, 2)
	for i := first; i <= last; i++ {
		all = append(all, i)
	}
	return all
}

// packedClusters are the first and the last host cluster of a compressed
// cluster, by all the sectors that its entry names.
func (d *disk) packedClusters(e uint64) (first, last int64) {
	x := 62 - (d.h.clusterBits - 8)
	off := int64(e & (1<<x - 1) &^ (compressedSector - 1))
	sectors := int64(e & (l2Compressed - 1) >> x)
	end := off + (sectors+1)*compressedSector
	return off >> d.h.clusterBits, (end - 1) >> d.h.clusterBits
}
