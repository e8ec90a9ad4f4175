package lvm2

import (
	"context"
	"errors"
	"fmt"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

const (
	// maxAreas bounds the areas of one label; a sector holds no more.
	maxAreas = 16
	// maxText bounds the metadata of a volume group, in bytes.
	maxText = 64 << 20
)

// A pv is a physical volume: a device with a label.
type pv struct {
	device scheme.Device
	uuid   string // with dashes, as the metadata has it
	areas  []area // metadata areas

	// What its own areas say: the newest metadata, and what is wrong.
	seqno int64
	group *group
	err   error
}

// An area is a metadata area.
type area struct{ off, size int64 }

// readLabel reads the label of d; nil where there is none.
func readLabel(ctx context.Context, d scheme.Device, warn func(error)) (*pv, error) {
	head := make([]byte, min(labelSectors*sector, d.Dev.Size()&^(sector-1)))
	if err := block.ReadFull(ctx, d.Dev, head, 0); err != nil {
		return nil, fmt.Errorf("read the first %d bytes: %w", len(head), err)
	}
	for at := 0; at < len(head); at += sector {
		b := head[at : at+sector]
		if string(b[labelID:labelID+8]) != labelMagic || string(b[labelType:labelEnd]) != labelKind {
			continue
		}
		if sum := checksum(b[labelOffset:]); sum != u32(b, labelCRC) {
			warn(ondisk.BadChecksum("LVM2 label", int64(at), u32(b, labelCRC), sum))
			continue
		}
		if n := u64(b, labelSector); n != uint64(at/sector) {
			warn(ondisk.Corrupt("LVM2 label", int64(at), "it says that it is in sector %d: a copy of another one", n))
			continue
		}
		return parsePV(d, b, int64(at))
	}
	return nil, nil
}

func parsePV(d scheme.Device, b []byte, at int64) (*pv, error) {
	off := u32(b, labelOffset)
	if off < labelEnd || off > sector-pvAreas {
		return nil, ondisk.Corrupt("LVM2 label", at, "its pv_header is at %d", off)
	}
	h := b[off:]
	p := &pv{device: d, uuid: dashes(string(h[pvUUID : pvUUID+32]))}
	lists := 0
	for i, n := pvAreas, 0; i+areaSize <= len(h) && n < maxAreas && lists < 2; i, n = i+areaSize, n+1 {
		start, size := u64(h, i), u64(h, i+8)
		switch {
		case start == 0:
			lists++
		case lists == 1:
			if start > uint64(d.Dev.Size()) || size > uint64(d.Dev.Size()) || !ondisk.Fits(int64(start), int64(size), d.Dev.Size()) || size < 2*mdaSize {
				p.err = ondisk.Corrupt("LVM2 pv_header", at, "a metadata area of %d bytes at %d of a device of %d", size, start, d.Dev.Size())
				continue
			}
			p.areas = append(p.areas, area{int64(start), int64(size)})
		}
	}
	return p, nil
}

// dashes writes a UUID as the metadata does.
func dashes(s string) string {
	if len(s) != 32 {
		return s
	}
	return s[:6] + "-" + s[6:10] + "-" + s[10:14] + "-" + s[14:18] + "-" + s[18:22] + "-" + s[22:26] + "-" + s[26:]
}

// readMetadata reads the newest metadata of p's areas. What is wrong with one
// of them is a warning where another is right.
func (p *pv) readMetadata(ctx context.Context, warn func(error)) error {
	var errs []error
	for _, a := range p.areas {
		g, err := a.read(ctx, p.device.Dev)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			errs = append(errs, err)
			continue
		}
		if g != nil && (p.group == nil || g.seqno > p.seqno) {
			p.group, p.seqno = g, g.seqno
		}
	}
	if p.group == nil && len(errs) > 0 {
		p.err = errors.Join(errs...)
		return nil
	}
	for _, err := range errs {
		warn(fmt.Errorf("%w; another copy is used", err))
	}
	return nil
}

// read reads the committed metadata of an area; nil where there is none.
func (a area) read(ctx context.Context, dev block.Device) (*group, error) {
	h := make([]byte, mdaSize)
	if err := block.ReadFull(ctx, dev, h, a.off); err != nil {
		return nil, fmt.Errorf("read the mda_header at byte %d: %w", a.off, err)
	}
	if string(h[mdaMagic:mdaMagic+16]) != areaMagic {
		return nil, ondisk.Corrupt("LVM2 mda_header", a.off, "no magic")
	}
	if sum := checksum(h[mdaMagic:]); sum != u32(h, mdaCRC) {
		return nil, ondisk.BadChecksum("LVM2 mda_header", a.off, u32(h, mdaCRC), sum)
	}
	if v := u32(h, mdaVersion); v != 1 {
		return nil, ondisk.Unsupported("LVM2 metadata area", "version %d", v)
	}
	length := u64(h, mdaLength)
	if u64(h, mdaStart) != uint64(a.off) || length > uint64(a.size) || length < 2*mdaSize {
		return nil, ondisk.Corrupt("LVM2 mda_header", a.off, "it says that it is at %d with %d bytes", u64(h, mdaStart), length)
	}
	raw := h[mdaLocns : mdaLocns+rawLocnSize]
	off, size := u64(raw, rawOffset), u64(raw, rawSize)
	if off == 0 || size == 0 || u32(raw, rawFlags)&rawIgnored != 0 {
		return nil, nil
	}
	if off < mdaSize || off >= length || size > length-mdaSize || size > maxText {
		return nil, ondisk.Corrupt("LVM2 mda_header", a.off, "its metadata has %d bytes at %d", size, off)
	}
	text := make([]byte, size)
	// The ring buffer goes on behind the header.
	first := min(size, length-off)
	if err := block.ReadFull(ctx, dev, text[:first], a.off+int64(off)); err != nil {
		return nil, fmt.Errorf("read the metadata at byte %d: %w", a.off+int64(off), err)
	}
	if err := block.ReadFull(ctx, dev, text[first:], a.off+mdaSize); err != nil {
		return nil, fmt.Errorf("read the metadata at byte %d: %w", a.off+mdaSize, err)
	}
	if sum := checksum(text); sum != u32(raw, rawCRC) {
		return nil, ondisk.BadChecksum("LVM2 metadata", a.off+int64(off), u32(raw, rawCRC), sum)
	}
	// A zero byte ends it.
	if text[len(text)-1] == 0 {
		text = text[:len(text)-1]
	}
	root, err := parseText(string(text))
	if err == nil {
		var g *group
		if g, err = parseGroup(root); err == nil {
			return g, nil
		}
	}
	return nil, ondisk.Corrupt("LVM2 metadata", a.off+int64(off), "%v", err)
}
