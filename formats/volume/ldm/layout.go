package ldm

import (
	"encoding/binary"
	"fmt"
)

// Offsets and sizes in bytes; numbers are big-endian but for those of MBR and
// GPT. What is counted in sectors says so.
const (
	// The private header.
	privMagic      = "PRIVHEAD"
	privMajor      = 12  // u16
	privMinor      = 14  // u16
	privDisk       = 48  // GUID as text, zero-padded
	privGroup      = 176 // the same
	privGroupName  = 240
	privData       = 283 // u64: the first sector that partitions count from
	privDataSize   = 291 // u64: sectors
	privConfig     = 299 // u64: the sector where the database begins
	privConfigSize = 307 // u64: sectors
	privSize       = 512
	textGUID       = 64
	textName       = 31

	privSector = 6              // of an MBR disk
	privCopies = 2048           // sectors at the end of an MBR disk for the database
	privCopy1  = privCopies - 1 // in these: the last sector
	privCopy2  = 1856           // in these
	maxConfig  = 64 << 20       // bytes of a database
	mbrKind    = 0x42           // of a partition of a dynamic disk
	gptKind    = 0xee           // of the MBR before a GPT
	gptData    = "af9b60a0-1431-4f62-bc68-3311714a69ad"
	gptMeta    = "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"
	mbrEntries = 446 // four of 16 bytes
	mbrEntry   = 16
	mbrType    = 4 // in an entry

	// GPT, UEFI 5.3.
	gptMagic     = "EFI PART"
	gptTable     = 72 // u64: sector
	gptCount     = 80 // u32
	gptEntrySize = 84 // u32
	gptID        = 16 // in an entry
	gptFirst     = 32 // u64
	gptLast      = 40 // u64
	gptName      = 56 // 36 UTF-16 code units
	gptNameEnd   = 128
	maxGPT       = 1 << 20 // bytes of a table

	// The table of contents: two copies at the start of the database and two
	// at its end.
	tocMagic   = "TOCBLOCK"
	tocFirst   = 36 // of two entries
	tocEntry   = 34
	tocStart   = 10 // in an entry, u64: sectors from the database's start
	tocNameLen = 8
	tocConfig  = "config"

	// The VMDB.
	vmdbMagic     = "VMDB"
	vmdbBlockSize = 8   // u32: bytes of a VBLK
	vmdbFirst     = 12  // u32: bytes from the VMDB to the first VBLK
	vmdbStatus    = 16  // u16
	vmdbCommitted = 117 // u64: sequence
	vmdbPending   = 125
	vmdbSize      = 512
	statusClean   = 1

	// A VBLK, and behind its header that of a record.
	vblkMagic  = "VBLK"
	vblkRecord = 8  // u32: the record's id, where it takes several
	vblkIndex  = 12 // u16
	vblkCount  = 14 // u16
	vblkHeader = 16
	recFlags   = 2 // u8
	recType    = 3 // u8: revision and type
	recHeader  = 8
	minVBLK    = 64
	maxVBLK    = 4096

	// Records, by type and revision.
	typeVolume    = 0x51
	typeComponent = 0x32
	typePartition = 0x33
	typeDisk3     = 0x34
	typeDisk4     = 0x44
	typeGroup3    = 0x35
	typeGroup4    = 0x45

	volumeStateLen = 14
	volumeGen      = 3
	volumeRAID5    = 4
	volumeID1      = 0x08 // flags: what follows the fixed fields
	volumeID2      = 0x20
	volumeSize2    = 0x80
	volumeHint     = 0x02

	componentStriped = 1
	componentSpanned = 2
	componentRAID    = 3
	componentChunk   = 0x10 // flag: a chunk size and columns follow
	partitionIndex   = 0x08 // flag: an index follows
)

func be16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
func be32(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
func be64(b []byte, at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
func le32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func le64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// guid writes a GUID whose bytes are in the order of its digits.
func guid(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// mixedGUID writes a GUID as GPT has it.
func mixedGUID(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le32(b, 0), binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}
