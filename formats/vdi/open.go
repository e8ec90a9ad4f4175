package vdi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name, as QEMU has it.
const Name = "vdi"

const (
	what       = "VDI image"
	headerName = "VDI header"
	mapName    = "VDI block map"
)

// Format is VDI, version 1.1.
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
	if len(b) < offVersion || le32(b, offSignature) != signature {
		return ondisk.NotThis(Name)
	}
	return nil
}

// disk is an opened image.
type disk struct {
	*extent.Disk
	src            block.Device
	pages          *extent.Pages
	blockMap, data int64
	block, size    int64
	uuid, modified string
	parent         block.Device
	info           image.Info
}

func (d *disk) Info() image.Info { return d.info }

// Size is the disk's.
func (d *disk) Size() int64 { return d.size }

func open(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
	switch {
	case opt.Writable:
		return nil, &ondisk.UnsupportedError{What: what, Detail: "writing", Remedy: "open it read-only"}
	case opt.Snapshot != "":
		return nil, &ondisk.UnsupportedError{What: what, Detail: fmt.Sprintf("an internal snapshot (%q)", opt.Snapshot),
			Remedy: "a snapshot is a file of its own: open that one"}
	}
	b, err := readHeader(ctx, src)
	if err != nil {
		return nil, err
	}
	if len(b) < headerLen || le32(b, offSignature) != signature {
		return nil, ondisk.Corrupt(headerName, 0, "no signature, or the file ends after %d bytes", len(b))
	}
	tables, blocks := extent.CacheLimits(opt.CacheBytes)
	d := &disk{src: src, pages: extent.NewPages(src, tables), uuid: uuid(b, offUUID), modified: uuid(b, offModified)}
	if err := d.parse(b); err != nil {
		return nil, err
	}
	d.info = image.Info{Format: Name, VirtualSize: d.size, ClusterSize: d.block, Version: "1.1"}
	if le32(b, offType) == typeDiff {
		if err := d.openParent(ctx, opt, uuid(b, offParent), uuid(b, offParentState)); err != nil {
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
	if v := le32(b, offVersion); v != version11 {
		return ondisk.Unsupported(what, "version %d.%d", v>>16, v&0xffff)
	}
	switch kind := le32(b, offType); kind {
	case typeDynamic, typeFixed, typeDiff:
	default:
		return ondisk.Unsupported(what, "the image type %d", kind)
	}
	if extra := le32(b, offBlockExtra); extra != 0 {
		return ondisk.Unsupported(what, "blocks with %d bytes of extra data", extra)
	}
	d.block = int64(le32(b, offBlockSize))
	if d.block < minBlock || d.block > maxBlock || d.block&(d.block-1) != 0 {
		return bad(offBlockSize, "blocks of %d bytes", d.block)
	}
	// A disk may end inside a sector; QEMU fills that up, and so do we.
	count, size := int64(le32(b, offBlocks)), le64(b, offDiskSize)
	if size > uint64(count*d.block) {
		return bad(offDiskSize, "a disk of %d bytes, and %d blocks of %d", size, count, d.block)
	}
	d.size = (int64(size) + sector - 1) / sector * sector
	d.blockMap, d.data = int64(le32(b, offBlockMap)), int64(le32(b, offData))
	if need := (d.size + d.block - 1) / d.block; d.blockMap%entryLen != 0 || !ondisk.Fits(d.blockMap, need*entryLen, d.src.Size()) {
		return bad(offBlockMap, "the block map of %d entries at %d is not aligned, or outside the file of %d bytes", need, d.blockMap, d.src.Size())
	}
	return nil
}

// openParent opens what has the blocks that a differencing image does not. An
// image knows its parent by its UUID alone; the file names are in VirtualBox's
// own settings. A snapshot's file is named by its UUID; so must the base be.
func (d *disk) openParent(ctx context.Context, opt image.Options, id, state string) error {
	if id == noUUID {
		return ondisk.Corrupt(headerName, offParent, "a differencing image without a parent's UUID")
	}
	name := "{" + id + "}.vdi"
	dev, err := extent.Related(ctx, opt, "parent", name, Name)
	if errors.Is(err, fs.ErrNotExist) {
		return &ondisk.UnsupportedError{What: what, Detail: "finding the parent with the UUID " + id,
			Remedy: fmt.Sprintf("VDI has no file name of it: put it, or a hard link to it, beside this image as %q", name)}
	}
	if err != nil {
		return err
	}
	if p, ok := dev.(*disk); ok {
		if p.uuid != id {
			return ondisk.Corrupt(headerName, offParent, "the parent %q has the UUID %s", name, p.uuid)
		}
		if state != noUUID && p.modified != state {
			return ondisk.Corrupt(headerName, offParentState, "the parent %q has the modification UUID %s, not %s: it was changed since", name, p.modified, state)
		}
	}
	d.info.Backing, d.info.BackingFmt = name, Name
	d.parent = extent.Named("parent", name, dev)
	return nil
}

// mapAt is the extent at off by the block map.
func (d *disk) mapAt(ctx context.Context, off, n int64) (extent.Extent, error) {
	number := off / d.block
	at := d.blockMap + number*entryLen
	b, err := d.pages.At(ctx, at)
	if err != nil {
		return extent.Extent{}, err
	}
	return extent.Scan(n, len(b)/entryLen, d.block-off%d.block, d.block, func(i int) (extent.Extent, error) {
		pos := (number + int64(i)) * d.block
		in := int64(0)
		if i == 0 {
			in = off - pos
		}
		left := min(d.block, d.size-pos) - in
		e := le32(b, i*entryLen)
		switch e {
		case free:
			return extent.FromParent(d.parent, pos+in, left), nil
		case zeroBlock:
			return extent.Extent{Kind: extent.Hole, Len: left}, nil
		}
		host := d.data + int64(e)*d.block
		if host >= d.src.Size() {
			return extent.Extent{}, ondisk.Corrupt(mapName, at+int64(i)*entryLen, "block %d is outside the file of %d bytes", e, d.src.Size())
		}
		return extent.Extent{Kind: extent.Plain, Len: left, Dev: d.src, Off: host + in}, nil
	})
}
