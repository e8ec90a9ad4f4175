package qcow2

import "encoding/binary"

// The header, section "Header". All numbers are big-endian.
const (
	offMagic             = 0
	offVersion           = 4
	offBackingOffset     = 8
	offBackingSize       = 16
	offClusterBits       = 20
	offSize              = 24
	offCryptMethod       = 32
	offL1Size            = 36
	offL1Offset          = 40
	offRefcountOffset    = 48
	offRefcountClusters  = 56
	offSnapshotCount     = 60
	offSnapshotsOffset   = 64
	headerLenV2          = 72
	offIncompatible      = 72
	offCompatible        = 80
	offAutoclear         = 88
	offRefcountOrder     = 96
	offHeaderLength      = 100
	headerLenV3          = 104 // the least
	offCompressionType   = 104 // present where the header is longer
	magic                = "QFI\xfb"
	minClusterBits       = 9
	maxClusterBits       = 21 // QEMU's limit, and the issue of the specification's note
	minClusterBitsExtL2  = 14
	maxBackingSize       = 1023
	maxRefcountOrder     = 6
	refOrderV2           = 4 // 16 bits
	cryptAES             = 1
	cryptLUKS            = 2
	compressionZlib      = 0
	compressionZstd      = 1
	maxL1Bytes           = 32 << 20 // QEMU's limit, section "Header", size
	maxRefcountBytes     = 8 << 20  // QEMU's limit, section "Host cluster management"
	maxSnapshots         = 65536    // QEMU's limit
	maxSnapshotBytes     = 64 << 20 // of the table; QEMU's limit
	maxSnapshotExtra     = 1024     // bytes of extra data; QEMU's limit
	extensionHeaderLen   = 8
	extEnd               = 0
	extBackingFormat     = 0xe2792aca
	extFeatureNames      = 0x6803f857
	extEncryption        = 0x0537be77
	extDataFile          = 0x44415441
	extBitmaps           = 0x23852875
	featureNameLen       = 48 // bytes of one entry of the feature name table
	featureIncompatible  = 0  // its type
	maxDataFileName      = 1023
	maxBackingFormatName = 255
)

// incompatible_features.
const (
	incompatDirty       = 1 << 0
	incompatCorrupt     = 1 << 1
	incompatDataFile    = 1 << 2
	incompatCompression = 1 << 3
	incompatExtendedL2  = 1 << 4
	incompatKnown       = incompatDirty | incompatCorrupt | incompatDataFile | incompatCompression | incompatExtendedL2
)

// autoclear_features.
const (
	autoclearBitmaps = 1 << 0
	autoclearRawData = 1 << 1
)

// Refcount table entries, section "Host cluster management". In a refcount
// block narrow counts stand from the least significant bit of a byte upwards.
const (
	refcountReserved = 0x0000_0000_0000_01ff
	refcountOffset   = ^uint64(refcountReserved)
)

// The bitmaps extension and a bitmap directory entry, section "Bitmaps".
const (
	bitmapsCount      = 0
	bitmapsDirSize    = 8
	bitmapsDirOffset  = 16
	bitmapsLen        = 24
	bitmapTableOffset = 0
	bitmapTableSize   = 8
	bitmapFlags       = 12
	bitmapNameLen     = 18
	bitmapExtraLen    = 20
	bitmapHeaderLen   = 24
	bitmapInUse       = 1 << 0
	bitmapAuto        = 1 << 1
	maxBitmaps        = 65535    // QEMU's limit
	maxBitmapDirBytes = 64 << 20 // QEMU's limit
	maxBitmapTable    = 8 << 20  // entries; QEMU has no image with more
)

// L1 and L2 entries, section "Cluster mapping".
const (
	entryLen         = 8
	extendedEntryLen = 16
	subclusters      = 32

	entryOffset = 0x00ff_ffff_ffff_fe00 // bits 9-55: host offset

	l1Copied   = 1 << 63
	l1Reserved = 0x7f00_0000_0000_01ff

	l2Copied          = 1 << 63
	l2Compressed      = 1 << 62
	l2Zero            = 1 << 0
	l2Reserved        = 0x3f00_0000_0000_01fe
	compressedMaxOff  = 1<<56 - 1 // no host offset may have a higher bit
	compressedSector  = 512
	allSubclusters    = 1<<subclusters - 1
	subclusterZeroBit = 32 // of the allocation bitmap: the zero bits
)

// A snapshot table entry, section "Snapshots".
const (
	snapL1Offset     = 0
	snapL1Size       = 8
	snapIDLen        = 12
	snapNameLen      = 14
	snapSeconds      = 16
	snapExtraLen     = 36
	snapHeaderLen    = 40
	snapExtraSize    = 8 // of the extra data: the disk's size
	snapExtraSizeEnd = 16
)

func be16(b []byte, off int) uint16 { return binary.BigEndian.Uint16(b[off:]) }
func be32(b []byte, off int) uint32 { return binary.BigEndian.Uint32(b[off:]) }
func be64(b []byte, off int) uint64 { return binary.BigEndian.Uint64(b[off:]) }
