package vhdx

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name, as QEMU has it.
const Name = "vhdx"

const batName = "VHDX BAT"

// Format is VHDX, version 1.
func Format() image.Format {
	return image.Format{Name: Name, Probe: probe, Open: open}
}

func probe(ctx context.Context, src block.Device) error {
	var b [len(fileSignature)]byte
	n, err := src.ReadAt(ctx, b[:], 0)
	if err != nil && err != io.EOF {
		return err
	}
	if string(b[:n]) != fileSignature {
		return ondisk.NotThis(Name)
	}
	return nil
}

// disk is an opened image.
type disk struct {
	*extent.Disk
	*metadata
	dev       block.Device // the file, with its log replayed
	pages     *extent.Pages
	bat       int64
	perChunk  int64 // payload blocks that a sector bitmap block describes
	parent    block.Device
	dataWrite string
	info      image.Info
}

func (d *disk) Info() image.Info { return d.info }

// Size is the disk's.
func (d *disk) Size() int64 { return d.Disk.Size() }

func open(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
	switch {
	case opt.Writable:
		return nil, &ondisk.UnsupportedError{What: what, Detail: "writing", Remedy: "open it read-only"}
	case opt.Snapshot != "":
		return nil, &ondisk.UnsupportedError{What: what, Detail: fmt.Sprintf("an internal snapshot (%q)", opt.Snapshot),
			Remedy: "a checkpoint is a file of its own (.avhdx): open that one"}
	}
	h, err := readHeader(ctx, src)
	if err != nil {
		return nil, err
	}
	dev, err := replay(ctx, src, h)
	if err != nil {
		return nil, err
	}
	bat, meta, err := readRegions(ctx, dev)
	if err != nil {
		return nil, err
	}
	m, err := readMetadata(ctx, dev, meta)
	if err != nil {
		return nil, err
	}
	tables, blocks := extent.CacheLimits(opt.CacheBytes)
	d := &disk{metadata: m, dev: dev, pages: extent.NewPages(dev, tables), bat: bat.off, dataWrite: h.dataWrite}
	d.perChunk = chunkSectors * m.sector / m.blockSize
	if need := d.entries() * batEntryLen; need > bat.len {
		return nil, ondisk.Corrupt(batName, bat.off, "it has %d bytes; the disk needs %d", bat.len, need)
	}
	d.info = image.Info{Format: Name, VirtualSize: m.size, ClusterSize: m.blockSize, Version: fmt.Sprint(version)}
	if h.logGUID != guidNone {
		d.info.Damaged = "it was not closed; its log is replayed in memory"
	}
	if m.hasParent {
		if err := d.openParent(ctx, opt); err != nil {
			return nil, err
		}
	}
	d.Disk = extent.New(extent.Config{Size: m.size, Map: d.mapAt, CacheBytes: blocks, What: Name, Log: opt.Log})
	return []image.Image{d}, nil
}

// entries is the number of BAT entries that the disk needs, section 2.5.
func (d *disk) entries() int64 {
	payload := (d.size + d.blockSize - 1) / d.blockSize
	if payload == 0 {
		return 0
	}
	if d.hasParent {
		return (payload + d.perChunk - 1) / d.perChunk * (d.perChunk + 1)
	}
	return payload + (payload-1)/d.perChunk
}

// openParent opens what has the blocks that a differencing disk does not.
func (d *disk) openParent(ctx context.Context, opt image.Options) error {
	name := ""
	for _, key := range []string{"relative_path", "absolute_win32_path", "volume_path"} {
		if name = d.locator[key]; name != "" {
			break
		}
	}
	if name == "" {
		return ondisk.Corrupt("VHDX parent locator", d.bat, "it names no file")
	}
	dev, err := extent.Related(ctx, opt, "parent", extent.HostName(name), Name)
	if err != nil {
		return err
	}
	if p, ok := dev.(*disk); ok && !sameGUID(d.locator["parent_linkage"], p.dataWrite) && !sameGUID(d.locator["parent_linkage2"], p.dataWrite) {
		return ondisk.Corrupt("VHDX parent locator", d.bat, "the parent %q has the DataWriteGuid %s, not %s: it was changed since", name, p.dataWrite, d.locator["parent_linkage"])
	}
	d.info.Backing, d.info.BackingFmt = name, Name
	d.parent = extent.Named("parent", name, dev)
	return nil
}

