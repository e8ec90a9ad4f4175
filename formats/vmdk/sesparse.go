package vmdk

import (
	"bytes"
	"context"
	"io"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	seName   = "VMDK seSparse header"
	seGDName = "VMDK seSparse grain directory"
	seGTName = "VMDK seSparse grain table"
)

// seSparse is a space-efficient sparse extent of ESXi 6 and newer.
type seSparse struct {
	src                block.Device
	pages              *extent.Pages
	file               int // number of the extent in the disk
	size               int64
	gd, tables, grains int64 // offsets in the file
}

func readSESparse(ctx context.Context, src block.Device, limit int64) (*seSparse, error) {
	read := func(off int64) ([]byte, error) {
		b := make([]byte, sector)
		if n, err := src.ReadAt(ctx, b, off); n < len(b) {
			if err != nil && err != io.EOF {
				return nil, err
			}
			return nil, ondisk.Corrupt(seName, off, "the file of %d bytes ends in it", src.Size())
		}
		return b, nil
	}
	b, err := read(0)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name      string
		got, want uint64
	}{
		{"magic", le64(b, seMagic), magicSE},
		{"version", le64(b, seVersion), seVersion21},
		{"grain size", le64(b, seGrainSize), seGrainSectors},
		{"grain table size", le64(b, seGTSize), seGTSectors},
		{"flags", le64(b, seFlags), 0},
	} {
		if f.got != f.want {
			return nil, ondisk.Unsupported(what, "an seSparse extent with the %s %#x", f.name, f.got)
		}
	}
	if len(bytes.Trim(b[seReserved:seReservedEnd], "\x00")) > 0 || len(bytes.Trim(b[sePad:], "\x00")) > 0 {
		return nil, ondisk.Unsupported(what, "an seSparse extent with reserved fields in use")
	}
	if v := le64(b, seVolatile); !fitsSectors(v, 1, src.Size()) {
		return nil, ondisk.Corrupt(seName, seVolatile, "the volatile header at sector %d is outside the file of %d bytes", v, src.Size())
	}
	volatile, err := read(int64(le64(b, seVolatile)) * sector)
	if err != nil {
		return nil, err
	}
	switch {
	case le64(volatile, seMagic) != magicSEVolatile:
		return nil, ondisk.Corrupt(seName, int64(le64(b, seVolatile))*sector, "the volatile header begins with %#x", le64(volatile, seMagic))
	case le64(volatile, seReplay) != 0:
		return nil, &ondisk.UnsupportedError{What: what, Detail: "the journal of an seSparse extent that was not closed",
			Remedy: "starting and stopping the machine on its ESXi host writes it back"}
	}
	s := &seSparse{src: src, pages: extent.NewPages(src, limit)}
	for _, f := range []struct {
		off int64
		to  *int64
	}{{seGDOffset, &s.gd}, {seGTOffset, &s.tables}, {seGrains, &s.grains}} {
		v := le64(b, int(f.off))
		if !fitsSectors(v, 0, src.Size()) {
			return nil, ondisk.Corrupt(seName, f.off, "sector %d is outside the file of %d bytes", v, src.Size())
		}
		*f.to = int64(v) * sector
	}
	capacity := le64(b, seCapacity)
	if capacity > 1<<63/sector-maxGrainSectors {
		return nil, ondisk.Corrupt(seName, seCapacity, "a capacity of %d sectors", capacity)
	}
	s.size = int64(capacity) * sector
	const covered = seGTEs * seGrainSectors * sector
	need := s.size / covered
	if s.size%covered != 0 {
		need++
	}
	gd := le64(b, seGDSize)
	if !fitsSectors(uint64(s.gd/sector), gd, src.Size()) || int64(gd)*(sector/seEntryLen) < need {
		return nil, ondisk.Corrupt(seName, seGDOffset, "the grain directory of %d sectors at %d is outside the file of %d bytes, or too small for %d grain tables", gd, s.gd/sector, src.Size(), need)
	}
	return s, nil
}

// mapAt is as that of sparse.
func (s *seSparse) mapAt(ctx context.Context, off, n int64, missing hole) (extent.Extent, error) {
	const grain = seGrainSectors * sector
	const covered = seGTEs * grain
	at := s.gd + off/covered*seEntryLen
	b, err := s.pages.At(ctx, at)
	if err != nil {
		return extent.Extent{}, err
	}
	left := min(n, covered-off%covered)
	table := le64(b, 0)
	if table == 0 {
		return missing(off, left), nil
	}
	if table&seGDKind != seGDAllocated {
		return extent.Extent{}, ondisk.Corrupt(seGDName, at, "entry %#x", table)
	}
	start := s.tables + int64(uint32(table))*seGTSectors*sector
	if !ondisk.Fits(start, seGTSectors*sector, s.src.Size()) {
		return extent.Extent{}, ondisk.Corrupt(seGDName, at, "the grain table at %d is outside the file of %d bytes", start, s.src.Size())
	}
	index := off % covered / grain
	at = start + index*seEntryLen
	if b, err = s.pages.At(ctx, at); err != nil {
		return extent.Extent{}, err
	}
	return extent.Scan(left, int(min(seGTEs-index, int64(len(b)/seEntryLen))), grain-off%grain, grain, func(i int) (extent.Extent, error) {
		in := int64(0)
		if i == 0 {
			in = off % grain
		}
		pos := off - off%grain + int64(i)*grain + in
		n := min(grain-in, s.size-pos)
		e := le64(b, i*seEntryLen)
		where := at + int64(i)*seEntryLen
		switch e & seKind {
		case 0:
			if e == 0 {
				return missing(pos, n), nil
			}
		case seUnmapped, seZero:
			return extent.Extent{Kind: extent.Hole, Len: n}, nil
		case seAllocated:
			number := e&seIndexLow>>48 | e&seIndexHigh<<12
			host, ok := ondisk.Mul(number, grain)
			if !ok || host > s.src.Size()-s.grains || host+s.grains >= s.src.Size() {
				return extent.Extent{}, ondisk.Corrupt(seGTName, where, "grain %d is outside the file of %d bytes", number, s.src.Size())
			}
			return extent.Extent{Kind: extent.Plain, Len: n, Dev: s.src, File: s.file, Off: s.grains + host + in}, nil
		}
		return extent.Extent{}, ondisk.Corrupt(seGTName, where, "entry %#x", e)
	})
}
