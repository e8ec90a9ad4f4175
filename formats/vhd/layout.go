package vhd

import "encoding/binary"

// All numbers are big-endian. Names are those of Microsoft's "Virtual Hard Disk
// Image Format Specification", version 1.0.
const sector = 512

// The hard disk footer, and its copy at the beginning of other than fixed disks.
const (
	footerLen       = 512
	offCookie       = 0
	offVersion      = 12
	offDataOffset   = 16
	offCreator      = 28
	offCurrentSize  = 48
	offCylinders    = 56
	offHeads        = 58
	offSectors      = 59
	offDiskType     = 60
	offFooterSum    = 64
	offUniqueID     = 68
	uuidLen         = 16
	cookie          = "conectix"
	version1        = 0x00010000
	typeFixed       = 2
	typeDynamic     = 3
	typeDiff        = 4
	maxCHS          = 65535 * 16 * 255 // sectors: the geometry says no more than this
	maxSize         = 1 << 41          // bytes: places are sectors of 32 bits
	creatorVPC      = "vpc "
	creatorVS       = "vs  "
	creatorQEMU     = "qemu"
	creatorLen      = 4
	headerLen       = 1024
	headerCookie    = "cxsparse"
	offTableOffset  = 16
	offHeaderVer    = 24
	offMaxEntries   = 28
	offBlockSize    = 32
	offHeaderSum    = 36
	offParentID     = 40
	offParentName   = 64
	parentNameLen   = 512
	offLocators     = 576
	locators        = 8
	locatorLen      = 24
	locatorCode     = 0
	locatorDataLen  = 8
	locatorDataOff  = 16
	maxLocator      = 64 << 10
	platformRel     = "W2ru" // UTF-16, little-endian
	platformAbs     = "W2ku"
	platformURL     = "MacX" // a file URL, UTF-8
	batEntryLen     = 4
	unused          = 0xffffffff
	minBlock        = sector
	maxBlock        = 1 << 30
	bitsPerByte     = 8
	sectorsPerBlock = sector * bitsPerByte // of the bitmap
)

func be16(b []byte, off int) uint16 { return binary.BigEndian.Uint16(b[off:]) }
func be32(b []byte, off int) uint32 { return binary.BigEndian.Uint32(b[off:]) }
func be64(b []byte, off int) uint64 { return binary.BigEndian.Uint64(b[off:]) }
