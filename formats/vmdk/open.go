package vmdk

import (
	"context"
	"fmt"
	"io"
	"math"
	"sort"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/codec"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name, as QEMU has it.
const Name = "vmdk"

// probeLen is how much of a file is looked at for a descriptor.
const probeLen = 4096

// Format is VMDK: a descriptor, or a sparse extent with one inside.
func Format() image.Format {
	return image.Format{Name: Name, Probe: probe, Open: open}
}

// head is the first bytes of src.
func head(ctx context.Context, src block.Device, n int64) ([]byte, error) {
	b := make([]byte, min(n, src.Size()))
	got, err := src.ReadAt(ctx, b, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return b[:got], nil
}

func hasMagic(b []byte, magic string) bool {
	return len(b) >= len(magic) && string(b[:len(magic)]) == magic
}

func isSESparse(b []byte) bool { return len(b) >= sector && le64(b, seMagic) == magicSE }

// probe knows the extents too that are no disk by themselves, so that open can
// say what to open instead.
func probe(ctx context.Context, src block.Device) error {
	b, err := head(ctx, src, probeLen)
	if err != nil {
		return err
	}
	if hasMagic(b, magicSparse) || hasMagic(b, magicCOWD) || isSESparse(b) || isDescriptor(b) {
		return nil
	}
	return ondisk.NotThis(Name)
}

// part is one extent of the disk.
type part struct {
	start, end int64 // bytes, in the disk
	file       int
	dev        block.Device // flat: what has the bytes, from off on
	off        int64
	sparse     *sparse
	se         *seSparse
}

// disk is an opened image.
type disk struct {
	*extent.Disk
	desc   *descriptor
	parts  []part
	parent block.Device
	info   image.Info
	codec  *codec.Codec
}

func (d *disk) Info() image.Info { return d.info }

func open(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
	switch {
	case opt.Writable:
		return nil, &ondisk.UnsupportedError{What: what, Detail: "writing", Remedy: "open it read-only"}
	case opt.Snapshot != "":
		return nil, &ondisk.UnsupportedError{What: what, Detail: fmt.Sprintf("an internal snapshot (%q)", opt.Snapshot),
			Remedy: "a snapshot is a file of its own: open that one"}
	}
	tables, blocks := extent.CacheLimits(opt.CacheBytes)
	d := &disk{codec: codec.Zlib(), info: image.Info{Format: Name}}
	b, err := head(ctx, src, probeLen)
	if err != nil {
		return nil, err
	}
	switch {
	case hasMagic(b, magicSparse):
		err = d.openEmbedded(ctx, src, opt, tables)
	case hasMagic(b, magicCOWD), isSESparse(b):
		err = errBareExtent()
	default:
		err = d.openText(ctx, src, 0, min(src.Size(), maxDescriptor+1), opt, tables)
	}
	if err != nil {
		return nil, err
	}
	if err := d.openParent(ctx, opt); err != nil {
		return nil, err
	}
	d.describe()
	d.Disk = extent.New(extent.Config{
		Size: d.info.VirtualSize, Map: d.mapAt, Unpack: d.unpack, BlockSize: d.packedGrain(),
		CacheBytes: blocks, What: Name, Log: opt.Log,
	})
	return []image.Image{d}, nil
}

func errBareExtent() error {
	return &ondisk.UnsupportedError{What: what, Detail: "an extent without a descriptor", Remedy: "open the descriptor, the .vmdk file that names this one"}
}

// openEmbedded opens a sparse extent that has its descriptor inside. Its own
// data is the disk, whatever name the descriptor has for it: the file may
// have been renamed.
func (d *disk) openEmbedded(ctx context.Context, src block.Device, opt image.Options, tables int64) error {
	s, err := readSparse(ctx, src, tables)
	if err != nil {
		return err
	}
	if s.descOffset == 0 {
		return errBareExtent()
	}
	if s.size == 0 {
		return d.openText(ctx, src, s.descOffset, s.descSize, opt, tables)
	}
	if d.desc, err = readDescriptor(ctx, src, s.descOffset, s.descSize); err != nil {
		return err
	}
	if n := len(d.desc.extents); n > 1 {
		return ondisk.Unsupported(what, "a descriptor of %d extents inside one of them", n)
	}
	return d.add(part{sparse: s}, s.size)
}

func readDescriptor(ctx context.Context, src block.Device, off, n int64) (*descriptor, error) {
	text := make([]byte, min(n, maxDescriptor+1))
	if err := block.ReadFull(ctx, src, text, off); err != nil {
		return nil, err
	}
	desc, err := parseDescriptor(text, off)
	switch {
	case err != nil:
		return nil, err
	case desc.version == "":
		return nil, ondisk.Corrupt(descriptorName, off, "it has no version: this is no VMDK image")
	case desc.version != "1" && desc.version != "2" && desc.version != "3":
		return nil, ondisk.Unsupported(what, "version %q of the descriptor", desc.version)
	case !desc.hasCID:
		return nil, ondisk.Corrupt(descriptorName, off, "no CID")
	}
	return desc, nil
}

// openText opens the extents that a descriptor names.
func (d *disk) openText(ctx context.Context, src block.Device, off, n int64, opt image.Options, tables int64) (err error) {
	if d.desc, err = readDescriptor(ctx, src, off, n); err != nil {
		return err
	}
	if len(d.desc.extents) == 0 {
		return ondisk.Corrupt(descriptorName, off, "no extents")
	}
	each := max(tables/int64(len(d.desc.extents)), 1)
	for _, line := range d.desc.extents {
		if err := d.openExtent(ctx, line, opt, each); err != nil {
			return err
		}
	}
	return nil
}

// openExtent opens one extent and puts it behind the others.
func (d *disk) openExtent(ctx context.Context, line extentLine, opt image.Options, tables int64) error {
	size := line.sectors * sector
	if line.access == "NOACCESS" {
		return ondisk.Unsupported(what, "an extent without access (NOACCESS)")
	}
	switch line.kind {
	case "ZERO":
		return d.add(part{}, size)
	case "FLAT", "VMFS", "SPARSE", "VMFSSPARSE", "SESPARSE":
	default:
		return ondisk.Unsupported(what, "an extent of type %q", line.kind)
	}
	if line.name == "" {
		return ondisk.Corrupt(descriptorName, line.at, "an extent without a name")
	}
	if strings.HasPrefix(line.name, `\\.\`) || strings.HasPrefix(line.name, "/dev/") {
		return ondisk.Unsupported(what, "a host's device (%q) as an extent", line.name)
	}
	dev, err := extent.Related(ctx, opt, "extent", extent.HostName(line.name), "raw")
	if err != nil {
		return err
	}
	switch line.kind {
	case "FLAT", "VMFS":
		if !ondisk.Fits(line.offset*sector, size, (dev.Size()+sector-1)/sector*sector) {
			return ondisk.Corrupt(descriptorName, line.at, "the extent %q has %d bytes; %d at %d are wanted", line.name, dev.Size(), size, line.offset*sector)
		}
		return d.add(part{dev: extent.Named("extent", line.name, dev), off: line.offset * sector}, size)
	}
	b, err := head(ctx, dev, sector)
	if err == nil {
		err = d.openSparse(ctx, dev, b, tables)
	}
	if err != nil {
		return fmt.Errorf("extent %q: %w", line.name, err)
	}
	return nil
}

func (d *disk) openSparse(ctx context.Context, dev block.Device, b []byte, tables int64) error {
	switch {
	case isSESparse(b):
		se, err := readSESparse(ctx, dev, tables)
		if err != nil {
			return err
		}
		return d.add(part{se: se}, se.size)
	case hasMagic(b, magicCOWD):
		s, err := readCOWD(ctx, dev, tables)
		if err != nil {
			return err
		}
		return d.add(part{sparse: s}, s.size)
	}
	s, err := readSparse(ctx, dev, tables)
	if err != nil {
		return err
	}
	return d.add(part{sparse: s}, s.size)
}

// add puts p behind the other parts.
func (d *disk) add(p part, size int64) error {
	if len(d.parts) > 0 {
		p.start = d.parts[len(d.parts)-1].end
	}
	if size > math.MaxInt64-maxGrainSectors*sector-p.start {
		return ondisk.Corrupt(descriptorName, 0, "the extents together are larger than %d bytes", int64(math.MaxInt64))
	}
	p.end, p.file = p.start+size, len(d.parts)
	if p.sparse != nil {
		p.sparse.file = p.file
	}
	if p.se != nil {
		p.se.file = p.file
	}
	if size > 0 {
		d.parts = append(d.parts, p)
	}
	return nil
}

// openParent opens what has the grains that a delta does not.
func (d *disk) openParent(ctx context.Context, opt image.Options) error {
	if d.desc.parentCID == noParent {
		return nil
	}
	if d.desc.parent == "" {
		return ondisk.Corrupt(descriptorName, 0, "the parent with the content ID %08x has no name", d.desc.parentCID)
	}
	dev, err := extent.Related(ctx, opt, "parent", extent.HostName(d.desc.parent), Name)
	if err != nil {
		return err
	}
	if p, ok := dev.(*disk); ok && p.desc.cid != d.desc.parentCID {
		return ondisk.Corrupt(descriptorName, 0, "the parent %q has the content ID %08x, not %08x: it was changed since", d.desc.parent, p.desc.cid, d.desc.parentCID)
	}
	d.parent = extent.Named("parent", d.desc.parent, dev)
	return nil
}

// describe fills Info.
func (d *disk) describe() {
	if len(d.parts) > 0 {
		d.info.VirtualSize = d.parts[len(d.parts)-1].end
	}
	d.info.Version = d.desc.version
	if d.parent != nil {
		d.info.Backing, d.info.BackingFmt = d.desc.parent, Name
	}
	for _, p := range d.parts {
		if p.se != nil {
			d.info.ClusterSize = max(d.info.ClusterSize, seGrainSectors*sector)
		}
		if p.sparse == nil {
			continue
		}
		d.info.ClusterSize = max(d.info.ClusterSize, p.sparse.grain)
		if p.sparse.packed {
			d.info.Compression = "zlib"
		}
		if p.sparse.unclean {
			d.info.Damaged = "it was not closed (unclean shutdown)"
		}
	}
}

// packedGrain is the largest decoded grain; 0 where nothing is compressed.
func (d *disk) packedGrain() (n int64) {
	for _, p := range d.parts {
		if p.sparse != nil && p.sparse.packed {
			n = max(n, p.sparse.grain)
		}
	}
	return n
}

// mapAt finds the part that has off and asks it.
func (d *disk) mapAt(ctx context.Context, off, n int64) (extent.Extent, error) {
	p := &d.parts[sort.Search(len(d.parts), func(i int) bool { return d.parts[i].end > off })]
	n = min(n, p.end-off)
	missing := func(in, n int64) extent.Extent { return extent.FromParent(d.parent, p.start+in, n) }
	switch {
	case p.sparse != nil:
		return p.sparse.mapAt(ctx, off-p.start, n, missing)
	case p.se != nil:
		return p.se.mapAt(ctx, off-p.start, n, missing)
	case p.dev != nil:
		return extent.Extent{Kind: extent.Plain, Len: n, Dev: p.dev, File: p.file, Off: p.off + off - p.start}, nil
	}
	return extent.Extent{Kind: extent.Hole, Len: n}, nil
}

func (d *disk) unpack(e extent.Extent, raw []byte) ([]byte, error) {
	return d.parts[e.File].sparse.unpack(d.codec, e, raw)
}
