package bitlocker

import (
	"encoding/binary"
	"fmt"
)

// Offsets and sizes in bytes; numbers are little-endian.
const (
	// The volume's first sector.
	bootSignature = 3  // "-FVE-FS-", or "MSWIN4.1" for To Go
	bootSector    = 11 // u16: bytes of a sector
	normalGUID    = 160
	toGoGUID      = 424
	guidSize      = 16
	bootSize      = 512 // the GUID, and behind it three u64: where the metadata is

	// The block header of the metadata, and the metadata's own header.
	metaSize       = 64 << 10 // of an area
	metaVersion    = 10       // u16
	metaState      = 12       // u16
	metaVolumeSize = 16       // u64
	metaHeaderSize = 28       // u32: sectors of the volume's start that are elsewhere
	metaOffsets    = 32       // three u64
	metaStart      = 56       // u64: where the volume's start is kept
	metaEntries    = 64       // u32: bytes of header and entries from here
	metaHeader     = 48       // bytes of the header
	metaGUID       = 80
	metaMethod     = 100 // u16

	stateEncrypted = 4

	// An entry: u16 size, type, value, version, then data.
	entrySize   = 0
	entryType   = 2
	entryValue  = 4
	entryHeader = 8

	typeVMK         = 0x0002
	typeFVEK        = 0x0003
	typeStartup     = 0x0006
	typeDescription = 0x0007
	typeStart       = 0x000f

	valueKey       = 0x0001
	valueStretch   = 0x0003
	valueEncrypted = 0x0005
	valueExternal  = 0x0009

	vmkProtection = 26 // u16, in the data of a VMK entry
	vmkEntries    = 28

	keyMethod   = 4 // bytes before the key in a key entry, and before the salt in a stretch entry
	saltSize    = 16
	nonceSize   = 12
	tagSize     = 16
	openedKey   = 12 // bytes before the key in what was decrypted
	bekHeader   = 48
	bekEntries  = 24 // of data before the entries of a startup key
	keySize     = 32
	stretchings = 0x100000

	protectClear    = 0x0000
	protectStartup  = 0x0200
	protectRecovery = 0x0800
	protectPassword = 0x2000
)

const (
	signature     = "-FVE-FS-"
	toGoSignature = "MSWIN4.1"
	guidNormal    = "4967d63b-2e29-4ad8-8399-f6a339e3d001"
	guidEOW       = "92a84d3b-dd80-4d0e-9e4e-b1e3284eaed8"
)

func u16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// guid writes a GUID as Windows does.
func guid(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", u32(b, 0), u16(b, 4), u16(b, 6), b[8:10], b[10:16])
}
