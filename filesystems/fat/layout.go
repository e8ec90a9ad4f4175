package fat

import "encoding/binary"

var le = binary.LittleEndian

// bootSector is a FAT boot sector with its BIOS parameter block (fatgen,
// "Boot Sector and BPB"). At least 512 bytes.
type bootSector []byte

func (b bootSector) jump() byte          { return b[0] }
func (b bootSector) bytesPerSec() uint16 { return le.Uint16(b[11:]) }
func (b bootSector) secPerClus() uint8   { return b[13] }
func (b bootSector) rsvdSecCnt() uint16  { return le.Uint16(b[14:]) }
func (b bootSector) numFATs() uint8      { return b[16] }
func (b bootSector) rootEntCnt() uint16  { return le.Uint16(b[17:]) }
func (b bootSector) totSec16() uint16    { return le.Uint16(b[19:]) }
func (b bootSector) media() uint8        { return b[21] }
func (b bootSector) fatSz16() uint16     { return le.Uint16(b[22:]) }
func (b bootSector) totSec32() uint32    { return le.Uint32(b[32:]) }
func (b bootSector) signature() uint16   { return le.Uint16(b[510:]) }

// FAT32 only.
func (b bootSector) fatSz32() uint32  { return le.Uint32(b[36:]) }
func (b bootSector) extFlags() uint16 { return le.Uint16(b[40:]) }
func (b bootSector) fsVer() uint16    { return le.Uint16(b[42:]) }
func (b bootSector) rootClus() uint32 { return le.Uint32(b[44:]) }
func (b bootSector) fsInfo() uint16   { return le.Uint16(b[48:]) }

// The extended boot record stands at 36, or at 64 in FAT32.
type bootTail []byte

func (b bootSector) tail(fat32 bool) bootTail {
	if fat32 {
		return bootTail(b[64:])
	}
	return bootTail(b[36:])
}
func (t bootTail) state() uint8   { return t[1] }
func (t bootTail) bootSig() uint8 { return t[2] }
func (t bootTail) volID() uint32  { return le.Uint32(t[3:]) }
func (t bootTail) volLab() []byte { return t[7:18] }

// fsInfoSector is FAT32's FSInfo (fatgen, "FAT32 FSInfo Sector Structure").
type fsInfoSector []byte

func (f fsInfoSector) leadSig() uint32   { return le.Uint32(f[0:]) }
func (f fsInfoSector) strucSig() uint32  { return le.Uint32(f[484:]) }
func (f fsInfoSector) freeCount() uint32 { return le.Uint32(f[488:]) }

const (
	fsInfoLeadSig  = 0x41615252
	fsInfoStrucSig = 0x61417272
)

// entrySize is the size of a directory entry, in FAT and in exFAT.
const entrySize = 32

// shortEntry is a FAT directory entry (fatgen, "FAT Directory Structure").
type shortEntry []byte

func (e shortEntry) name() []byte       { return e[0:11] }
func (e shortEntry) attr() uint8        { return e[11] }
func (e shortEntry) ntRes() uint8       { return e[12] }
func (e shortEntry) crtTenth() uint8    { return e[13] }
func (e shortEntry) crtTime() uint16    { return le.Uint16(e[14:]) }
func (e shortEntry) crtDate() uint16    { return le.Uint16(e[16:]) }
func (e shortEntry) lstAccDate() uint16 { return le.Uint16(e[18:]) }
func (e shortEntry) fstClusHI() uint16  { return le.Uint16(e[20:]) }
func (e shortEntry) wrtTime() uint16    { return le.Uint16(e[22:]) }
func (e shortEntry) wrtDate() uint16    { return le.Uint16(e[24:]) }
func (e shortEntry) fstClusLO() uint16  { return le.Uint16(e[26:]) }
func (e shortEntry) fileSize() uint32   { return le.Uint32(e[28:]) }

const (
	entryFree    = 0xE5 // deleted
	entryEnd     = 0x00 // and nothing after it
	entryKanjiE5 = 0x05 // stands for a name that begins with E5h

	attrReadOnly  = 0x01
	attrHidden    = 0x02
	attrSystem    = 0x04
	attrVolumeID  = 0x08
	attrDirectory = 0x10
	attrArchive   = 0x20
	attrLongName  = 0x0F
	attrLongMask  = 0x3F

	ntLowerBase = 0x08
	ntLowerExt  = 0x10
)

// longEntry is one part of a long name (fatgen, "FAT Long Directory Entries").
type longEntry []byte

func (e longEntry) ord() uint8    { return e[0] }
func (e longEntry) chksum() uint8 { return e[13] }

const (
	lastLongEntry = 0x40
	longUnits     = 13 // UTF-16 units in one entry
	maxLongParts  = 20
)

