package parallels

import "encoding/binary"

// The header, QEMU's docs/interop/parallels, section "Header". All numbers are
// little-endian.
const (
	magicOld    = "WithoutFreeSpace" // BAT entries are in sectors
	magicExt    = "WithouFreSpacExt" // and in clusters here
	offVersion  = 16
	offTracks   = 28
	offEntries  = 32
	offSectors  = 36
	offInUse    = 44
	offDataOff  = 48
	offFlags    = 52
	headerLen   = 64
	version     = 2
	inUse       = 0x746f6e59
	flagEmpty   = 1 << 0
	entryLen    = 4
	sector      = 512
	maxTracks   = 1 << 30 / sector
	maxSectors  = 1 << 52
	maxBATBytes = 1 << 32
)

func le32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
func le64(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
