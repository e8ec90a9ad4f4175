package ewf

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"sort"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/codec"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name.
const Name = "ewf"

const (
	chunkName = "EWF chunk"
	// maxSegments bounds the files, which are open at the same time.
	maxSegments = 4096
)

// Format is EWF, version 1: E01 and SMART's s01.
func Format() image.Format {
	return image.Format{Name: Name, Probe: probe, Open: open}
}

func probe(ctx context.Context, src block.Device) error {
	b, err := read(ctx, src, 0, magicLen)
	if err != nil {
		return err
	}
	switch string(b) {
	case magic, magicLogical, magic2, magic2Lx:
		return nil
	}
	return ondisk.NotThis(Name)
}

// disk is an opened image.
type disk struct {
	*extent.Disk
	x        *index
	segments []block.Device
	pages    []*extent.Pages
	zlib     *codec.Codec
	info     image.Info
}

func (d *disk) Info() image.Info { return d.info }

func open(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
	switch {
	case opt.Writable:
		return nil, &ondisk.UnsupportedError{What: what, Detail: "writing", Remedy: "open it read-only"}
	case opt.Snapshot != "":
		return nil, ondisk.Unsupported(what, "an internal snapshot (%q)", opt.Snapshot)
	}
	b, err := read(ctx, src, 0, magicLen)
	if err != nil {
		return nil, err
	}
	switch string(b) {
	case magic2, magic2Lx:
		return nil, ondisk.Unsupported(what, "version 2 (Ex01, Lx01)")
	case magicLogical:
		return nil, ondisk.Unsupported(what, "logical evidence (L01)")
	}
	d := &disk{x: &index{}, zlib: codec.Zlib()}
	if err := d.openSegments(ctx, src, opt); err != nil {
		return nil, err
	}
	v := d.x.vol
	if v == nil {
		return nil, ondisk.Corrupt(volumeName, 0, "there is none")
	}
	tables, blocks := extent.CacheLimits(opt.CacheBytes)
	d.pages = pagesOf(d.segments, tables)
	d.info = image.Info{Format: Name, VirtualSize: v.size, ClusterSize: v.chunk, Compression: "zlib", Version: "1"}
	if d.x.chunks < v.chunks {
		d.info.Damaged = fmt.Sprintf("it has %d of its %d chunks", d.x.chunks, v.chunks)
	}
	d.Disk = extent.New(extent.Config{Size: v.size, Map: d.mapAt, Unpack: d.unpack, BlockSize: v.chunk, CacheBytes: blocks, What: Name, Log: opt.Log})
	return []image.Image{d}, nil
}

// openSegments opens src and the files that follow it.
func (d *disk) openSegments(ctx context.Context, src block.Device, opt image.Options) error {
	dev, label := src, opt.Name
	for number := 1; ; number++ {
		err := checkHeader(ctx, dev, number)
		more := false
		if err == nil {
			d.segments = append(d.segments, dev)
			more, err = d.x.addSegment(ctx, dev, number-1)
		}
		if err != nil {
			return fmt.Errorf("segment %d (%q): %w", number, label, err)
		}
		if !more {
			return nil
		}
		if number == maxSegments {
			return ondisk.Unsupported(what, "more than %d segments", maxSegments)
		}
		next, ok := segmentName(opt.Name, number+1)
		if !ok {
			return &ondisk.UnsupportedError{What: what, Detail: fmt.Sprintf("finding segment %d of %q", number+1, opt.Name), Remedy: "open the first file, by its name that ends in .E01 or .s01"}
		}
		label = next
		opened, err := extent.Related(ctx, opt, "segment", "./"+next, "raw")
		if err != nil {
			return err
		}
		dev = extent.Named("segment", next, opened)
	}
}

