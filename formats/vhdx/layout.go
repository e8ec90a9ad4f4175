package vhdx

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// All numbers are little-endian. Sections are those of [MS-VHDX].
const (
	kb = 1 << 10
	mb = 1 << 20

	fileSignature = "vhdxfile" // 2.2.1
	offHeader1    = 64 * kb
	offHeader2    = 128 * kb
	offRegions1   = 192 * kb
	offRegions2   = 256 * kb
)

// A header, 2.2.2.
const (
	headerLen       = 4 * kb
	headerSignature = "head"
	offChecksum     = 4 // of all structures with a checksum
	offSequence     = 8
	offDataWrite    = 32
	offLogGUID      = 48
	offLogVersion   = 64
	offVersion      = 66
	offLogLength    = 68
	offLogOffset    = 72
	version         = 1
)

// A region table, 2.2.3.
const (
	regionsLen       = 64 * kb
	regionsSignature = "regi"
	offRegionCount   = 8
	regionHeaderLen  = 16
	regionEntryLen   = 32
	maxRegions       = 2047
	regionOffset     = 16
	regionLength     = 24
	regionRequired   = 28
)

// A log entry, 2.3.1.
const (
	logSector      = 4 * kb
	logSignature   = "loge"
	logEntryLength = 8
	logTail        = 12
	logSequence    = 16
	logDescCount   = 24
	logGUID        = 32
	logFlushed     = 48
	logLast        = 56
	logHeaderLen   = 64
	descLen        = 32
	zeroSignature  = "zero"
	descSignature  = "desc"
	descTrailing   = 4
	descLeading    = 8 // of a zero descriptor: its length
	descOffset     = 16
	descSequence   = 24
	dataSignature  = "data"
	dataSeqHigh    = 4
	dataFirst      = 8
	dataLast       = 4092 // and the low half of the sequence number
)

// The BAT, 2.5.
const (
	batEntryLen   = 8
	batState      = 7
	batOffset     = 1<<64 - mb
	notPresent    = 0
	undefined     = 1
	zero          = 2
	unmapped      = 3
	unmappedOld   = 5 // in version 0.95 of the specification
	present       = 6
	partial       = 7
	chunkSectors  = 1 << 23
	bitmapPresent = 6
)

// The metadata table, 2.6.
const (
	metaTableLen    = 64 * kb
	metaSignature   = "metadata"
	offMetaCount    = 10
	metaHeaderLen   = 32
	metaEntryLen    = 32
	maxMeta         = 2047
	metaOffset      = 16
	metaLength      = 20
	metaFlags       = 24
	metaUser        = 1 << 0
	metaRequired    = 1 << 2
	maxMetaItem     = mb
	paramsBlockSize = 0
	paramsFlags     = 4
	paramsHasParent = 1 << 1
	minBlock        = mb
	maxBlock        = 256 * mb
	maxDisk         = 64 << 40
)

// A parent locator, 2.6.2.6.
const (
	locatorCount    = 18
	locatorFirst    = 20
	locatorEntryLen = 12
	locatorKey      = 0
	locatorValue    = 4
	locatorKeyLen   = 8
	locatorValueLen = 10
)

const (
	guidBAT            = "2dc27766-f623-4200-9d64-115e9bfd4a08"
	guidMetadata       = "8b7ca206-4790-4b9a-b8fe-575f050f886e"
	guidFileParameters = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
	guidDiskSize       = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
	guidDiskID         = "beca12ab-b2e6-4523-93ef-c309e000c746"
	guidLogicalSector  = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
	guidPhysicalSector = "cda348c7-445d-4471-9cc9-e9885251c556"
	guidParentLocator  = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
	guidLocatorVHDX    = "b04aefb7-d19e-4a81-b789-25b8e9445913"
	guidNone           = "00000000-0000-0000-0000-000000000000"
)

// guid is the text of the GUID at off, in lower case.
func guid(b []byte, off int) string {
	b = b[off : off+16]
	return fmt.Sprintf("%08x-%04x-%04x-%s-%s", le32(b, 0), le16(b, 4), le16(b, 6), hex.EncodeToString(b[8:10]), hex.EncodeToString(b[10:]))
}

func le16(b []byte, off int) uint16 { return binary.LittleEndian.Uint16(b[off:]) }
func le32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
func le64(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