func sameGUID(text, id string) bool { return strings.EqualFold(strings.Trim(text, "{}"), id) }

func utf16le(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = le16(b, i*2)
	}
	return string(utf16.Decode(u))
}

// mapAt is the extent at off by the BAT, in which the entry of a sector bitmap
// block follows those of each chunk's payload blocks.
func (d *disk) mapAt(ctx context.Context, off, n int64) (extent.Extent, error) {
	number := off / d.blockSize
	inChunk := number % d.perChunk
	at := d.bat + (number+number/d.perChunk)*batEntryLen
	b, err := d.pages.At(ctx, at)
	if err != nil {
		return extent.Extent{}, err
	}
	entries := min(d.perChunk-inChunk, int64(len(b)/batEntryLen))
	return extent.Scan(n, int(entries), d.blockSize-off%d.blockSize, d.blockSize, func(i int) (extent.Extent, error) {
		pos := (number + int64(i)) * d.blockSize
		in := int64(0)
		if i == 0 {
			in = off - pos
		}
		return d.decode(ctx, le64(b, i*batEntryLen), at+int64(i)*batEntryLen, pos, in)
	})
}

// decode is the extent from in to the end of the block at pos, or to where its
// sectors change, by the BAT entry e, which stands at at.
func (d *disk) decode(ctx context.Context, e uint64, at, pos, in int64) (extent.Extent, error) {
	n := min(d.blockSize, d.size-pos) - in
	state := e & batState
	switch state {
	case notPresent:
		return extent.FromParent(d.parent, pos+in, n), nil
	case undefined, zero, unmapped, unmappedOld:
		return extent.Extent{Kind: extent.Hole, Len: n}, nil
	case present:
	case partial:
		if d.parent == nil {
			return extent.Extent{}, ondisk.Corrupt(batName, at, "a block that is partly in a parent, and there is no parent")
		}
	default:
		return extent.Extent{}, ondisk.Corrupt(batName, at, "entry %#x has the state %d", e, state)
	}
	host, err := d.place(e, at, d.blockSize)
	if err != nil {
		return extent.Extent{}, err
	}
	data := extent.Extent{Kind: extent.Plain, Len: n, Dev: d.dev, Off: host + in}
	if state == present {
		return data, nil
	}
	// The chunk's bitmap has a bit for each sector.
	chunk := pos / d.blockSize / d.perChunk
	bitmapAt := d.bat + (chunk*(d.perChunk+1)+d.perChunk)*batEntryLen
	b, err := d.pages.At(ctx, bitmapAt)
	if err != nil {
		return extent.Extent{}, err
	}
	be := le64(b, 0)
	if be&batState != bitmapPresent {
		return extent.Extent{}, ondisk.Corrupt(batName, bitmapAt, "a block is partly in the parent, and its sector bitmap is not there (%#x)", be)
	}
	bitmap, err := d.place(be, bitmapAt, mb)
	if err != nil {
		return extent.Extent{}, err
	}
	first := (pos + in) % (d.perChunk * d.blockSize) / d.sector
	if b, err = d.pages.At(ctx, bitmap+first/8); err != nil {
		return extent.Extent{}, ondisk.Corrupt(batName, bitmapAt, "the sector bitmap at %d: %v", bitmap, err)
	}
	before := (pos + in) % d.sector
	set, run := extent.BitRun(b, int(first%8), int((before+n+d.sector-1)/d.sector), false)
	n = min(n, int64(run)*d.sector-before)
	if !set {
		return extent.FromParent(d.parent, pos+in, n), nil
	}
	data.Len = n
	return data, nil
}

// place is where the entry e says that a block of n bytes lies. The file may
// end in the last one.
func (d *disk) place(e uint64, at, n int64) (int64, error) {
	host := e & batOffset
	if host < mb || host >= uint64(d.dev.Size()) {
		return 0, ondisk.Corrupt(batName, at, "the block of %d bytes at %d is outside the file of %d bytes", n, host, d.dev.Size())
	}
	return int64(host), nil
}
