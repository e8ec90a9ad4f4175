package compressed

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Of the .xz file format 1.2, section 2. Numbers are little-endian.
const (
	xzWhat = "xz file"

	xzHeader     = 12 // bytes of a stream's header and of its footer
	xzFlags      = 6  // of the header: two bytes, and their CRC-32
	xzFlagsSum   = 8
	xzFootSum    = 0 // of the footer: the CRC-32 of what follows, up to the magic
	xzBackward   = 4 // of the footer: the index's size / 4 - 1
	xzFootFlags  = 8
	xzFootMagic  = 10
	xzFooterText = "YZ"

	xzCheckMask = 0xf

	// maxXZIndex bounds the index of a stream, in bytes.
	maxXZIndex = 64 << 20
	// maxStreams bounds how many streams a file has.
	maxStreams = 1 << 16
)

// xzBlock says how a block is to be decoded.
type xzBlock struct {
	check byte
	len   int64 // of its header, contents and check, without padding
}

// xzIndex is the table of an xz file.
type xzIndex struct {
	index
	blocks []xzBlock
}

// An xzStream is what the end of a stream says.
type xzStream struct {
	off     int64 // of its header
	check   byte
	records []xzRecord
}

type xzRecord struct{ unpadded, size int64 }

// indexXZ reads the streams of a file, from the last to the first.
func indexXZ(ctx context.Context, src block.Device) (*index, error) {
	var streams []xzStream
	for end := src.Size(); end > 0; {
		stream, err := skipXZPadding(ctx, src, end)
		if err != nil {
			return nil, err
		}
		s, err := readXZStream(ctx, src, stream)
		if err != nil {
			return nil, err
		}
		if streams = append(streams, s); len(streams) > maxStreams {
			return nil, ondisk.Unsupported(xzWhat, "more than %d streams", maxStreams)
		}
		end = s.off
	}
	x := &xzIndex{}
	x.unpack = x.unpackBlock
	for i := len(streams) - 1; i >= 0; i-- {
		s := streams[i]
		at := s.off + xzHeader
		for _, r := range s.records {
			padded := (r.unpadded + 3) &^ 3
			if err := x.add(xzWhat, piece{len: r.size, at: at, size: padded}); err != nil {
				return nil, err
			}
			if r.size > 0 {
				x.blocks = append(x.blocks, xzBlock{s.check, r.unpadded})
			}
			at += padded
		}
	}
	return &x.index, nil
}

// skipXZPadding is where the stream before end ends: zeros may follow it, in
// words of four.
func skipXZPadding(ctx context.Context, src block.Device, end int64) (int64, error) {
	b := make([]byte, 4)
	for end >= int64(len(b)) {
		if err := block.ReadFull(ctx, src, b, end-int64(len(b))); err != nil {
			return 0, err
		}
		if binary.LittleEndian.Uint32(b) != 0 {
			return end, nil
		}
		end -= int64(len(b))
	}
	return 0, ondisk.Corrupt(xzWhat, end, "no stream before its padding")
}

