package lvm2

import (
	"encoding/binary"
	"hash/crc32"
)

// Offsets and sizes in bytes; all numbers are little-endian. Names are those of
// lib/format_text/layout.h in LVM2.
const (
	sector = 512

	labelSectors = 4 // the label is in one of the first ones
	labelSize    = sector

	// label_header
	labelID     = 0  // "LABELONE"
	labelSector = 8  // u64: the sector that it is in
	labelCRC    = 16 // u32, over the bytes from labelOffset to the end of the sector
	labelOffset = 20 // u32: of the pv_header from here
	labelType   = 24 // "LVM2 001"
	labelEnd    = 32

	// pv_header
	pvUUID   = 0  // 32 characters
	pvSize   = 32 // u64: bytes of the device
	pvAreas  = 40 // disk_locn: data areas, a zero one, metadata areas, a zero one
	areaSize = 16 // u64 offset, u64 size

	// mda_header
	mdaSize     = 512
	mdaCRC      = 0 // u32, over the rest
	mdaMagic    = 4 // " LVM2 x[5A%r0N*>"
	mdaVersion  = 20
	mdaStart    = 24 // u64: where this header is
	mdaLength   = 32 // u64: of header and ring buffer
	mdaLocns    = 40 // raw_locn: committed, precommitted; a zero one ends the list
	rawOffset   = 0  // u64: from mdaStart
	rawSize     = 8  // u64
	rawCRC      = 16 // u32
	rawFlags    = 20 // u32
	rawLocnSize = 24

	rawIgnored = 1 // the area is not in use
)

const (
	labelMagic = "LABELONE"
	labelKind  = "LVM2 001"
	areaMagic  = " LVM2 x[5A%r0N*>"

	// initialCRC starts every checksum of LVM.
	initialCRC = 0xf597a6cf
)

// checksum is calc_crc of LVM: the reflected CRC-32 without its inversions.
func checksum(b []byte) uint32 { return ^crc32.Update(^uint32(initialCRC), crc32.IEEETable, b) }

func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
