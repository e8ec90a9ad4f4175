package vmdk

import "encoding/binary"

// All numbers are little-endian, and all places are in sectors of 512 bytes.
const sector = 512

// The header of a hosted sparse extent, Virtual Disk Format 5.0, "Hosted
// Sparse Extents"; the footer of a stream-optimized one is the same.
const (
	offMagic         = 0
	offVersion       = 4
	offFlags         = 8
	offCapacity      = 12
	offGrainSize     = 20
	offDescOffset    = 28
	offDescSize      = 36
	offGTEsPerGT     = 44
	offGDOffset      = 56
	offOverhead      = 64
	offUnclean       = 72
	offNewlines      = 73 // "\n \r\n"
	offCompression   = 77
	headerLen        = 512
	magicSparse      = "KDMV"
	newlines         = "\n \r\n"
	maxVersion       = 3
	flagNewlines     = 1 << 0
	flagZeroGrain    = 1 << 2
	flagCompressed   = 1 << 16
	flagMarkers      = 1 << 17
	gdAtEnd          = 1<<64 - 1
	compressionNone  = 0
	compressionZlib  = 1
	maxGTEs          = 512      // QEMU's limit, and the only number in use
	maxGrainSectors  = 0x200000 // QEMU's limit
	maxPackedSectors = 16 << 20 / sector
	entryLen         = 4
	zeroGrain        = 1 // a grain table entry, with flagZeroGrain
)

// A marker of a stream-optimized extent, "Stream-Optimized Compressed Sparse
// Extents": of a grain, where its size is not 0, or of metadata.
const (
	markSize   = 8
	markGrain  = 12 // the compressed grain
	markerLen  = 12
	footerLast = 2 * sector // the footer begins this far before the end
	footerPad  = 64 << 10   // zeros behind the end of the stream that are tolerated
)

// The header of an ESX Server sparse extent, "ESX Server Sparse Extents".
const (
	cowdCapacity  = 12
	cowdGrainSize = 16
	cowdGDOffset  = 20
	cowdGDEntries = 24
	cowdLen       = 2048
	magicCOWD     = "COWD"
	cowdVersion   = 1
	cowdGTEs      = 4096
)

// The constant header of an seSparse extent and the volatile one. VMware has
// not published the format; these are what QEMU's vmdk driver reads.
const (
	seMagic         = 0
	seVersion       = 8
	seCapacity      = 16
	seGrainSize     = 24
	seGTSize        = 32
	seFlags         = 40
	seReserved      = 48 // four numbers
	seReservedEnd   = 80
	seVolatile      = 80
	seGDOffset      = 128
	seGDSize        = 136
	seGTOffset      = 144
	seGrains        = 192
	sePad           = 208
	magicSE         = 0xcafebabe
	magicSEVolatile = 0xcafecafe
	seVersion21     = 0x0000000200000001
	seReplay        = 24 // of the volatile header
	seVolatilePad   = 32
	seEntryLen      = 8
	seGrainSectors  = 8
	seGTSectors     = 64
	seGTEs          = seGTSectors * sector / seEntryLen
	seGDAllocated   = 0x1000_0000_0000_0000
	seGDKind        = 0xffff_ffff_0000_0000
	seKind          = 0xf000_0000_0000_0000
	seUnmapped      = 0x1000_0000_0000_0000
	seZero          = 0x2000_0000_0000_0000
	seAllocated     = 0x3000_0000_0000_0000
	seIndexHigh     = 0x0000_ffff_ffff_ffff // shifted left by 12
	seIndexLow      = 0x0fff_0000_0000_0000 // shifted right by 48
)

func le16(b []byte, off int) uint16 { return binary.LittleEndian.Uint16(b[off:]) }
func le32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
func le64(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
