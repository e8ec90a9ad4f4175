package ewf

import "encoding/binary"

// Names are those of libewf's "Expert Witness Compression Format". All numbers
// are little-endian; all checksums are Adler-32.
const (
	magic        = "EVF\x09\x0d\x0a\xff\x00"
	magicLogical = "LVF\x09\x0d\x0a\xff\x00"
	magic2       = "EVF2\x0d\x0a\x81\x00"
	magic2Lx     = "LEF2\x0d\x0a\x81\x00"
	magicLen     = 8
	offSegment   = 9
	fileHeader   = 13
)

// A section descriptor.
const (
	sectionType    = 0
	sectionTypeLen = 16
	sectionNext    = 16
	sectionSize    = 24
	sectionSum     = 72
	sectionLen     = 76
)

// The data of a volume, disk or data section. That of SMART is shorter.
const (
	volChunks       = 4
	volPerChunk     = 8
	volSectorSize   = 12
	volSectors      = 16 // 32 bits in SMART's
	volSum          = 1048
	volLen          = 1052
	volSmartSum     = 90
	volSmartLen     = 94
	maxChunk        = 64 << 20
	maxSize         = 1 << 56
	minSectorSize   = 512
	maxSectorSize   = 4096
	tableEntries    = 0
	tableBase       = 8
	tableSum        = 20
	tableHeader     = 24
	entryLen        = 4
	entryCompressed = 1 << 31
	chunkSumLen     = 4
)

func le32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
func le64(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
