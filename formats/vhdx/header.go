package vhdx

import (
	"context"
	"fmt"
	"io"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	what        = "VHDX image"
	headerName  = "VHDX header"
	regionsName = "VHDX region table"
	metaName    = "VHDX metadata table"
)

// header is the current one of the two.
type header struct {
	dataWrite string
	logGUID   string
	logOffset int64
	logLength int64
}

// checksum is the CRC-32C of b with the checksum field at offChecksum zero.
func checksum(b []byte) uint32 {
	crc := ondisk.CRC32C(^uint32(0), b[:offChecksum])
	crc = ondisk.CRC32C(crc, make([]byte, 4))
	return ^ondisk.CRC32C(crc, b[offChecksum+4:])
}

// readHeader finds the current header: of those whose checksum matches the one
// with the larger sequence number.
func readHeader(ctx context.Context, src block.Device) (*header, error) {
	var current []byte
	var currentAt int64
	var firstErr error
	for _, at := range []int64{offHeader1, offHeader2} {
		b, err := readOneHeader(ctx, src, at)
		switch {
		case err != nil && firstErr == nil:
			firstErr = err
		case err == nil && (current == nil || le64(b, offSequence) > le64(current, offSequence)):
			current, currentAt = b, at
		}
	}
	if current == nil {
		return nil, firstErr
	}
	return parseHeader(current, currentAt, src.Size())
}

func readOneHeader(ctx context.Context, src block.Device, at int64) ([]byte, error) {
	b := make([]byte, headerLen)
	if n, err := src.ReadAt(ctx, b, at); n < len(b) {
		if err != nil && err != io.EOF {
			return nil, err
		}
		return nil, ondisk.Corrupt(headerName, at, "the file of %d bytes ends in it", src.Size())
	}
	if string(b[:4]) != headerSignature {
		return nil, ondisk.Corrupt(headerName, at, "it begins with %q", b[:4])
	}
	if stored, sum := le32(b, offChecksum), checksum(b); stored != sum {
		return nil, ondisk.BadChecksum(headerName, at, stored, sum)
	}
	return b, nil
}

func parseHeader(b []byte, at, file int64) (*header, error) {
	if v := le16(b, offVersion); v != version {
		return nil, ondisk.Unsupported(what, "version %d", v)
	}
	h := &header{dataWrite: guid(b, offDataWrite), logGUID: guid(b, offLogGUID)}
	if h.logGUID == guidNone {
		return h, nil
	}
	if v := le16(b, offLogVersion); v != 0 {
		return nil, ondisk.Unsupported(what, "version %d of the log", v)
	}
	off, n := le64(b, offLogOffset), le32(b, offLogLength)
	if off > 1<<62 || off < mb || off%mb != 0 || n == 0 || n%mb != 0 || !ondisk.Fits(int64(off), int64(n), file) {
		return nil, ondisk.Corrupt(headerName, at+offLogLength, "the log of %d bytes at %d is not aligned, or outside the file of %d bytes", n, off, file)
	}
	h.logOffset, h.logLength = int64(off), int64(n)
	return h, nil
}

// region is a part of the file.
type region struct{ off, len int64 }

