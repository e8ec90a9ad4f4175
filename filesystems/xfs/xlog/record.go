package xlog

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A record is one that is whole, its payload as it was before it was logged.
// It is valid until the walk goes on.
type record struct {
	at      int64 // sector
	header  recordHeader
	payload []byte
	order   binary.ByteOrder
}

// walk goes through the records of [from, to) in the ring. On an error it gives
// the sector of the record that it is about.
func (j *Journal) walk(ctx context.Context, from, to int64, visit func(*record) error) (at int64, err error) {
	left := to - from
	if left <= 0 {
		left += j.sectors
	}
	var buf []byte
	for at = from; left > 0; {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		first, err := j.at(ctx, at)
		if err != nil {
			return at, err
		}
		h := recordHeader(first)
		if err := j.checkHeader(h, at); err != nil {
			return at, err
		}
		headers, payload := headerSectorsOf(h), payloadSectors(h)
		if headers+payload > left {
			return at, ondisk.Corrupt(whatRecord, at*sector, "%d sectors, %d are left to the head", headers+payload, left)
		}
		size := (headers + payload) * sector
		if int64(cap(buf)) < size {
			buf = make([]byte, size)
		}
		buf = buf[:size]
		if err := j.readRing(ctx, buf, at); err != nil {
			return at, err
		}
		rec, err := j.unpack(buf, at)
		if err != nil {
			return at, err
		}
		if err := visit(rec); err != nil {
			return at, err
		}
		at = j.after(at, headers+payload)
		left -= headers + payload
	}
	return at, nil
}

// readRing reads sectors from one on, over the end of the ring.
func (j *Journal) readRing(ctx context.Context, b []byte, at int64) error {
	part := min(int64(len(b)), (j.sectors-at)*sector)
	if err := block.ReadFull(ctx, j.dev, b[:part], at*sector); err != nil {
		return fmt.Errorf("reading the log at byte %d: %w", at*sector, err)
	}
	if part == int64(len(b)) {
		return nil
	}
	if err := block.ReadFull(ctx, j.dev, b[part:], 0); err != nil {
		return fmt.Errorf("reading the log at byte 0: %w", err)
	}
	return nil
}

// unpack compares the checksum of a record and puts the first words of its
// sectors back.
func (j *Journal) unpack(b []byte, at int64) (*record, error) {
	h := recordHeader(b)
	if err := j.checkHeader(h, at); err != nil {
		return nil, err // it changes while it is read
	}
	headers := headerSectorsOf(h) * sector
	payload := b[headers:]
	if err := j.checkSum(h, b, payload, at); err != nil {
		return nil, err
	}
	rec := &record{at: at, header: h, payload: payload[:h.len()], order: binary.LittleEndian}
	switch h.format() {
	case formatBig, formatIRIX:
		rec.order = binary.BigEndian
	}
	for i := range len(payload) / sector {
		word := h.cycleData(i % headerSectors)
		if i >= headerSectors {
			word = extendedHeader(b[i/headerSectors*sector:]).cycleData(i % headerSectors)
		}
		copy(payload[i*sector:], word)
	}
	return rec, nil
}

// checkSum compares the checksum of a record. Version 4 of old kernels, and
// the record that mkfs.xfs writes, have none.
func (j *Journal) checkSum(h recordHeader, b, payload []byte, at int64) error {
	stored := h.crc()
	if stored == 0 && (!j.geo.CRC || h.ops() <= 1) {
		return nil
	}
	var sum uint32
	for _, size := range [...]int{recordHeaderSize, recordHeaderSize32} {
		if sum = recordSum(h, b, payload, size); sum == stored {
			return nil
		}
	}
	return ondisk.BadChecksum(whatRecord, at*sector, stored, recordSum(h, b, payload, recordHeaderSize))
}

// recordSum is the CRC-32C of a record, of whose header size bytes count.
func recordSum(h recordHeader, b, payload []byte, size int) uint32 {
	var zero [4]byte
	crc := ondisk.CRC32C(^uint32(0), h[:recordCRC])
	crc = ondisk.CRC32C(crc, zero[:])
	crc = ondisk.CRC32C(crc, h[recordCRC+4:size])
	if h.version()&version2 != 0 {
		for i := 1; i < (int(h.len())+headerCovers-1)/headerCovers; i++ {
			crc = ondisk.CRC32C(crc, b[i*sector:i*sector+extendedHeaderSize])
		}
	}
	return ^ondisk.CRC32C(crc, payload[:h.len()])
}
