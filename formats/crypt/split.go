package crypt

import (
	"crypto/subtle"
	"encoding/binary"
	"hash"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// maxStripes bounds the anti-forensic splitter; cryptsetup always has 4,000.
const maxStripes = 1 << 14

// SplitSize is how many bytes a key of n bytes takes in so many stripes.
func SplitSize(n, stripes int) (int, error) {
	if n < 1 || n > 512 || stripes < 1 || stripes > maxStripes {
		return 0, ondisk.Corrupt("key slot", 0, "a key of %d bytes in %d stripes", n, stripes)
	}
	return n * stripes, nil
}

// Merge puts a key together again that was split into stripes, so that losing
// any of them loses it (LUKS1 specification, section 2.4).
func Merge(b []byte, n, stripes int, h func() hash.Hash) ([]byte, error) {
	size, err := SplitSize(n, stripes)
	if err != nil {
		return nil, err
	}
	if len(b) < size {
		return nil, ondisk.Corrupt("key slot", 0, "%d bytes, not %d", len(b), size)
	}
	d := make([]byte, n)
	for i := range stripes - 1 {
		subtle.XORBytes(d, d, b[i*n:(i+1)*n])
		diffuse(d, h())
	}
	subtle.XORBytes(d, d, b[(stripes-1)*n:size])
	return d, nil
}

// diffuse replaces each piece of d, of the length of the hash, by the hash of
// its number and itself.
func diffuse(d []byte, h hash.Hash) {
	for i := 0; i*h.Size() < len(d); i++ {
		piece := d[i*h.Size() : min((i+1)*h.Size(), len(d))]
		h.Reset()
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
		h.Write(piece)
		copy(piece, h.Sum(nil))
	}
}
