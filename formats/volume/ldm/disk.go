package ldm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// A disk is a dynamic disk.
type disk struct {
	device scheme.Device
	sector int64
	priv   header
	plain  []scheme.Volume // partitions of its GPT that are not LDM's
	db     *database
}

// A header is what the private header says, in bytes.
type header struct {
	disk, group, name  string
	data, dataSize     int64
	config, configSize int64
}

// readDisk reads a disk: nil where it is not dynamic.
func readDisk(ctx context.Context, d scheme.Device, warn func(error)) (*disk, error) {
	b, err := read(ctx, d.Dev, 0, privSize)
	if err != nil || len(b) < privSize || b[510] != 0x55 || b[511] != 0xaa {
		return nil, err
	}
	dynamic, gpt := false, false
	for i := range 4 {
		switch b[mbrEntries+mbrEntry*i+mbrType] {
		case mbrKind:
			dynamic = true
		case gptKind:
			gpt = true
		}
	}
	if !dynamic && !gpt {
		return nil, nil
	}
	for _, sector := range d.SectorSizes() {
		x := &disk{device: d, sector: sector}
		var places []int64
		if gpt {
			if places, err = x.readGPT(ctx); err != nil {
				return nil, err
			}
		} else {
			end := d.Dev.Size()/sector - privCopies
			places = []int64{privSector, end + privCopy1, end + privCopy2}
		}
		for i, at := range places {
			b, err := read(ctx, d.Dev, at*sector, privSize)
			if err != nil {
				return nil, err
			}
			if len(b) < privSize || string(b[:len(privMagic)]) != privMagic {
				continue
			}
			if i > 0 {
				warn(ondisk.Corrupt("LDM private header", places[0]*sector, "no signature; a copy is used"))
			}
			if err := x.parseHeader(b, at*sector); err != nil {
				return nil, err
			}
			if x.db, err = x.readDatabase(ctx, warn); err != nil {
				return nil, err
			}
			return x, nil
		}
	}
	if gpt {
		return nil, nil
	}
	return nil, ondisk.Corrupt("LDM private header", privSector*512, "no signature, nor in its copies")
}

// read reads up to n bytes at off, fewer where the device ends and none outside
// of it.
func read(ctx context.Context, dev block.Device, off, n int64) ([]byte, error) {
	if off < 0 || off >= dev.Size() {
		return nil, nil
	}
	b := make([]byte, min(n, dev.Size()-off))
	got, err := dev.ReadAt(ctx, b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:got], nil
}

// readGPT finds where the private header is, and the partitions that are not
// LDM's. Nothing where the table is none or has no LDM metadata; what is damaged
// in it is the business of package gpt, where it is not dynamic.
func (x *disk) readGPT(ctx context.Context) (places []int64, err error) {
	dev := x.device.Dev
	h, err := read(ctx, dev, x.sector, 512)
	if err != nil || len(h) < 512 || string(h[:len(gptMagic)]) != gptMagic {
		return nil, err
	}
	table, count, size := le64(h, gptTable), int64(le32(h, gptCount)), int64(le32(h, gptEntrySize))
	if size < gptNameEnd || size > 4096 || count*size > maxGPT || table > uint64(dev.Size()/x.sector) {
		return nil, nil
	}
	b, err := read(ctx, dev, int64(table)*x.sector, count*size)
	if err != nil {
		return nil, err
	}
	for i := int64(0); (i+1)*size <= int64(len(b)); i++ {
		e := b[i*size : (i+1)*size]
		kind, first, last := mixedGUID(e), le64(e, gptFirst), le64(e, gptLast)
		sectors := uint64(dev.Size() / x.sector)
		if kind == mixedGUID(make([]byte, 16)) || first > last || last >= sectors {
			continue
		}
		switch kind {
		case gptMeta:
			places = append(places, int64(last))
		case gptData:
		default:
			v := scheme.Volume{Name: scheme.Number(x.device.Name, int(i)+1), Type: "gpt", Kind: strings.ToUpper(kind), UUID: mixedGUID(e[gptID:]), Label: text16(e[gptName:gptNameEnd]),
				Disk: x.device.Root(), On: []string{x.device.Name}}
			v.Place(x.device, int64(first)*x.sector, int64(last-first+1)*x.sector, func(error) {})
			x.plain = append(x.plain, v)
		}
	}
	return places, nil
}

// text16 is a name of UTF-16 up to its NUL.
func text16(b []byte) string {
	var u []uint16
	for ; len(b) >= 2 && (b[0] != 0 || b[1] != 0); b = b[2:] {
		u = append(u, uint16(b[0])|uint16(b[1])<<8)
	}
	return string(utf16.Decode(u))
}

// text is a string that zeros may follow.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// parseHeader reads the private header.
func (x *disk) parseHeader(b []byte, off int64) error {
	const what = "LDM private header"
	if major, minor := be16(b, privMajor), be16(b, privMinor); major != 2 {
		return ondisk.Unsupported("dynamic disk", "version %d.%d", major, minor)
	}
	p := &x.priv
	p.disk, p.group, p.name = text(b[privDisk:privDisk+textGUID]), text(b[privGroup:privGroup+textGUID]), text(b[privGroupName:privGroupName+textName])
	if len(p.disk) != 36 || len(p.group) != 36 {
		return ondisk.Corrupt(what, off, "the disk %q of the group %q", p.disk, p.group)
	}
	p.disk, p.group = strings.ToLower(p.disk), strings.ToLower(p.group)
	sectors := x.device.Dev.Size() / x.sector
	for _, f := range []struct {
		name string
		at   int
		to   *int64
	}{{"data", privData, &p.data}, {"data", privDataSize, &p.dataSize}, {"database", privConfig, &p.config}, {"database", privConfigSize, &p.configSize}} {
		v := be64(b, f.at)
		if v > uint64(sectors) {
			return ondisk.Corrupt(what, off, "its %s lies at sector %d or takes as many, of %d", f.name, v, sectors)
		}
		*f.to = int64(v) * x.sector
	}
	if p.configSize > maxConfig {
		return ondisk.Unsupported("dynamic disk", "a database of %d bytes", p.configSize)
	}
	return nil
}

// partition is a stretch of the disk's data.
func (x *disk) partition(off, size int64) (block.Device, error) {
	if !ondisk.Fits(x.priv.data+off, size, x.device.Dev.Size()) {
		return nil, fmt.Errorf("a partition of %d bytes at byte %d of %s, which has %d: %w", size, x.priv.data+off, x.device.Name, x.device.Dev.Size(), io.ErrUnexpectedEOF)
	}
	return block.Section(x.device.Dev, x.priv.data+off, size)
}
