package layout

import (
	"bytes"
	"encoding/binary"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A Header is how a kind of metadata of version 5 describes itself: offsets in
// its block; -1 where it does not say.
type Header struct {
	Name  string
	Magic uint32
	Short bool // the magic is the two bytes at DAMagicOffset
	CRC   int
	LSN   int
	UUID  int
	Blkno int // its own address in sectors, eight bytes
	Owner int
	Wide  bool // the owner is an inode, eight bytes, not a group
}

const (
	fieldless = -1
)

// headers lists the self-describing kinds.
func headers() []Header {
	short := func(name string, magic uint32) Header {
		return Header{Name: name, Magic: magic, CRC: 52, LSN: 24, UUID: 32, Blkno: 16, Owner: 48}
	}
	long := func(name string, magic uint32) Header {
		return Header{Name: name, Magic: magic, CRC: 64, LSN: 32, UUID: 40, Blkno: 24, Owner: 56, Wide: true}
	}
	dir := func(name string, magic uint32) Header {
		return Header{Name: name, Magic: magic, CRC: 4, LSN: 16, UUID: 24, Blkno: 8, Owner: 40, Wide: true}
	}
	da := func(name string, magic uint32) Header {
		return Header{Name: name, Magic: magic, Short: true, CRC: 12, LSN: 24, UUID: 32, Blkno: 16, Owner: 48, Wide: true}
	}
	remote := func(name string, magic uint32) Header {
		return Header{Name: name, Magic: magic, CRC: 12, LSN: 48, UUID: 16, Blkno: 40, Owner: 32, Wide: true}
	}
	return []Header{
		{Name: "superblock", Magic: 0x58465342, CRC: 224, LSN: 240, UUID: 32, Blkno: fieldless, Owner: fieldless},
		{Name: "AGF", Magic: AGFMagic, CRC: 216, LSN: 208, UUID: 64, Blkno: fieldless, Owner: fieldless},
		{Name: "AGI", Magic: AGIMagic, CRC: 312, LSN: 320, UUID: 296, Blkno: fieldless, Owner: fieldless},
		{Name: "AGFL", Magic: AGFLMagic, CRC: 32, LSN: 24, UUID: 8, Blkno: fieldless, Owner: fieldless},
		short("free space B+tree by block", 0x41423342), // AB3B
		short("free space B+tree by size", 0x41423343),  // AB3C
		short("inode B+tree", InobtMagicCRC),
		short("free inode B+tree", 0x46494233),      // FIB3
		short("reverse mapping B+tree", 0x524d4233), // RMB3
		short("reference count B+tree", 0x52334643), // R3FC
		long("extent B+tree", BmapMagicCRC),
		dir("directory block", DirBlockMagicCRC),
		dir("directory data block", DirDataMagicCRC),
		dir("directory free space block", 0x58444633), // XDF3
		da("directory leaf", DirLeaf1MagicCRC),
		da("directory leaf", DirLeafNMagicCRC),
		da("hash B+tree node", DANodeMagicCRC),
		da("attribute leaf", AttrLeafMagicCRC),
		remote("remote attribute value", RemoteAttrMagic),
		remote("remote symlink", RemoteSymlinkMagic),
	}
}

// Headers finds the header of a block by its magic.
type Headers struct {
	long  map[uint32]*Header
	short map[uint16]*Header
}

// NewHeaders makes the table of all kinds.
func NewHeaders() *Headers {
	t := &Headers{long: map[uint32]*Header{}, short: map[uint16]*Header{}}
	for _, h := range headers() {
		if h.Short {
			t.short[uint16(h.Magic)] = &h
		} else {
			t.long[h.Magic] = &h
		}
	}
	return t
}

// Of is the header of a block; nil where it has none.
func (t *Headers) Of(b []byte) *Header {
	if len(b) < SectorSize {
		return nil
	}
	if h := t.long[be32(b, 0)]; h != nil {
		return h
	}
	return t.short[be16(b, DAMagicOffset)]
}

// Checksum is the CRC-32C of a block whose four bytes at a place are taken as
// zero, as all of XFS stores it.
func Checksum(b []byte, at int) uint32 {
	var zero [4]byte
	crc := ondisk.CRC32C(^uint32(0), b[:at])
	crc = ondisk.CRC32C(crc, zero[:])
	return ^ondisk.CRC32C(crc, b[at+4:])
}

// ReadLSN is the log sequence number in a block.
func (h *Header) ReadLSN(b []byte) uint64 { return be64(b, h.LSN) }

// ReadUUID is the UUID in a block.
func (h *Header) ReadUUID(b []byte) []byte { return b[h.UUID : h.UUID+16] }

// Seal writes the log sequence number and the checksum.
func (h *Header) Seal(b []byte, lsn uint64) {
	put64(b, h.LSN, lsn)
	h.SealSum(b)
}

// SealSum writes the checksum.
func (h *Header) SealSum(b []byte) {
	binary.LittleEndian.PutUint32(b[h.CRC:], Checksum(b, h.CRC))
}

// Verify compares the checksum, the UUID and, where the kind has them, the
// block's own address and its owner. off is the block's place in bytes. An
// owner of 0 is not compared.
func (h *Header) Verify(b []byte, off int64, uuid []byte, owner uint64) error {
	what := "xfs " + h.Name
	if stored, sum := le32(b, h.CRC), Checksum(b, h.CRC); stored != sum {
		return ondisk.BadChecksum(what, off, stored, sum)
	}
	if got := h.ReadUUID(b); !bytes.Equal(got, uuid) {
		return ondisk.Corrupt(what, off, "it belongs to the filesystem %x, this is %x", got, uuid)
	}
	if h.Blkno != fieldless {
		if at := be64(b, h.Blkno); at != uint64(off)>>SectorLog {
			return ondisk.Corrupt(what, off, "it says that it is at sector %d, not %d", at, off>>SectorLog)
		}
	}
	if h.Owner == fieldless || owner == 0 && h.Wide {
		return nil
	}
	if got := h.owner(b); got != owner {
		return ondisk.Corrupt(what, off, "it belongs to %d, expected %d", got, owner)
	}
	return nil
}

func (h *Header) owner(b []byte) uint64 {
	if h.Wide {
		return be64(b, h.Owner)
	}
	return uint64(be32(b, h.Owner))
}
