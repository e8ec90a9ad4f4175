package luks

import (
	"encoding/binary"
	"strings"
)

// Offsets and sizes in bytes; numbers are big-endian.
const (
	magicSize     = 6
	versionOffset = 6 // u16

	// LUKS1, section 2.3.
	v1Cipher      = 8 // 32 characters, as the next two
	v1Mode        = 40
	v1Hash        = 72
	v1Payload     = 104 // u32, in sectors
	v1KeyBytes    = 108 // u32
	v1Digest      = 112 // 20 bytes
	v1DigestSize  = 20
	v1DigestSalt  = 132 // 32 bytes
	v1SaltSize    = 32
	v1DigestIter  = 164 // u32
	v1UUID        = 168 // 40 characters
	v1Slots       = 208
	v1SlotCount   = 8
	v1SlotSize    = 48
	v1HeaderSize  = v1Slots + v1SlotCount*v1SlotSize
	slotActive    = 0 // u32
	slotIter      = 4 // u32
	slotSalt      = 8
	slotOffset    = 40 // u32, in sectors
	slotStripes   = 44 // u32
	activeSlot    = 0x00AC71F3
	sectorSize    = 512
	nameSize      = 32
	v1UUIDSize    = 40
	maxHeaderSize = 4 << 20

	// LUKS2, section 2.1.
	v2Size       = 8  // u64: header and JSON
	v2Sequence   = 16 // u64
	v2Label      = 24 // 48 characters
	v2LabelSize  = 48
	v2Algorithm  = 72  // 32 characters
	v2UUID       = 168 // 40 characters
	v2Offset     = 256 // u64: where this copy is
	v2Checksum   = 448 // 64 bytes
	v2SumSize    = 64
	v2BinarySize = 4096
)

const (
	magic       = "LUKS\xba\xbe"
	secondMagic = "SKUL\xba\xbe"
)

func u16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }

// text is the string of at most n bytes at off, to the first zero.
func text(b []byte, off, n int) string {
	s, _, _ := strings.Cut(string(b[off:off+n]), "\x00")
	return s
}
