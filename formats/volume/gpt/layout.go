package gpt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unicode/utf16"
)

// UEFI 2.10, 5.3.2, GPT header.
//
//	 0  Signature                  8  "EFI PART"
//	 8  Revision                   4  0x00010000
//	12  HeaderSize                 4  92 .. logical block size
//	16  HeaderCRC32                4  over HeaderSize bytes, itself taken as 0
//	20  Reserved                   4
//	24  MyLBA                      8
//	32  AlternateLBA               8
//	40  FirstUsableLBA             8
//	48  LastUsableLBA              8
//	56  DiskGUID                  16
//	72  PartitionEntryLBA          8
//	80  NumberOfPartitionEntries   4
//	84  SizeOfPartitionEntry       4  128 * 2^n
//	88  PartitionEntryArrayCRC32   4
type header []byte

const (
	signature     = "EFI PART"
	headerMinSize = 92
	offHeaderCRC  = 16
)

func (h header) signed() bool         { return string(h[0:8]) == signature }
func (h header) size() uint32         { return binary.LittleEndian.Uint32(h[12:]) }
func (h header) headerCRC() uint32    { return binary.LittleEndian.Uint32(h[offHeaderCRC:]) }
func (h header) myLBA() uint64        { return binary.LittleEndian.Uint64(h[24:]) }
func (h header) alternateLBA() uint64 { return binary.LittleEndian.Uint64(h[32:]) }
func (h header) entryLBA() uint64     { return binary.LittleEndian.Uint64(h[72:]) }
func (h header) entries() uint32      { return binary.LittleEndian.Uint32(h[80:]) }
func (h header) entrySize() uint32    { return binary.LittleEndian.Uint32(h[84:]) }
func (h header) entriesCRC() uint32   { return binary.LittleEndian.Uint32(h[88:]) }

// computeCRC is the header's checksum; size must lie inside h.
func (h header) computeCRC(size uint32) uint32 {
	crc := crc32.ChecksumIEEE(h[:offHeaderCRC])
	crc = crc32.Update(crc, crc32.IEEETable, make([]byte, 4))
	return crc32.Update(crc, crc32.IEEETable, h[offHeaderCRC+4:size])
}

// UEFI 2.10, 5.3.3, GPT partition entry.
//
//	 0  PartitionTypeGUID    16  zero: unused
//	16  UniquePartitionGUID  16
//	32  StartingLBA           8
//	40  EndingLBA             8  the last one that belongs to it
//	48  Attributes            8
//	56  PartitionName        72  36 code units of UTF-16, little-endian
type entry []byte

const entryMinSize = 128

func (e entry) typeGUID() guid      { return guid(e[0:16]) }
func (e entry) uniqueGUID() guid    { return guid(e[16:32]) }
func (e entry) startingLBA() uint64 { return binary.LittleEndian.Uint64(e[32:]) }
func (e entry) endingLBA() uint64   { return binary.LittleEndian.Uint64(e[40:]) }

// name is the partition's name, to the first zero. What is not UTF-16 becomes
// U+FFFD.
func (e entry) name() string {
	var units []uint16
	for b := e[56:128]; len(b) > 0; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// A guid stands on disk with its first three fields little-endian (UEFI 2.10,
// appendix A).
type guid [16]byte

func (g guid) format(layout string) string {
	return fmt.Sprintf(layout, binary.LittleEndian.Uint32(g[0:]), binary.LittleEndian.Uint16(g[4:]), binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:16])
}

func (g guid) lower() string { return g.format("%08x-%04x-%04x-%x-%x") }
func (g guid) upper() string { return g.format("%08X-%04X-%04X-%X-%X") }

// UEFI 2.10, 5.2.3, protective MBR: a legacy MBR with an entry of type 0xEE.
const (
	pmbrSize      = 512
	pmbrEntries   = 446
	pmbrEntrySize = 16
	pmbrOSType    = 4
	pmbrSignature = 510
	protective    = 0xEE
)

// isProtective says whether the MBR b has an entry that protects a GPT, alone
// (UEFI) or beside others (a hybrid MBR).
func isProtective(b []byte) bool {
	if b[pmbrSignature] != 0x55 || b[pmbrSignature+1] != 0xAA {
		return false
	}
	for i := range 4 {
		if b[pmbrEntries+i*pmbrEntrySize+pmbrOSType] == protective {
			return true
		}
	}
	return false
}

// isEmpty says whether the MBR b says nothing: no signature and no entries.
func isEmpty(b []byte) bool {
	for _, c := range b[pmbrEntries:pmbrSize] {
		if c != 0 {
			return false
		}
	}
	return true
}