// segmentName is the name of a segment, by that of the first: .E01 to .E99,
// then .EAA to .EZZ, .FAA to .ZZZ, in the case of the first.
func segmentName(first string, number int) (string, bool) {
	const letters = 26
	dot := len(first) - 4
	if dot < 1 || first[dot] != '.' || first[dot+2:] != "01" {
		return "", false
	}
	c := first[dot+1]
	base := byte('A')
	if c >= 'a' && c <= 'z' {
		base = 'a'
	} else if c < 'A' || c > 'Z' {
		return "", false
	}
	stem := first[:dot+1]
	if number < 100 {
		return fmt.Sprintf("%s%c%02d", stem, c, number), true
	}
	n := number - 100
	lead := int(c-base) + n/(letters*letters)
	if lead >= letters || strings.ContainsAny(stem, "/\x00") {
		return "", false
	}
	return stem + string([]byte{base + byte(lead), base + byte(n/letters%letters), base + byte(n%letters)}), true
}

// mapAt is the rest of the chunk that has off.
func (d *disk) mapAt(ctx context.Context, off, n int64) (extent.Extent, error) {
	v := d.x.vol
	number := off / v.chunk
	i := sort.Search(len(d.x.tables), func(i int) bool { return d.x.tables[i].first+d.x.tables[i].entries > number })
	if i == len(d.x.tables) {
		return extent.Extent{}, ondisk.Corrupt(tableName, 0, "chunk %d is not in any table: the image has %d of %d", number, d.x.chunks, v.chunks)
	}
	t := &d.x.tables[i]
	at := t.at + (number-t.first)*entryLen
	e, err := d.entry(ctx, t, at)
	if err != nil {
		return extent.Extent{}, err
	}
	start, end := t.base+int64(e&^entryCompressed), t.end
	if number+1 < t.first+t.entries {
		next, err := d.entry(ctx, t, at+entryLen)
		if err != nil {
			return extent.Extent{}, err
		}
		end = t.base + int64(next&^entryCompressed)
	}
	// A chunk that does not compress may be a little larger.
	if size := d.segments[t.segment].Size(); start >= end || end > size || end-start > 2*v.chunk+chunkSumLen {
		return extent.Extent{}, ondisk.Corrupt(tableName, at, "chunk %d lies from %d to %d, in a file of %d bytes", number, start, end, size)
	}
	in := off % v.chunk
	whole := min(v.chunk, v.size-number*v.chunk)
	tag := whole << 1
	if e&entryCompressed != 0 {
		tag |= 1
	}
	return extent.Extent{Kind: extent.Packed, Len: min(n, whole-in), Dev: d.segments[t.segment], File: t.segment, Off: start, Size: end - start, In: in, Tag: tag}, nil
}

// entry is a table's entry at at, which need not be aligned.
func (d *disk) entry(ctx context.Context, t *table, at int64) (uint32, error) {
	b, err := d.pages[t.segment].At(ctx, at)
	if err != nil {
		return 0, err
	}
	if len(b) >= entryLen {
		return le32(b, 0), nil
	}
	var e [entryLen]byte
	rest, err := d.pages[t.segment].At(ctx, at+int64(copy(e[:], b)))
	if err != nil {
		return 0, err
	}
	copy(e[len(b):], rest)
	return binary.LittleEndian.Uint32(e[:]), nil
}

// unpack gives a chunk whose checksum matches: a compressed one has that of
// zlib, another an Adler-32 behind it.
func (d *disk) unpack(e extent.Extent, raw []byte) ([]byte, error) {
	n := int(e.Tag >> 1)
	if e.Tag&1 == 0 {
		if len(raw) < n+chunkSumLen {
			return nil, ondisk.Corrupt(chunkName, e.Off, "it has %d bytes, not %d and a checksum", len(raw), n)
		}
		if stored, sum := le32(raw, n), adler32.Checksum(raw[:n]); stored != sum {
			return nil, ondisk.BadChecksum(chunkName, e.Off, stored, sum)
		}
		return append([]byte(nil), raw[:n]...), nil
	}
	// A byte more, so that the stream ends within it and is verified.
	b := make([]byte, n+1)
	got, err := d.zlib.Decode(b, raw)
	if err == nil && got < n {
		err = fmt.Errorf("it gives %d bytes, not %d", got, n)
	}
	if err != nil {
		return nil, ondisk.Corrupt(chunkName, e.Off, "%v", err)
	}
	return b[:n], nil
}
