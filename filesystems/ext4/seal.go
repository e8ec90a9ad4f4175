package ext4

import (
	"encoding/binary"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// The checksums that the writer sets, each the inverse of a verify function.

func (fs *FileSystem) sealExtentBlock(b []byte, at txn.Addr) {
	if fs.geo.metadataCsum {
		tail := extentHeader + extentNode(b).max()*extentEntry
		set32(b, tail, ondisk.CRC32C(fs.geo.inodeSeed(uint32(at.Owner), at.Gen), b[:tail]))
	}
}

func (fs *FileSystem) sealDirBlock(b []byte, at txn.Addr) {
	if !fs.geo.metadataCsum {
		return
	}
	seed := fs.geo.inodeSeed(uint32(at.Owner), at.Gen)
	from, ok := dxPlace(b)
	if !ok {
		end := len(b) - direntTail
		set32(b, end+direntTailSum, ondisk.CRC32C(seed, b[:end]))
		return
	}
	d := dxEntries(b[from:])
	end := from + d.limit()*dxEntry
	sum := ondisk.CRC32C(seed, b[:from+d.count()*dxEntry])
	sum = ondisk.CRC32C(sum, b[end:end+dxTailChecksum])
	set32(b, end+dxTailChecksum, ondisk.CRC32C(sum, make([]byte, 4)))
}

func (fs *FileSystem) sealXattrBlock(b []byte, at txn.Addr) {
	if !fs.geo.metadataCsum {
		return
	}
	var num [8]byte
	binary.LittleEndian.PutUint64(num[:], uint64(at.Off)>>fs.geo.blockBits)
	crc := ondisk.CRC32C(fs.geo.seed, num[:])
	crc = ondisk.CRC32C(crc, b[:xattrChecksum])
	crc = ondisk.CRC32C(crc, make([]byte, 4))
	set32(b, xattrChecksum, ondisk.CRC32C(crc, b[xattrChecksum+4:]))
}

// sealInode sets an inode's checksum, of which old inodes have half.
func (g *geometry) sealInode(raw rawInode, num uint32) {
	if !g.metadataCsum {
		return
	}
	set16(raw, inodeChecksumLo, 0)
	wide := raw.has(inodeChecksumHi, 2)
	if wide {
		set16(raw, inodeChecksumHi, 0)
	}
	crc := ondisk.CRC32C(g.inodeSeed(num, raw.generation()), raw)
	set16(raw, inodeChecksumLo, uint16(crc))
	if wide {
		set16(raw, inodeChecksumHi, uint16(crc>>16))
	}
}

// bitmapChecksum is the checksum of a bitmap of so many bits, as wide as the
// descriptor has it.
func (g *geometry) bitmapChecksum(d groupDesc, b []byte, bits uint64) uint32 {
	sum := ondisk.CRC32C(g.seed, b[:bits/8])
	if !d.wide() {
		sum &= 0xFFFF
	}
	return sum
}
