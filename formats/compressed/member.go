package compressed

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// Of a member of a gzip file, RFC 1952, 2.3. Numbers are little-endian.
const (
	memberFlags  = 3
	memberHeader = 10
	memberCRC    = 0 // of the trailer: CRC-32 of what was compressed
	memberSize   = 4 // of the trailer: its size modulo 2^32
	trailerLen   = 8

	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagReserved  = 0xe0

	// maxMemberHeader bounds a header with its extra field, name and comment.
	maxMemberHeader = 128 << 10
)

// headerLen is the length of the member's header that b begins with.
// io.ErrUnexpectedEOF where b ends in it.
func headerLen(b []byte, off int64) (int, error) {
	const what = "gzip member header"
	if len(b) < memberHeader {
		return 0, io.ErrUnexpectedEOF
	}
	if string(b[:len(gzipMagic)]) != gzipMagic {
		return 0, ondisk.Corrupt(what, off, "no signature")
	}
	flags := b[memberFlags]
	if flags&flagReserved != 0 {
		return 0, ondisk.Unsupported("gzip file", "flags %#x", flags&flagReserved)
	}
	n := memberHeader
	if flags&flagExtra != 0 {
		if len(b) < n+2 {
			return 0, io.ErrUnexpectedEOF
		}
		n += 2 + int(binary.LittleEndian.Uint16(b[n:]))
	}
	for _, text := range []byte{flagName, flagComment} {
		if flags&text == 0 {
			continue
		}
		if n > len(b) {
			return 0, io.ErrUnexpectedEOF
		}
		end := bytes.IndexByte(b[n:], 0)
		if end < 0 {
			if len(b) >= maxMemberHeader {
				return 0, ondisk.Corrupt(what, off, "a name or comment without an end")
			}
			return 0, io.ErrUnexpectedEOF
		}
		n += end + 1
	}
	if flags&flagHeaderCRC != 0 {
		n += 2
	}
	if n > len(b) {
		return 0, io.ErrUnexpectedEOF
	}
	return n, nil
}
