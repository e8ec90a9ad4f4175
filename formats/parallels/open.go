package parallels

import (
	"context"
	"io"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name, as QEMU has it.
const Name = "parallels"

const (
	what       = "Parallels image"
	headerName = "Parallels header"
	batName    = "Parallels BAT"
)

// Format is the expandable image of Parallels.
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

func hasMagic(b []byte) bool {
	return len(b) >= offVersion && (string(b[:offVersion]) == magicOld || string(b[:offVersion]) == magicExt)
}

func probe(ctx context.Context, src block.Device) error {
	b, err := readHeader(ctx, src)
	if err != nil {
		return err
	}
	if !hasMagic(b) {
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
	unit    int64 // of a BAT entry, in bytes
	data    int64 // where the data area begins
	empty   bool
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
	if len(b) < headerLen || !hasMagic(b) {
		return nil, ondisk.Corrupt(headerName, 0, "no magic, or the file ends after %d bytes", len(b))
	}
	tables, blocks := extent.CacheLimits(opt.CacheBytes)
	d := &disk{src: src, pages: extent.NewPages(src, tables)}
	if err := d.parse(b); err != nil {
		return nil, err
	}
	d.info = image.Info{Format: Name, VirtualSize: d.size, ClusterSize: d.cluster, Version: "2"}
	if le32(b, offInUse) == inUse {
		d.info.Damaged = "it was not closed (in use)"
	}
	d.Disk = extent.New(extent.Config{Size: d.size, Map: d.mapAt, CacheBytes: blocks, What: Name, Log: opt.Log})
	return []image.Image{d}, nil
}

// parse checks the header.
func (d *disk) parse(b []byte) error {
	bad := func(off int64, format string, args ...any) error {
		return ondisk.Corrupt(headerName, off, format, args...)
	}
	if v := le32(b, offVersion); v != version {
		return ondisk.Unsupported(what, "version %d", v)
	}
	tracks, entries := le32(b, offTracks), int64(le32(b, offEntries))
	if tracks == 0 || tracks > maxTracks {
		return bad(offTracks, "clusters of %d sectors", tracks)
	}
	d.cluster, d.unit = int64(tracks)*sector, sector
	sectors := le64(b, offSectors)
	if string(b[:offVersion]) == magicExt {
		d.unit = d.cluster
	} else {
		sectors &= 1<<32 - 1
	}
	if sectors > maxSectors || int64(sectors)*sector > entries*d.cluster {
		return bad(offSectors, "a disk of %d sectors, and %d clusters of %d", sectors, entries, tracks)
	}
	d.size = int64(sectors) * sector
	need := (d.size + d.cluster - 1) / d.cluster * entryLen
	if !ondisk.Fits(headerLen, need, d.src.Size()) {
		return bad(offEntries, "the BAT of %d bytes is outside the file of %d", need, d.src.Size())
	}
	// Where it is not said, the data begins behind the BAT.
	if d.data = int64(le32(b, offDataOff)) * sector; d.data == 0 {
		d.data = (headerLen + entries*entryLen + sector - 1) / sector * sector
	}
	if d.data < headerLen+need {
		return bad(offDataOff, "the data at %d lies in the BAT of %d bytes", d.data, need)
	}
	d.empty = le32(b, offFlags)&flagEmpty != 0
	return nil
}

// mapAt is the extent at off by the BAT.
func (d *disk) mapAt(ctx context.Context, off, n int64) (extent.Extent, error) {
	if d.empty {
		return extent.Extent{Kind: extent.Hole, Len: n}, nil
	}
	number := off / d.cluster
	at := headerLen + number*entryLen
	b, err := d.pages.At(ctx, at)
	if err != nil {
		return extent.Extent{}, err
	}
	return extent.Scan(n, len(b)/entryLen, d.cluster-off%d.cluster, d.cluster, func(i int) (extent.Extent, error) {
		pos := (number + int64(i)) * d.cluster
		in := int64(0)
		if i == 0 {
			in = off - pos
		}
		left := min(d.cluster, d.size-pos) - in
		e := int64(le32(b, i*entryLen))
		if e == 0 {
			return extent.Extent{Kind: extent.Hole, Len: left}, nil
		}
		host := e * d.unit
		if host < d.data || host >= d.src.Size() {
			return extent.Extent{}, ondisk.Corrupt(batName, at+int64(i)*entryLen, "the cluster at %d is outside the data, from %d to %d", host, d.data, d.src.Size())
		}
		return extent.Extent{Kind: extent.Plain, Len: left, Dev: d.src, Off: host + in}, nil
	})
}
