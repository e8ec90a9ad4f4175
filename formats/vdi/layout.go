package vdi

import (
	"encoding/binary"
	"fmt"
)

// The header, all little-endian: the fields of VirtualBox's VDI 1.1.
const (
	offSignature   = 64
	offVersion     = 68
	offType        = 76
	offBlockMap    = 340
	offData        = 344
	offSectorSize  = 360
	offDiskSize    = 368
	offBlockSize   = 376
	offBlockExtra  = 380
	offBlocks      = 384
	offUUID        = 392 // of the image
	offModified    = 408 // changes whenever the image does
	offParent      = 424 // the parent's UUID
	offParentState = 440 // what the parent's offModified was
	headerLen      = 456
	uuidLen        = 16
	signature      = 0xbeda107f
	version11      = 0x00010001
	typeDynamic    = 1
	typeFixed      = 2
	typeDiff       = 4
	sector         = 512
	minBlock       = 4096
	maxBlock       = 1 << 30
	entryLen       = 4
	free           = 0xffffffff // never written: the parent's, or zero
	zeroBlock      = 0xfffffffe // discarded
)

// uuid is the text of the UUID at off, whose first fields are little-endian.
func uuid(b []byte, off int) string {
	b = b[off : off+uuidLen]
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le32(b, 0), binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:])
}

const noUUID = "00000000-0000-0000-0000-000000000000"

func le32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
func le64(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
