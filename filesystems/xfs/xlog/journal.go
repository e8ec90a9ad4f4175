package xlog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const whatRecord = "xfs log record"

// A Journal is the log of a filesystem, between its tail and its head.
type Journal struct {
	dev     block.Device // the log
	geo     *layout.Geometry
	headers *layout.Headers
	log     *slog.Logger

	sectors    int64 // of the log
	head, tail int64
	torn       string
	window     window

	intents []*Intent
}

// Open finds the head and the tail of the log of the filesystem on dev. geo
// must name a log on it.
func Open(ctx context.Context, dev block.Device, geo *layout.Geometry, headers *layout.Headers, log *slog.Logger) (*Journal, error) {
	off, ok := geo.Offset(geo.LogStart, uint64(geo.LogBlocks))
	if !ok {
		return nil, ondisk.Corrupt("xfs superblock", 0, "the log of %d blocks at %d", geo.LogBlocks, geo.LogStart)
	}
	size := int64(geo.LogBlocks) << geo.BlockLog
	part, err := block.Section(dev, off, size)
	if err != nil {
		return nil, ondisk.Corrupt("xfs log", off, "%d bytes, beyond the end of the device of %d: the image is truncated", size, dev.Size())
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	j := &Journal{dev: part, geo: geo, headers: headers, log: log, sectors: size / sector}
	if err := j.findEnds(ctx); err != nil {
		return nil, fmt.Errorf("xfs log at byte %d: %w", off, err)
	}
	return j, nil
}

// Clean says that there is nothing to replay.
func (j *Journal) Clean() bool { return j.head == j.tail }

// window is the part of the log that was read last, for the walks that look at
// one sector after the other.
type window struct {
	b    []byte
	from int64
}

// windowSectors is how much is read at once.
const windowSectors = 128

// at gives a sector of the log, valid until the next call.
func (j *Journal) at(ctx context.Context, n int64) ([]byte, error) {
	if n < 0 || n >= j.sectors {
		return nil, fmt.Errorf("xlog: sector %d of a log of %d", n, j.sectors)
	}
	w := &j.window
	if w.b == nil || n < w.from || n >= w.from+int64(len(w.b)/sector) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		from := n &^ (windowSectors - 1)
		b := make([]byte, min(windowSectors, j.sectors-from)*sector)
		if err := block.ReadFull(ctx, j.dev, b, from*sector); err != nil {
			return nil, fmt.Errorf("reading the log at byte %d: %w", from*sector, err)
		}
		w.b, w.from = b, from
	}
	in := (n - w.from) * sector
	return w.b[in : in+sector : in+sector], nil
}

// cycleAt is the cycle in which a sector was written.
func (j *Journal) cycleAt(ctx context.Context, n int64) (uint32, error) {
	b, err := j.at(ctx, n)
	if err != nil {
		return 0, err
	}
	if h := recordHeader(b); h.isRecord() {
		return h.cycle(), nil
	}
	return be32(b, 0), nil
}

// headerSectorsOf is how many sectors of header a record has.
func headerSectorsOf(h recordHeader) int64 {
	if h.version()&version2 != 0 && h.size() > headerCovers {
		return (int64(h.size()) + headerCovers - 1) / headerCovers
	}
	return 1
}

// payloadSectors is the length of a record without its header.
func payloadSectors(h recordHeader) int64 { return (int64(h.len()) + sector - 1) / sector }

// checkHeader compares the header of a record at a sector.
func (j *Journal) checkHeader(h recordHeader, n int64) error {
	bad := func(format string, args ...any) error {
		return ondisk.Corrupt(whatRecord, n*sector, format, args...)
	}
	if !h.isRecord() {
		return bad("magic %#x", be32(h, 0))
	}
	if v := h.version(); v == 0 || v&^(version1|version2) != 0 {
		return ondisk.Unsupported("xfs log", "version %d of records", v)
	}
	if h.len() == 0 || h.len() > maxRecord {
		return bad("a payload of %d bytes, at most %d", h.len(), maxRecord)
	}
	if h.version()&version2 != 0 && h.size() > maxRecord || headerSectorsOf(h) < (int64(h.len())+headerCovers-1)/headerCovers {
		return bad("h_size %d with a payload of %d bytes", h.size(), h.len())
	}
	if headerSectorsOf(h)+payloadSectors(h) > j.sectors {
		return bad("longer than the log of %d sectors", j.sectors)
	}
	if uint32(h.lsn()) != uint32(n) {
		return bad("it says that it is at sector %d", uint32(h.lsn()))
	}
	return j.checkUUID(h, n)
}

// checkUUID refuses the log of another filesystem. IRIX wrote no UUID.
func (j *Journal) checkUUID(h recordHeader, n int64) error {
	if !bytes.Equal(h.uuid(), j.geo.UUID[:]) && !bytes.Equal(h.uuid(), make([]byte, 16)) {
		return ondisk.Corrupt(whatRecord, n*sector, "it belongs to the filesystem %x, this is %x", h.uuid(), j.geo.UUID)
	}
	return nil
}
