package ewf

import (
	"context"
	"hash/adler32"
	"io"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	what        = "EWF image"
	headerName  = "EWF file header"
	sectionName = "EWF section"
	volumeName  = "EWF volume section"
	tableName   = "EWF table section"

	// maxSections bounds the sections of one file, and maxTables the tables
	// of all: at 16375 chunks of 32 KiB each they have room for 500 TB.
	maxSections = 1 << 16
	maxTables   = 1 << 20
)

// table is the places of chunks in a row.
type table struct {
	first   int64 // number of its first chunk
	entries int64
	segment int
	at      int64 // of the entries, in the segment
	base    int64 // what the entries are relative to
	end     int64 // of the last chunk, at most
}

// volume is what the image says of the disk.
type volume struct {
	size, chunk int64 // bytes
	chunks      int64
}

// index is all tables of all segments, in order.
type index struct {
	vol    *volume
	tables []table
	chunks int64
}

// section is a part of a segment.
type section struct {
	kind           string
	off, next, len int64
}

// read reads n bytes at off, fewer at the end of dev.
func read(ctx context.Context, dev block.Device, off int64, n int) ([]byte, error) {
	b := make([]byte, n)
	got, err := dev.ReadAt(ctx, b, off)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return b[:got], nil
}

// checkHeader checks that dev begins as segment number.
func checkHeader(ctx context.Context, dev block.Device, number int) error {
	b, err := read(ctx, dev, 0, fileHeader)
	if err != nil {
		return err
	}
	if len(b) < fileHeader || string(b[:magicLen]) != magic {
		return ondisk.Corrupt(headerName, 0, "segment %d begins with %q", number, b[:min(len(b), magicLen)])
	}
	if got := int(b[offSegment]) | int(b[offSegment+1])<<8; got != number {
		return ondisk.Corrupt(headerName, offSegment, "it is segment %d, not %d", got, number)
	}
	return nil
}

// readSection reads the section descriptor at off.
func readSection(ctx context.Context, dev block.Device, off int64) (s section, err error) {
	b, err := read(ctx, dev, off, sectionLen)
	if err != nil {
		return s, err
	}
	if len(b) < sectionLen {
		return s, ondisk.Corrupt(sectionName, off, "the file of %d bytes ends in it", dev.Size())
	}
	if stored, sum := le32(b, sectionSum), adler32.Checksum(b[:sectionSum]); stored != sum {
		return s, ondisk.BadChecksum(sectionName, off, stored, sum)
	}
	next := le64(b, sectionNext)
	s = section{kind: strings.TrimRight(string(b[sectionType:sectionTypeLen]), "\x00"), off: off, len: sectionLen}
	if s.kind == "next" || s.kind == "done" {
		return s, nil
	}
	if next > 1<<62 || int64(next) < off+sectionLen || int64(next) > dev.Size() {
		return s, ondisk.Corrupt(sectionName, off, "the section behind %q is at %d, in a file of %d bytes", s.kind, next, dev.Size())
	}
	s.next, s.len = int64(next), int64(next)-off
	return s, nil
}

// addSegment takes the tables of a segment in. more says that another follows.
func (x *index) addSegment(ctx context.Context, dev block.Device, segment int) (more bool, err error) {
	off, dataEnd := int64(fileHeader), int64(0)
	for range maxSections {
		s, err := readSection(ctx, dev, off)
		if err != nil {
			return false, err
		}
		switch s.kind {
		case "next":
			return true, nil
		case "done":
			return false, nil
		case "volume", "disk", "data":
			// data repeats it.
			if x.vol == nil {
				if x.vol, err = readVolume(ctx, dev, s); err != nil {
					return false, err
				}
			}
		case "sectors":
			dataEnd = s.next
		case "table":
			// Without a section for them, the chunks are behind the table.
			if dataEnd == 0 {
				dataEnd = s.next
			}
			if err := x.addTable(ctx, dev, s, segment, dataEnd); err != nil {
				return false, err
			}
			dataEnd = 0
		}
		off = s.next
	}
	return false, ondisk.Corrupt(sectionName, off, "more than %d sections", maxSections)
}

func readVolume(ctx context.Context, dev block.Device, s section) (*volume, error) {
	n, sumAt := volLen, volSum
	if s.len-sectionLen < volLen {
		n, sumAt = volSmartLen, volSmartSum
	}
	b, err := read(ctx, dev, s.off+sectionLen, n)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) < int64(n) || s.len-sectionLen < int64(n) {
		return nil, ondisk.Corrupt(volumeName, s.off, "it has %d bytes", s.len-sectionLen)
	}
	if stored, sum := le32(b, sumAt), adler32.Checksum(b[:sumAt]); stored != sum {
		return nil, ondisk.BadChecksum(volumeName, s.off, stored, sum)
	}
	perChunk, sector, sectors := int64(le32(b, volPerChunk)), int64(le32(b, volSectorSize)), le64(b, volSectors)
	if n == volSmartLen {
		sectors &= 1<<32 - 1
	}
	if sector < minSectorSize || sector > maxSectorSize || sector&(sector-1) != 0 || perChunk == 0 || perChunk*sector > maxChunk || sectors > maxSize/uint64(sector) {
		return nil, ondisk.Corrupt(volumeName, s.off, "a disk of %d sectors of %d bytes, in chunks of %d", sectors, sector, perChunk)
	}
	v := &volume{size: int64(sectors) * sector, chunk: perChunk * sector}
	v.chunks = (v.size + v.chunk - 1) / v.chunk
	return v, nil
}

// addTable takes a table in, whose chunks end at dataEnd.
func (x *index) addTable(ctx context.Context, dev block.Device, s section, segment int, dataEnd int64) error {
	b, err := read(ctx, dev, s.off+sectionLen, tableHeader)
	if err != nil {
		return err
	}
	if len(b) < tableHeader || s.len < sectionLen+tableHeader {
		return ondisk.Corrupt(tableName, s.off, "it has %d bytes", s.len-sectionLen)
	}
	if stored, sum := le32(b, tableSum), adler32.Checksum(b[:tableSum]); stored != sum {
		return ondisk.BadChecksum(tableName, s.off, stored, sum)
	}
	t := table{first: x.chunks, entries: int64(le32(b, tableEntries)), segment: segment, at: s.off + sectionLen + tableHeader, end: dataEnd}
	base := le64(b, tableBase)
	if base > uint64(dev.Size()) {
		return ondisk.Corrupt(tableName, s.off, "its chunks begin at %d, in a file of %d bytes", base, dev.Size())
	}
	if t.entries > (s.len-sectionLen-tableHeader)/entryLen {
		return ondisk.Corrupt(tableName, s.off, "%d entries in %d bytes", t.entries, s.len-sectionLen-tableHeader)
	}
	if t.base = int64(base); t.entries == 0 {
		return nil
	}
	if len(x.tables) == maxTables {
		return ondisk.Unsupported(what, "more than %d tables", maxTables)
	}
	x.tables, x.chunks = append(x.tables, t), x.chunks+t.entries
	return nil
}

// pagesOf makes the Pages of the segments, with limit bytes for all.
func pagesOf(segments []block.Device, limit int64) []*extent.Pages {
	all := make([]*extent.Pages, len(segments))
	for i, s := range segments {
		all[i] = extent.NewPages(s, limit/int64(len(segments)))
	}
	return all
}
