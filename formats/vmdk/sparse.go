package vmdk

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/codec"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	what       = "VMDK image"
	headerName = "VMDK sparse extent header"
	footerName = "VMDK footer"
	gdName     = "VMDK grain directory"
	gtName     = "VMDK grain table"
	grainName  = "VMDK compressed grain"
)

// sparse is an extent with a grain directory and grain tables: hosted sparse,
// stream-optimized or ESX Server's.
type sparse struct {
	src   block.Device
	pages *extent.Pages
	file  int // number of the extent in the disk

	version    uint32
	size       int64 // bytes of the extent
	grain      int64 // bytes
	perTable   int64 // grains that a grain table has
	gd         int64 // offset of the grain directory
	zeroGrains bool
	packed     bool
	markers    bool
	unclean    bool

	descOffset, descSize int64 // of the embedded descriptor; 0 where there is none
}

// readSparse reads the header of a hosted sparse extent, and its footer where
// the header says that there is one.
func readSparse(ctx context.Context, src block.Device, tables int64) (*sparse, error) {
	b := make([]byte, headerLen)
	if n, err := src.ReadAt(ctx, b, 0); n < len(b) {
		if err != nil && err != io.EOF {
			return nil, err
		}
		return nil, ondisk.Corrupt(headerName, 0, "the file ends after %d bytes", n)
	}
	if le64(b, offGDOffset) != gdAtEnd {
		return parseSparse(b, 0, src, tables)
	}
	// The header of a stream is written before its tables are; the footer
	// outranks it but for the descriptor, which stands at the beginning.
	footer, at, err := findFooter(ctx, src)
	if err != nil {
		return nil, err
	}
	copy(footer[offDescOffset:offGTEsPerGT], b[offDescOffset:offGTEsPerGT])
	return parseSparse(footer, at, src, tables)
}

// findFooter finds the footer before the end of the stream, behind which
// some writers leave zeros.
func findFooter(ctx context.Context, src block.Device) (footer []byte, at int64, err error) {
	end := src.Size() &^ (sector - 1)
	tail := make([]byte, min(end, footerPad+footerLast))
	if err := block.ReadFull(ctx, src, tail, end-int64(len(tail))); err != nil {
		return nil, 0, err
	}
	start := end - int64(len(tail))
	for i := len(tail) - footerLast; i >= 0; i -= sector {
		if string(tail[i:i+len(magicSparse)]) == magicSparse && start+int64(i) > 0 {
			footer, at = tail[i:i+headerLen], start+int64(i)
			if le64(footer, offGDOffset) == gdAtEnd {
				return nil, 0, ondisk.Corrupt(footerName, at, "it has no grain directory")
			}
			return footer, at, nil
		}
		if len(bytes.Trim(tail[i+sector:i+2*sector], "\x00")) > 0 {
			break // no end-of-stream marker
		}
	}
	return nil, 0, ondisk.Corrupt(footerName, max(0, end-footerLast), "there is none: the stream is cut short")
}

// parseSparse checks the header or footer b, which stands at off.
func parseSparse(b []byte, off int64, src block.Device, tables int64) (*sparse, error) {
	bad := func(field int64, format string, args ...any) (*sparse, error) {
		return nil, ondisk.Corrupt(headerName, off+field, format, args...)
	}
	s := &sparse{src: src, version: le32(b, offVersion), pages: extent.NewPages(src, tables)}
	if string(b[:len(magicSparse)]) != magicSparse {
		return bad(offMagic, "it begins with %q", b[:len(magicSparse)])
	}
	if s.version == 0 || s.version > maxVersion {
		return nil, ondisk.Unsupported(what, "version %d", s.version)
	}
	flags := le32(b, offFlags)
	if flags&flagNewlines != 0 && string(b[offNewlines:offNewlines+len(newlines)]) != newlines {
		return bad(offNewlines, "line ends were changed (%q): the file was copied as text", b[offNewlines:offNewlines+len(newlines)])
	}
	s.zeroGrains, s.markers, s.unclean = flags&flagZeroGrain != 0, flags&flagMarkers != 0, b[offUnclean] != 0
	switch c := le16(b, offCompression); {
	case c == compressionZlib:
		s.packed = true
	case c != compressionNone:
		return nil, ondisk.Unsupported(what, "compression algorithm %d", c)
	case flags&flagCompressed != 0:
		return bad(offCompression, "compressed grains without a compression algorithm")
	}
	desc, descLen := le64(b, offDescOffset), le64(b, offDescSize)
	if desc != 0 && descLen != 0 {
		if !fitsSectors(desc, descLen, src.Size()) {
			return bad(offDescOffset, "the descriptor of %d sectors at %d is outside the file of %d bytes", descLen, desc, src.Size())
		}
		s.descOffset, s.descSize = int64(desc)*sector, int64(descLen)*sector
	}
	if err := s.geometry(le64(b, offCapacity), le64(b, offGrainSize), uint64(le32(b, offGTEsPerGT)), maxGTEs, off+offCapacity); err != nil {
		return nil, err
	}
	return s, s.directory(le64(b, offGDOffset), s.tableCount(), off+offGDOffset)
}

