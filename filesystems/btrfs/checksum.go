package btrfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"

	"golang.org/x/crypto/blake2b"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A summer is one of the checksums that a filesystem may have.
type summer struct {
	typ  uint16 // csum_type
	name string
	size int // bytes
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summerOf is the checksum of a csum_type.
func summerOf(typ uint16) (summer, error) {
	switch typ {
	case sumCRC32C:
		return summer{typ, "crc32c", crc32.Size}, nil
	case sumXXHash:
		return summer{typ, "xxhash64", 8}, nil
	case sumSHA256:
		return summer{typ, "sha256", sha256.Size}, nil
	case sumBLAKE2:
		return summer{typ, "blake2b", blake2b.Size256}, nil
	}
	return summer{}, ondisk.Unsupported(whatFS, "the checksum type %d", typ)
}

// put stores the checksum of p in the first bytes of sum.
func (s summer) put(sum *[csumSize]byte, p []byte) {
	switch s.typ {
	case sumCRC32C:
		binary.LittleEndian.PutUint32(sum[:], crc32.Checksum(p, castagnoli))
	case sumXXHash:
		binary.LittleEndian.PutUint64(sum[:], xxhash64(p))
	case sumSHA256:
		*sum = sha256.Sum256(p)
	case sumBLAKE2:
		*sum = blake2b.Sum256(p)
	}
}

// matches says whether stored begins with the checksum of p.
func (s summer) matches(stored, p []byte) bool {
	var sum [csumSize]byte
	s.put(&sum, p)
	return bytes.Equal(stored[:s.size], sum[:s.size])
}

// mismatch is the error for bytes of what at off that do not match.
func (s summer) mismatch(what string, off uint64, stored, p []byte) error {
	var sum [csumSize]byte
	s.put(&sum, p)
	return &ondisk.CorruptError{Struct: what, Off: int64(off), Checksum: true,
		Detail: s.name + " stored " + hexOf(stored[:s.size]) + ", computed " + hexOf(sum[:s.size])}
}