// readRegions finds the BAT and the metadata by the first region table that
// is valid.
func readRegions(ctx context.Context, dev block.Device) (bat, meta region, err error) {
	var firstErr error
	for _, at := range []int64{offRegions1, offRegions2} {
		bat, meta, err = readRegionTable(ctx, dev, at)
		if err == nil {
			return bat, meta, nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	return bat, meta, firstErr
}

func readRegionTable(ctx context.Context, dev block.Device, at int64) (bat, meta region, err error) {
	bad := func(off int64, format string, args ...any) (region, region, error) {
		return region{}, region{}, ondisk.Corrupt(regionsName, at+off, format, args...)
	}
	b := make([]byte, regionsLen)
	if n, err := dev.ReadAt(ctx, b, at); n < len(b) {
		if err != nil && err != io.EOF {
			return bat, meta, err
		}
		return bad(0, "the file of %d bytes ends in it", dev.Size())
	}
	if string(b[:4]) != regionsSignature {
		return bad(0, "it begins with %q", b[:4])
	}
	if stored, sum := le32(b, offChecksum), checksum(b); stored != sum {
		return bat, meta, ondisk.BadChecksum(regionsName, at, stored, sum)
	}
	count := le32(b, offRegionCount)
	if count > maxRegions {
		return bad(offRegionCount, "%d entries, more than %d", count, maxRegions)
	}
	for i := range int(count) {
		off := regionHeaderLen + i*regionEntryLen
		e := b[off : off+regionEntryLen]
		start, n := le64(e, regionOffset), int64(le32(e, regionLength))
		var to *region
		switch id := guid(e, 0); id {
		case guidBAT:
			to = &bat
		case guidMetadata:
			to = &meta
		default:
			if le32(e, regionRequired)&1 != 0 {
				return bat, meta, ondisk.Unsupported(what, "the required region %s", id)
			}
			continue
		}
		if to.len != 0 {
			return bad(int64(off), "two regions %s", guid(e, 0))
		}
		if start > 1<<62 || start < mb || start%mb != 0 || n == 0 || n%mb != 0 || !ondisk.Fits(int64(start), n, dev.Size()) {
			return bad(int64(off), "the region %s of %d bytes at %d is not aligned, or outside the file of %d bytes", guid(e, 0), n, start, dev.Size())
		}
		*to = region{int64(start), n}
	}
	if bat.len == 0 || meta.len == 0 {
		return bad(0, "no BAT or no metadata")
	}
	return bat, meta, nil
}

// metadata is what the metadata items say.
type metadata struct {
	blockSize int64
	hasParent bool
	size      int64
	sector    int64
	locator   map[string]string // of the parent
}

// readMetadata reads the items that a reader needs.
func readMetadata(ctx context.Context, dev block.Device, r region) (*metadata, error) {
	bad := func(off int64, format string, args ...any) (*metadata, error) {
		return nil, ondisk.Corrupt(metaName, r.off+off, format, args...)
	}
	b := make([]byte, metaTableLen)
	if err := block.ReadFull(ctx, dev, b, r.off); err != nil {
		return nil, err
	}
	if string(b[:len(metaSignature)]) != metaSignature {
		return bad(0, "it begins with %q", b[:len(metaSignature)])
	}
	count := int(le16(b, offMetaCount))
	if count > maxMeta {
		return bad(offMetaCount, "%d entries, more than %d", count, maxMeta)
	}
	items := make(map[string][]byte)
	for i := range count {
		off := metaHeaderLen + i*metaEntryLen
		e := b[off : off+metaEntryLen]
		id, flags := guid(e, 0), le32(e, metaFlags)
		if flags&metaUser != 0 || !knownItem(id) {
			if flags&metaRequired != 0 {
				return nil, ondisk.Unsupported(what, "the required metadata item %s", id)
			}
			continue
		}
		at, n := int64(le32(e, metaOffset)), int64(le32(e, metaLength))
		if _, twice := items[id]; twice {
			return bad(int64(off), "two items %s", id)
		}
		if n > maxMetaItem || n > 0 && at < metaTableLen || !ondisk.Fits(at, n, r.len) {
			return bad(int64(off), "the item %s of %d bytes at %d is outside the region of %d bytes", id, n, at, r.len)
		}
		item := make([]byte, n)
		if err := block.ReadFull(ctx, dev, item, r.off+at); err != nil {
			return nil, err
		}
		items[id] = item
	}
	return parseItems(items, r.off)
}

func knownItem(id string) bool {
	switch id {
	case guidFileParameters, guidDiskSize, guidDiskID, guidLogicalSector, guidPhysicalSector, guidParentLocator:
		return true
	}
	return false
}

func parseItems(items map[string][]byte, at int64) (*metadata, error) {
	for id, n := range map[string]int{guidFileParameters: 8, guidDiskSize: 8, guidLogicalSector: 4} {
		if len(items[id]) < n {
			return nil, ondisk.Corrupt(metaName, at, "the item %s has %d bytes, not %d", id, len(items[id]), n)
		}
	}
	params := items[guidFileParameters]
	m := &metadata{
		blockSize: int64(le32(params, paramsBlockSize)), hasParent: le32(params, paramsFlags)&paramsHasParent != 0,
		sector: int64(le32(items[guidLogicalSector], 0)),
	}
	size := le64(items[guidDiskSize], 0)
	switch {
	case m.blockSize < minBlock || m.blockSize > maxBlock || m.blockSize&(m.blockSize-1) != 0:
		return nil, ondisk.Corrupt(metaName, at, "blocks of %d bytes", m.blockSize)
	case m.sector != 512 && m.sector != 4096:
		return nil, ondisk.Corrupt(metaName, at, "logical sectors of %d bytes", m.sector)
	case size > maxDisk || int64(size)%m.sector != 0:
		return nil, ondisk.Corrupt(metaName, at, "a disk of %d bytes, with sectors of %d", size, m.sector)
	}
	m.size = int64(size)
	if !m.hasParent {
		return m, nil
	}
	var err error
	if m.locator, err = parseLocator(items[guidParentLocator]); err != nil {
		return nil, ondisk.Corrupt("VHDX parent locator", at, "%v", err)
	}
	return m, nil
}

// parseLocator gives the keys and values of a parent locator.
func parseLocator(b []byte) (map[string]string, error) {
	if len(b) < locatorFirst {
		return nil, fmt.Errorf("it has %d bytes", len(b))
	}
	if id := guid(b, 0); id != guidLocatorVHDX {
		return nil, fmt.Errorf("a parent of the type %s", id)
	}
	all := make(map[string]string)
	for i := range int(le16(b, locatorCount)) {
		e, ok := ondisk.Slice(b, locatorFirst+i*locatorEntryLen, locatorEntryLen)
		if !ok {
			return nil, fmt.Errorf("entry %d is outside its %d bytes", i, len(b))
		}
		key, ok := ondisk.Slice(b, int(le32(e, locatorKey)), int(le16(e, locatorKeyLen)))
		value, ok2 := ondisk.Slice(b, int(le32(e, locatorValue)), int(le16(e, locatorValueLen)))
		if !ok || !ok2 {
			return nil, fmt.Errorf("the text of entry %d is outside its %d bytes", i, len(b))
		}
		all[utf16le(key)] = utf16le(value)
	}
	return all, nil
}