// readCOWD reads the header of an ESX Server sparse extent.
func readCOWD(ctx context.Context, src block.Device, tables int64) (*sparse, error) {
	b := make([]byte, cowdLen)
	if n, err := src.ReadAt(ctx, b, 0); n < len(b) {
		if err != nil && err != io.EOF {
			return nil, err
		}
		return nil, ondisk.Corrupt(headerName, 0, "the file ends after %d bytes", n)
	}
	s := &sparse{src: src, version: le32(b, offVersion), pages: extent.NewPages(src, tables)}
	if s.version != cowdVersion {
		return nil, ondisk.Unsupported(what, "version %d of a COWD extent", s.version)
	}
	if err := s.geometry(uint64(le32(b, cowdCapacity)), uint64(le32(b, cowdGrainSize)), cowdGTEs, cowdGTEs, cowdCapacity); err != nil {
		return nil, err
	}
	entries := int64(le32(b, cowdGDEntries))
	if need := s.tableCount(); entries < need {
		return nil, ondisk.Corrupt(headerName, cowdGDEntries, "the grain directory has %d entries; the extent needs %d", entries, need)
	}
	return s, s.directory(uint64(le32(b, cowdGDOffset)), s.tableCount(), cowdGDOffset)
}

// geometry takes the sizes in; all but the last are in sectors. at is where
// the first of them stands.
func (s *sparse) geometry(capacity, grain, perTable, maxPerTable uint64, at int64) error {
	switch {
	case capacity > 1<<63/sector-maxGrainSectors:
		return ondisk.Corrupt(headerName, at, "a capacity of %d sectors", capacity)
	case grain == 0 || grain > maxGrainSectors:
		return ondisk.Corrupt(headerName, at, "grains of %d sectors", grain)
	case s.packed && grain > maxPackedSectors:
		return ondisk.Unsupported(what, "compressed grains of %d sectors", grain)
	case perTable == 0 || perTable > maxPerTable:
		return ondisk.Corrupt(headerName, at, "grain tables of %d entries", perTable)
	}
	s.size, s.grain, s.perTable = int64(capacity)*sector, int64(grain)*sector, int64(perTable)
	return nil
}

// tableCount is the number of grain tables that the extent needs.
func (s *sparse) tableCount() int64 {
	covered := s.grain * s.perTable
	n := s.size / covered
	if s.size%covered != 0 {
		n++
	}
	return n
}

// directory takes the place of the grain directory in, which stands at field.
func (s *sparse) directory(gd uint64, entries, field int64) error {
	if gd == 0 && entries > 0 || !fitsSectors(gd, 0, s.src.Size()) || !ondisk.Fits(int64(gd)*sector, entries*entryLen, s.src.Size()) {
		return ondisk.Corrupt(headerName, field, "the grain directory of %d entries at sector %d is outside the file of %d bytes", entries, gd, s.src.Size())
	}
	s.gd = int64(gd) * sector
	return nil
}

// fitsSectors says whether n sectors at off lie inside size bytes.
func fitsSectors(off, n uint64, size int64) bool {
	const most = 1<<63/sector - 1
	return off <= most && n <= most && ondisk.Fits(int64(off)*sector, int64(n)*sector, size)
}