// readXZStream reads the footer and the index of the stream that ends at end.
func readXZStream(ctx context.Context, src block.Device, end int64) (s xzStream, err error) {
	const what = "xz stream footer"
	if end < 2*xzHeader {
		return s, ondisk.Corrupt(what, end, "a stream of %d bytes", end)
	}
	foot := make([]byte, xzHeader)
	if err := block.ReadFull(ctx, src, foot, end-xzHeader); err != nil {
		return s, err
	}
	if string(foot[xzFootMagic:]) != xzFooterText {
		return s, ondisk.Corrupt(what, end-xzHeader, "no signature: the file was cut off, or other data follows it")
	}
	if stored, sum := binary.LittleEndian.Uint32(foot[xzFootSum:]), crc32.ChecksumIEEE(foot[xzBackward:xzFootMagic]); stored != sum {
		return s, ondisk.BadChecksum(what, end-xzHeader, stored, sum)
	}
	size := (int64(binary.LittleEndian.Uint32(foot[xzBackward:])) + 1) * 4
	at := end - xzHeader - size
	if at < xzHeader {
		return s, ondisk.Corrupt(what, end-xzHeader, "an index of %d bytes in a file of %d", size, end)
	}
	if size > maxXZIndex {
		return s, ondisk.Unsupported(xzWhat, "an index of %d bytes", size)
	}
	b := make([]byte, size)
	if err := block.ReadFull(ctx, src, b, at); err != nil {
		return s, err
	}
	blocks, err := s.parseIndex(b, at)
	if err != nil {
		return s, err
	}
	if s.off = at - blocks - xzHeader; s.off < 0 {
		return s, ondisk.Corrupt("xz index", at, "blocks of %d bytes, where the file has %d before them", blocks, at)
	}
	head := make([]byte, xzHeader)
	if err := block.ReadFull(ctx, src, head, s.off); err != nil {
		return s, err
	}
	flags := head[xzFlags:xzFlagsSum]
	switch stored, sum := binary.LittleEndian.Uint32(head[xzFlagsSum:]), crc32.ChecksumIEEE(flags); {
	case string(head[:len(xzMagic)]) != xzMagic:
		return s, ondisk.Corrupt("xz stream header", s.off, "no signature where the index says that the stream begins")
	case stored != sum:
		return s, ondisk.BadChecksum("xz stream header", s.off, stored, sum)
	case string(flags) != string(foot[xzFootFlags:xzFootMagic]):
		return s, ondisk.Corrupt("xz stream header", s.off, "other flags than in the footer")
	case flags[0] != 0 || flags[1]&^xzCheckMask != 0:
		return s, ondisk.Unsupported(xzWhat, "flags %#x", flags)
	}
	s.check = flags[1]
	if _, err := checkOf(s.check); err != nil {
		return s, err
	}
	return s, nil
}

// parseIndex reads the index in b and answers how many bytes its blocks take.
func (s *xzStream) parseIndex(b []byte, off int64) (blocks int64, err error) {
	corrupt := func(format string, args ...any) (int64, error) {
		return 0, ondisk.Corrupt("xz index", off, format, args...)
	}
	body := b[:len(b)-4]
	if stored, sum := binary.LittleEndian.Uint32(b[len(body):]), crc32.ChecksumIEEE(body); stored != sum {
		return 0, ondisk.BadChecksum("xz index", off, stored, sum)
	}
	if len(body) == 0 || body[0] != 0 {
		return corrupt("no index indicator")
	}
	at := 1
	next := func() (int64, bool) {
		v, n := varint(body[at:])
		at += n
		return v, n > 0
	}
	count, ok := next()
	if !ok || count > int64(len(body))/2 {
		return corrupt("%d records in %d bytes", count, len(body))
	}
	var size int64
	for i := range count {
		unpadded, ok1 := next()
		plain, ok2 := next()
		if !ok1 || !ok2 || unpadded == 0 {
			return corrupt("record %d is damaged", i)
		}
		if unpadded > math.MaxInt64-3-blocks-3 || plain > math.MaxInt64-size {
			return corrupt("record %d: sizes of %d and %d bytes", i, unpadded, plain)
		}
		blocks += (unpadded + 3) &^ 3
		size += plain
		s.records = append(s.records, xzRecord{unpadded, plain})
	}
	if (at+3)&^3 != len(body) || !isZero(body[at:]) {
		return corrupt("%d bytes, where its records take %d", len(body), at)
	}
	return blocks, nil
}

// varint is a number of up to nine bytes, section 1.2: n is 0 where b has none.
func varint(b []byte) (v int64, n int) {
	for i := 0; i < 9 && i < len(b); i++ {
		v |= int64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			if b[i] == 0 && i > 0 {
				return 0, 0
			}
			return v, i + 1
		}
	}
	return 0, 0
}

// unpackBlock decodes a block.
func (x *xzIndex) unpackBlock(i int, raw []byte) ([]byte, error) {
	p, b := x.pieces[i], x.blocks[i]
	if int64(len(raw)) < p.size {
		return nil, ondisk.Corrupt("xz block", p.at, "it has %d bytes, not %d", len(raw), p.size)
	}
	out, err := decodeXZ(raw[:p.size], int(p.size-b.len), b.check, p.len)
	if err != nil {
		return nil, fmt.Errorf("xz block at byte %d: %w", p.at, err)
	}
	return out, nil
}
