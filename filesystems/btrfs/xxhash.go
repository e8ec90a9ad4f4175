package btrfs

import (
	"encoding/binary"
	"math/bits"
)

// The primes of XXH64 (xxHash fast digest algorithm, "XXH64 algorithm
// description").
const (
	xxPrime1 = 0x9E3779B185EBCA87
	xxPrime2 = 0xC2B2AE3D27D4EB4F
	xxPrime3 = 0x165667B19E3779F9
	xxPrime4 = 0x85EBCA77C2B2AE63
	xxPrime5 = 0x27D4EB2F165667C5
)

func xxRound(acc, lane uint64) uint64 {
	return bits.RotateLeft64(acc+lane*xxPrime2, 31) * xxPrime1
}

func xxMerge(h, acc uint64) uint64 { return (h^xxRound(0, acc))*xxPrime1 + xxPrime4 }

// xxhash64 is XXH64 with the seed 0.
func xxhash64(p []byte) uint64 {
	total := uint64(len(p))
	h := uint64(xxPrime5)
	if len(p) >= 32 {
		var seed uint64 // not a constant: the sums below wrap around
		a, b, c, d := seed+xxPrime1, seed+xxPrime2, seed, seed-xxPrime1
		a += xxPrime2
		for ; len(p) >= 32; p = p[32:] {
			a = xxRound(a, binary.LittleEndian.Uint64(p))
			b = xxRound(b, binary.LittleEndian.Uint64(p[8:]))
			c = xxRound(c, binary.LittleEndian.Uint64(p[16:]))
			d = xxRound(d, binary.LittleEndian.Uint64(p[24:]))
		}
		h = bits.RotateLeft64(a, 1) + bits.RotateLeft64(b, 7) + bits.RotateLeft64(c, 12) + bits.RotateLeft64(d, 18)
		h = xxMerge(xxMerge(xxMerge(xxMerge(h, a), b), c), d)
	}
	h += total
	for ; len(p) >= 8; p = p[8:] {
		h = bits.RotateLeft64(h^xxRound(0, binary.LittleEndian.Uint64(p)), 27)*xxPrime1 + xxPrime4
	}
	if len(p) >= 4 {
		h = bits.RotateLeft64(h^uint64(binary.LittleEndian.Uint32(p))*xxPrime1, 23)*xxPrime2 + xxPrime3
		p = p[4:]
	}
	for _, c := range p {
		h = bits.RotateLeft64(h^uint64(c)*xxPrime5, 11) * xxPrime1
	}
	h = (h ^ h>>33) * xxPrime2
	h = (h ^ h>>29) * xxPrime3
	return h ^ h>>32
}