// hole says what n bytes at off of the extent are that it does not have.
type hole func(off, n int64) extent.Extent

// mapAt is what is at off of the extent, at most n bytes.
func (s *sparse) mapAt(ctx context.Context, off, n int64, missing hole) (extent.Extent, error) {
	covered := s.grain * s.perTable
	at := s.gd + off/covered*entryLen
	b, err := s.pages.At(ctx, at)
	if err != nil {
		return extent.Extent{}, err
	}
	table := int64(le32(b, 0))
	left := min(n, covered-off%covered)
	switch {
	case table == 0:
		return missing(off, left), nil
	case table == zeroGrain && s.zeroGrains:
		return extent.Extent{Kind: extent.Hole, Len: left}, nil
	case !ondisk.Fits(table*sector, s.perTable*entryLen, s.src.Size()):
		return extent.Extent{}, ondisk.Corrupt(gdName, at, "the grain table at sector %d is outside the file of %d bytes", table, s.src.Size())
	}
	index := off % covered / s.grain
	at = table*sector + index*entryLen
	if b, err = s.pages.At(ctx, at); err != nil {
		return extent.Extent{}, err
	}
	entries := min(s.perTable-index, int64(len(b)/entryLen))
	return extent.Scan(left, int(entries), s.grain-off%s.grain, s.grain, func(i int) (extent.Extent, error) {
		in := int64(0)
		if i == 0 {
			in = off % s.grain
		}
		next := uint32(0)
		if int64(i)+1 < entries {
			next = le32(b, (i+1)*entryLen)
		}
		pos := off - off%s.grain + int64(i)*s.grain + in
		e, err := s.decode(le32(b, i*entryLen), next, at+int64(i)*entryLen, pos, in, missing)
		e.Len = min(e.Len, s.size-pos)
		return e, err
	})
}

// decode is the extent from in to the end of a grain, by the grain table entry
// e, which stands at at and is followed by next; pos is where in the extent.
func (s *sparse) decode(e, next uint32, at, pos, in int64, missing hole) (extent.Extent, error) {
	n := s.grain - in
	switch {
	case e == 0:
		return missing(pos, n), nil
	case e == zeroGrain && s.zeroGrains:
		return extent.Extent{Kind: extent.Hole, Len: n}, nil
	}
	host := int64(e) * sector
	if host >= s.src.Size() {
		return extent.Extent{}, ondisk.Corrupt(gtName, at, "the grain at sector %d is outside the file of %d bytes", e, s.src.Size())
	}
	if !s.packed {
		return extent.Extent{Kind: extent.Plain, Len: n, Dev: s.src, File: s.file, Off: host + in}, nil
	}
	// A grain that does not compress takes more than a grain. The next one
	// usually follows it.
	size := 2 * s.grain
	if next > e {
		size = min(size, int64(next-e)*sector)
	}
	return extent.Extent{Kind: extent.Packed, Len: n, Dev: s.src, File: s.file, Off: host, Size: size, In: in, Tag: min(s.grain, s.size-pos+in)}, nil
}

// unpack decodes a compressed grain; Extent.Tag is how long it is to be.
func (s *sparse) unpack(c *codec.Codec, e extent.Extent, raw []byte) ([]byte, error) {
	if s.markers {
		if len(raw) < markerLen {
			return nil, ondisk.Corrupt(grainName, e.Off, "the file ends in its marker")
		}
		size := int64(le32(raw, markSize))
		if raw = raw[markGrain:]; size == 0 || size > int64(len(raw)) {
			return nil, ondisk.Corrupt(grainName, e.Off, "it claims %d bytes, and there are %d", size, len(raw))
		}
		raw = raw[:size]
	}
	b := make([]byte, s.grain)
	n, err := c.Decode(b, raw)
	if err == nil && int64(n) < e.Tag {
		err = fmt.Errorf("it gives %d bytes, not %d", n, e.Tag)
	}
	if err != nil {
		return nil, ondisk.Corrupt(grainName, e.Off, "%v", err)
	}
	return b[:n], nil
}
