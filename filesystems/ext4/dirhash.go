package ext4

import "math/bits"

// The hashes of directory names (kernel documentation, "Hash Tree
// Directories"): legacy, half of an MD4 and TEA, each over the name's bytes as
// signed or unsigned numbers. Which of the two depends on the machine that
// made the filesystem, hence s_flags.
const (
	hashLegacy          = 0
	hashHalfMD4         = 1
	hashTEA             = 2
	hashLegacyUnsigned  = 3
	hashHalfMD4Unsigned = 4
	hashTEAUnsigned     = 5
	hashSip             = 6 // keyed with the directory's encryption key
)

// hashEOF is the hash that marks the end of a directory; no name has it.
const hashEOF = 0x7fffffff << 1

// dirHash gives the hash of a name and the minor hash beside it. ok is false
// for a version that has no hash computable without a key.
func dirHash(version uint8, seed [4]uint32, name []byte) (hash, minor uint32, ok bool) {
	state := seed
	if state == [4]uint32{} {
		state = [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	}
	signed := version <= hashTEA
	switch version {
	case hashLegacy, hashLegacyUnsigned:
		hash = legacyHash(name, signed)
	case hashHalfMD4, hashHalfMD4Unsigned:
		for rest := name; len(rest) > 0; rest = rest[min(32, len(rest)):] {
			var in [8]uint32
			packName(in[:], rest, signed)
			halfMD4(&state, &in)
		}
		hash, minor = state[1], state[2]
	case hashTEA, hashTEAUnsigned:
		for rest := name; len(rest) > 0; rest = rest[min(16, len(rest)):] {
			var in [4]uint32
			packName(in[:], rest, signed)
			teaRounds(&state, &in)
		}
		hash, minor = state[0], state[1]
	default:
		return 0, 0, false
	}
	if hash &^= 1; hash == hashEOF {
		hash = hashEOF - 2
	}
	return hash, minor, true
}

// octet widens a byte as the C type char does, signed or not.
func octet(b byte, signed bool) uint32 {
	if signed {
		return uint32(int32(int8(b)))
	}
	return uint32(b)
}

// legacyHash is the first hash that ext3 had.
func legacyHash(name []byte, signed bool) uint32 {
	last, before := uint32(0x12a3fe2d), uint32(0x37abe8f9)
	for _, b := range name {
		next := before + (last ^ octet(b, signed)*7152373)
		if next&0x80000000 != 0 {
			next -= 0x7fffffff
		}
		before, last = last, next
	}
	return last << 1
}

// packName fills words with the bytes of a name, big end first, and what is
// left with the length of the rest of the name, in every byte.
func packName(words []uint32, name []byte, signed bool) {
	pad := uint32(len(name)) * 0x01010101
	name = name[:min(len(name), 4*len(words))]
	for i := range words {
		w := pad
		for k := 4 * i; k < min(4*i+4, len(name)); k++ {
			w = w<<8 + octet(name[k], signed)
		}
		words[i] = w
	}
}

// halfMD4 is the transform of MD4 over eight words in place of sixteen.
func halfMD4(state *[4]uint32, in *[8]uint32) {
	rounds := [3]struct {
		f     func(x, y, z uint32) uint32
		add   uint32
		shift [4]int
		order [8]uint8
	}{
		{func(x, y, z uint32) uint32 { return x&y | ^x&z }, 0, [4]int{3, 7, 11, 19}, [8]uint8{0, 1, 2, 3, 4, 5, 6, 7}},
		{func(x, y, z uint32) uint32 { return x&y | x&z | y&z }, 0x5A827999, [4]int{3, 5, 9, 13}, [8]uint8{1, 3, 5, 7, 0, 2, 4, 6}},
		{func(x, y, z uint32) uint32 { return x ^ y ^ z }, 0x6ED9EBA1, [4]int{3, 9, 11, 15}, [8]uint8{3, 7, 2, 6, 1, 5, 0, 4}},
	}
	a, b, c, d := state[0], state[1], state[2], state[3]
	for _, r := range rounds {
		for i, word := range r.order {
			a = bits.RotateLeft32(a+r.f(b, c, d)+in[word]+r.add, r.shift[i%4])
			a, b, c, d = d, a, b, c
		}
	}
	state[0] += a
	state[1] += b
	state[2] += c
	state[3] += d
}

// teaRounds is sixteen rounds of the Tiny Encryption Algorithm with the name
// as the key.
func teaRounds(state *[4]uint32, key *[4]uint32) {
	const delta = 0x9E3779B9
	a, b, sum := state[0], state[1], uint32(0)
	for range 16 {
		sum += delta
		a += (b<<4 + key[0]) ^ (b + sum) ^ (b>>5 + key[1])
		b += (a<<4 + key[2]) ^ (a + sum) ^ (a>>5 + key[3])
	}
	state[0] += a
	state[1] += b
}
