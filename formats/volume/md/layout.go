package md

import "encoding/binary"

// Offsets and sizes in bytes. Version 1 is little-endian; 0.90 has the byte
// order of the machine that made it, and only little-endian is read.
const (
	sector     = 512
	magic      = 0xa92b4efc
	superSize1 = 256 // and two bytes for each role
	superSize0 = 4096

	// mdp_superblock_1
	major         = 4  // u32
	features      = 8  // u32
	setUUID       = 16 // 16 bytes
	setName       = 32 // 32 characters
	setNameSize   = 32
	created       = 64  // u64
	level         = 72  // s32
	layout        = 76  // u32
	usedSize      = 80  // u64, sectors of each member
	chunkSize     = 88  // u32, sectors
	raidDisks     = 92  // u32
	dataOffset    = 128 // u64, sectors
	dataSize      = 136 // u64, sectors
	superOffset   = 144 // u64, sectors
	recovered     = 152 // u64, sectors
	devNumber     = 160 // u32
	badShift      = 185 // u8
	badSize       = 186 // u16, sectors
	badOffset     = 188 // s32, sectors from the superblock
	events        = 200 // u64
	resync        = 208 // u64, sectors in sync; all ones where all are
	checksum      = 216 // u32
	maxDev        = 220 // u32, roles
	roles         = 256 // u16 each
	roleSpare     = 0xffff
	roleFaulty    = 0xfffe
	roleJournal   = 0xfffd
	maxRoles      = 1920 // MD_DISK_... what fits a page
	superOneBytes = superSize1 + 2*maxRoles

	featRecovery    = 1 << 1
	featReshape     = 1 << 2
	featBadBlocks   = 1 << 3
	featReplacement = 1 << 4
	featJournal     = 1 << 9
	featRAID0Layout = 1 << 12

	// mdp_superblock_t, version 0.90; words of 4 bytes.
	minor0       = 2 * 4
	uuid0        = 5 * 4
	created0     = 6 * 4
	level0       = 7 * 4
	size0        = 8 * 4 // KiB of each member
	raidDisks0   = 10 * 4
	mdMinor0     = 11 * 4
	uuid1        = 13 * 4
	uuid2        = 14 * 4
	uuid3        = 15 * 4
	state0       = 33 * 4
	checksum0    = 38 * 4
	events0      = 39 * 4 // u64
	recovery0    = 43 * 4 // sectors in sync
	layout0      = 64 * 4
	chunk0       = 65 * 4 // bytes
	disks0       = 128 * 4
	diskSize0    = 32 * 4
	diskCount0   = 27
	thisDisk0    = 992 * 4
	diskNumber0  = 0
	diskRole0    = 3 * 4
	diskState0   = 4 * 4
	reserved0    = 64 << 10
	stateClean0  = 1 << 0
	diskFaulty0  = 1 << 0
	diskActive0  = 1 << 1
	diskSync0    = 1 << 2
	diskRemoved0 = 1 << 3
)

func u16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// fold is the sum of the 32-bit words of b, one u16 for what is left, folded to
// 32 bits.
func fold(b []byte) uint32 {
	var sum uint64
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(u32(b, 0))
	}
	if len(b) >= 2 {
		sum += uint64(u16(b, 0))
	}
	return uint32(sum) + uint32(sum>>32)
}