// units appends the 13 UTF-16 units to dst.
func (e longEntry) units(dst []uint16) []uint16 {
	for _, part := range [...][]byte{e[1:11], e[14:26], e[28:32]} {
		for i := 0; i < len(part); i += 2 {
			dst = append(dst, le.Uint16(part[i:]))
		}
	}
	return dst
}

// exBoot is the exFAT main boot sector (exFAT 3.1).
type exBoot []byte

func (b exBoot) name() string         { return string(b[3:11]) }
func (b exBoot) mustBeZero() []byte   { return b[11:64] }
func (b exBoot) volumeLength() uint64 { return le.Uint64(b[72:]) }
func (b exBoot) fatOffset() uint32    { return le.Uint32(b[80:]) }
func (b exBoot) fatLength() uint32    { return le.Uint32(b[84:]) }
func (b exBoot) heapOffset() uint32   { return le.Uint32(b[88:]) }
func (b exBoot) clusterCount() uint32 { return le.Uint32(b[92:]) }
func (b exBoot) rootCluster() uint32  { return le.Uint32(b[96:]) }
func (b exBoot) serial() uint32       { return le.Uint32(b[100:]) }
func (b exBoot) revision() uint16     { return le.Uint16(b[104:]) }
func (b exBoot) volumeFlags() uint16  { return le.Uint16(b[106:]) }
func (b exBoot) sectorShift() uint8   { return b[108] }
func (b exBoot) clusterShift() uint8  { return b[109] }
func (b exBoot) numberOfFats() uint8  { return b[110] }
func (b exBoot) signature() uint16    { return le.Uint16(b[510:]) }

const (
	exName       = "EXFAT   "
	exActiveFat  = 0x1
	exDirty      = 0x2
	exBootRegion = 12 // sectors of the main, and again of the backup boot region
)

// exEntry is an exFAT directory entry (exFAT 6.2): its type in byte 0.
type exEntry []byte

func (e exEntry) kind() uint8 { return e[0] }

const (
	exInUse    = 0x80
	exEnd      = 0x00
	exBitmap   = 0x81
	exUpcase   = 0x82
	exLabel    = 0x83
	exFile     = 0x85
	exStream   = 0xC0
	exFileName = 0xC1
	// exBenign marks kinds that may be skipped when unknown (exFAT 6.2.1.2).
	exBenign    = 0x20
	exSecondary = 0x40
)

// File entry (exFAT 7.4).
func (e exEntry) secondaryCount() uint8 { return e[1] }
func (e exEntry) setChecksum() uint16   { return le.Uint16(e[2:]) }
func (e exEntry) attributes() uint16    { return le.Uint16(e[4:]) }
func (e exEntry) created() uint32       { return le.Uint32(e[8:]) }
func (e exEntry) modified() uint32      { return le.Uint32(e[12:]) }
func (e exEntry) accessed() uint32      { return le.Uint32(e[16:]) }
func (e exEntry) created10ms() uint8    { return e[20] }
func (e exEntry) modified10ms() uint8   { return e[21] }
func (e exEntry) createdZone() uint8    { return e[22] }
func (e exEntry) modifiedZone() uint8   { return e[23] }
func (e exEntry) accessedZone() uint8   { return e[24] }

// Stream extension (exFAT 7.6). Allocation bitmap and up-case table have their
// first cluster and length at the same places.
func (e exEntry) secondaryFlags() uint8 { return e[1] }
func (e exEntry) nameLength() uint8     { return e[3] }
func (e exEntry) validLength() uint64   { return le.Uint64(e[8:]) }
func (e exEntry) firstCluster() uint32  { return le.Uint32(e[20:]) }
func (e exEntry) dataLength() uint64    { return le.Uint64(e[24:]) }

const exNoFatChain = 0x2

// Up-case table (exFAT 7.2), allocation bitmap (7.1), volume label (7.3).
func (e exEntry) tableChecksum() uint32 { return le.Uint32(e[4:]) }
func (e exEntry) bitmapFlags() uint8    { return e[1] }
func (e exEntry) labelCount() uint8     { return e[1] }
func (e exEntry) label() []byte         { return e[2:24] }

// exSetMax is how many entries one set has at most: the file entry, the stream
// extension and the name in 17 parts (exFAT 7.4.2).
const exSetMax = 19

// exNameUnits is how many UTF-16 units one file name entry holds (exFAT 7.7).
const exNameUnits = 15

func (e exEntry) nameUnits(dst []uint16) []uint16 {
	for i := 2; i < entrySize; i += 2 {
		dst = append(dst, le.Uint16(e[i:]))
	}
	return dst
}
