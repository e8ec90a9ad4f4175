package redo

import "encoding/binary"

// The layout of a sidecar. Numbers are little-endian. Checksums are CRC-32C
// with inversion neither before nor after, seeded as crcOf says.

const (
	sector     = 512
	headerSize = sector // of the header and of what is written of it at once

	magicHeader = "GCTLREDO"
	magicFrame  = 0x46524D45
	version     = 1

	// OwnerSize is the length of an owner.
	OwnerSize = 64
)

// header is the first sector.
type header []byte

func (h header) magic() string     { return string(h[0:8]) }
func (h header) version() uint32   { return get32(h, 8) }
func (h header) blockSize() uint32 { return get32(h, 12) }
func (h header) size() uint64      { return get64(h, 16) } // of the volume, in bytes
func (h header) salt() uint64      { return get64(h, 24) }
func (h header) sequence() uint64  { return get64(h, 32) } // of the first frame
func (h header) owner() []byte     { return h[40 : 40+OwnerSize] }
func (h header) checksum() uint32  { return get32(h, headerSize-4) }

func (h header) set(blockSize uint32, size, salt, sequence uint64, owner []byte) {
	clear(h)
	copy(h, magicHeader)
	put32(h, 8, version)
	put32(h, 12, blockSize)
	put64(h, 16, size)
	put64(h, 24, salt)
	put64(h, 32, sequence)
	copy(h.owner(), owner)
	put32(h, headerSize-4, crcOf(0, h[:headerSize-4]))
}

// frame is the start of a frame. Behind it are the entries of the blocks, the
// byte offsets of the revoked blocks, a checksum of all so far, the blocks
// themselves, and a checksum of them.
type frame []byte

const frameSize = 40

func (f frame) magic() uint32    { return get32(f, 0) }
func (f frame) blocks() uint32   { return get32(f, 4) }
func (f frame) revokes() uint32  { return get32(f, 8) }
func (f frame) salt() uint64     { return get64(f, 16) }
func (f frame) sequence() uint64 { return get64(f, 24) }

func (f frame) set(blocks, revokes int, salt, sequence uint64) {
	put32(f, 0, magicFrame)
	put32(f, 4, uint32(blocks))
	put32(f, 8, uint32(revokes))
	put64(f, 16, salt)
	put64(f, 24, sequence)
}

// An entry is a block's byte offset at home, and of each of its sectors the
// checksum before and after.
type entry []byte

func entrySize(blockSize int) int { return 8 + blockSize/sector*8 }

func (e entry) off() int64             { return int64(get64(e, 0)) }
func (e entry) before(i int) uint32    { return get32(e, 8+i*8) }
func (e entry) after(i int) uint32     { return get32(e, 12+i*8) }
func (e entry) setOff(off int64)       { put64(e, 0, uint64(off)) }
func (e entry) set(i int, b, a uint32) { put32(e, 8+i*8, b); put32(e, 12+i*8, a) }
func headLen(blocks, revokes, size int) int {
	return frameSize + blocks*entrySize(size) + revokes*8 + 4
}

func get32(b []byte, at int) uint32    { return binary.LittleEndian.Uint32(b[at:]) }
func get64(b []byte, at int) uint64    { return binary.LittleEndian.Uint64(b[at:]) }
func put32(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
func put64(b []byte, at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
