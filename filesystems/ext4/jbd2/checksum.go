package jbd2

import (
	"encoding/binary"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// zero4 stands for a checksum field while its block is summed.
var zero4 = []byte{0, 0, 0, 0}

// blockChecksum is the CRC-32C, seeded by the journal's UUID, of a block whose
// checksum at off is taken as zero.
func blockChecksum(seed uint32, b []byte, off int) uint32 {
	crc := ondisk.CRC32C(seed, b[:off])
	crc = ondisk.CRC32C(crc, zero4)
	return ondisk.CRC32C(crc, b[off+4:])
}

// dataChecksum is the CRC-32C of a logged block as the log holds it, escaped.
// The sequence number before it keeps copies of other transactions apart.
func dataChecksum(seed, sequence uint32, b []byte) uint32 {
	var seq [4]byte
	binary.BigEndian.PutUint32(seq[:], sequence)
	return ondisk.CRC32C(ondisk.CRC32C(seed, seq[:]), b)
}

// matches says whether the tag's checksum is that of the logged block b.
func (f tagFormat) matches(t tag, seed, sequence uint32, b []byte) bool {
	return t.checksum == f.cut(dataChecksum(seed, sequence, b))
}

// cut is as much of a checksum as a tag holds: version 2 keeps the low 16 bits.
func (f tagFormat) cut(sum uint32) uint32 {
	if f.v3 {
		return sum
	}
	return sum & 0xFFFF
}

// crc32BE continues the kernel's crc32_be, of version 1: polynomial
// 0x04C11DB7, most significant bit first, no inversion.
func crc32BE(crc uint32, p []byte) uint32 {
	for len(p) >= 8 {
		hi := crc ^ binary.BigEndian.Uint32(p)
		crc = crc32BETable[7][hi>>24] ^ crc32BETable[6][hi>>16&0xFF] ^
			crc32BETable[5][hi>>8&0xFF] ^ crc32BETable[4][hi&0xFF] ^
			crc32BETable[3][p[4]] ^ crc32BETable[2][p[5]] ^
			crc32BETable[1][p[6]] ^ crc32BETable[0][p[7]]
		p = p[8:]
	}
	for _, b := range p {
		crc = crc<<8 ^ crc32BETable[0][byte(crc>>24)^b]
	}
	return crc
}

// crc32BETable[k][b] is the CRC of b followed by k zero bytes. It never
// changes.
var crc32BETable = func() (t [8][256]uint32) {
	for i := range t[0] {
		crc := uint32(i) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04C11DB7
			} else {
				crc <<= 1
			}
		}
		t[0][i] = crc
	}
	for k := 1; k < len(t); k++ {
		for i := range t[k] {
			prev := t[k-1][i]
			t[k][i] = prev<<8 ^ t[0][prev>>24]
		}
	}
	return t
}()
