package qed

import (
	"context"
	"io"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name, as QEMU has it.
const Name = "qed"

const (
	what       = "QED image"
	headerName = "QED header"
	l1Name     = "QED L1 table"
	l2Name     = "QED L2 table"
)

// Format is QED.
func Format() image.Format {
	return image.Format{Name: Name, Probe: probe, Open: open}
}

func readHeader(ctx context.Context, src block.Device) ([]byte, error) {
	b := make([]byte, headerLen)
	n, err := src.ReadAt(ctx, b, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return b[:n], nil
}

func probe(ctx context.Context, src block.Device) error {
	b, err := readHeader(ctx, src)
	if err != nil {
		return err
	}
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return ondisk.NotThis(Name)
	}
	return nil
}

// disk is an opened image.
type disk struct {
	*extent.Disk
	src     block.Device
	pages   *extent.Pages
	size    int64
	cluster int64
	table   int64 // bytes of a table
	l1      int64
	parent  block.Device
	info    image.Info
}

func (d *disk) Info() image.Info { return d.info }

// Size is the disk's.
func (d *disk) Size() int64 { return d.size }

func open(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
	switch {
	case opt.Writable:
		return nil, &ondisk.UnsupportedError{What: what, Detail: "writing", Remedy: "open it read-only"}
	case opt.Snapshot != "":
		return nil, ondisk.Unsupported(what, "an internal snapshot (%q)", opt.Snapshot)
	}
	b, err := readHeader(ctx, src)
	if err != nil {
		return nil, err
	}
	if len(b) < headerLen || string(b[:len(magic)]) != magic {
		return nil, ondisk.Corrupt(headerName, 0, "no magic, or the file ends after %d bytes", len(b))
	}
	tables, blocks := extent.CacheLimits(opt.CacheBytes)
	d := &disk{src: src, pages: extent.NewPages(src, tables)}
	if err := d.parse(b); err != nil {
		return nil, err
	}
	d.info = image.Info{Format: Name, VirtualSize: d.size, ClusterSize: d.cluster, Version: "1"}
	features := le64(b, offFeatures)
	if features&featureNeedCheck != 0 {
		d.info.Damaged = "it was not closed (needs a check)"
	}
	if features&featureBacking != 0 {
		if err := d.openBacking(ctx, opt, b); err != nil {
			return nil, err
		}
	}
	d.Disk = extent.New(extent.Config{Size: d.size, Map: d.mapAt, CacheBytes: blocks, What: Name, Log: opt.Log})
	return []image.Image{d}, nil
}

// parse checks the header.
func (d *disk) parse(b []byte) error {
	bad := func(off int64, format string, args ...any) error {
		return ondisk.Corrupt(headerName, off, format, args...)
	}
	if unknown := le64(b, offFeatures) &^ featuresKnown; unknown != 0 {
		return ondisk.Unsupported(what, "feature bits %#x", unknown)
	}
	cluster, table, size, l1 := le32(b, offClusterSize), le32(b, offTableSize), le64(b, offImageSize), le64(b, offL1)
	switch {
	case cluster < minCluster || cluster > maxCluster || cluster&(cluster-1) != 0:
		return bad(offClusterSize, "clusters of %d bytes", cluster)
	case table == 0 || table > maxTable || table&(table-1) != 0:
		return bad(offTableSize, "tables of %d clusters", table)
	}
	d.cluster, d.table = int64(cluster), int64(table)*int64(cluster)
	// Tables of 2^30 bytes cover more than an int64 can say.
	most := int64(1) << 62
	if n := d.table / entryLen; n*n < most/d.cluster {
		most = n * n * d.cluster
	}
	switch {
	case size%sector != 0 || size > uint64(most):
		return bad(offImageSize, "a disk of %d bytes; the tables have room for %d", size, most)
	case l1 > 1<<62 || l1%uint64(cluster) != 0 || !ondisk.Fits(int64(l1), d.table, d.src.Size()):
		return bad(offL1, "the L1 table of %d bytes at %d is not aligned, or outside the file of %d bytes", d.table, l1, d.src.Size())
	}
	d.size, d.l1 = int64(size), int64(l1)
	return nil
}

// openBacking opens the backing file, whose name is in the first clusters.
func (d *disk) openBacking(ctx context.Context, opt image.Options, b []byte) error {
	off, n := int64(le32(b, offBackingOffset)), int64(le32(b, offBackingSize))
	header, ok := ondisk.Mul(uint64(le32(b, offHeaderSize)), uint64(d.cluster))
	if !ok || n > maxBackingSize || !ondisk.Fits(off, n, min(header, d.src.Size())) {
		return ondisk.Corrupt(headerName, offBackingOffset, "the backing file's name of %d bytes at %d is outside the header, or too long", n, off)
	}
	name := make([]byte, n)
	if err := block.ReadFull(ctx, d.src, name, off); err != nil {
		return err
	}
	if le64(b, offFeatures)&featureBackingRaw != 0 {
		d.info.BackingFmt = "raw"
	}
	dev, err := extent.Related(ctx, opt, "backing file", string(name), d.info.BackingFmt)
	if err != nil {
		return err
	}
	d.info.Backing = string(name)
	d.parent = extent.Named("backing file", string(name), dev)
	return nil
}

// mapAt is the extent at off by the L1 table and an L2 table.
func (d *disk) mapAt(ctx context.Context, off, n int64) (extent.Extent, error) {
	number := off / d.cluster
	per := d.table / entryLen
	at := d.l1 + number/per*entryLen
	b, err := d.pages.At(ctx, at)
	if err != nil {
		return extent.Extent{}, err
	}
	left := min(n, (per-number%per)*d.cluster-off%d.cluster)
	table := le64(b, 0)
	switch {
	case table == 0:
		return extent.FromParent(d.parent, off, left), nil
	case table > 1<<62 || table%uint64(d.cluster) != 0 || !ondisk.Fits(int64(table), d.table, d.src.Size()):
		return extent.Extent{}, ondisk.Corrupt(l1Name, at, "the L2 table at %d is not aligned, or outside the file of %d bytes", table, d.src.Size())
	}
	at = int64(table) + number%per*entryLen
	if b, err = d.pages.At(ctx, at); err != nil {
		return extent.Extent{}, err
	}
	entries := min(per-number%per, int64(len(b)/entryLen))
	return extent.Scan(left, int(entries), d.cluster-off%d.cluster, d.cluster, func(i int) (extent.Extent, error) {
		pos := (number + int64(i)) * d.cluster
		in := int64(0)
		if i == 0 {
			in = off - pos
		}
		n := min(d.cluster, d.size-pos) - in
		e := le64(b, i*entryLen)
		switch {
		case e == 0:
			return extent.FromParent(d.parent, pos+in, n), nil
		case e == zeroCluster:
			return extent.Extent{Kind: extent.Hole, Len: n}, nil
		case e%uint64(d.cluster) != 0 || e >= uint64(d.src.Size()):
			return extent.Extent{}, ondisk.Corrupt(l2Name, at+int64(i)*entryLen, "the cluster at %d is not aligned, or outside the file of %d bytes", e, d.src.Size())
		}
		return extent.Extent{Kind: extent.Plain, Len: n, Dev: d.src, Off: int64(e) + in}, nil
	})
}
