package hive

import (
	"encoding/binary"
	"math/bits"
)

// marvin is the Marvin32 checksum, by SymCrypt's description of it, of data that
// come in pieces whose lengths are multiples of four bytes.
type marvin struct{ lo, hi uint32 }

func newMarvin(seed uint64) *marvin { return &marvin{uint32(seed), uint32(seed >> 32)} }

func (m *marvin) word(w uint32) {
	m.lo += w
	m.hi ^= m.lo
	m.lo = bits.RotateLeft32(m.lo, 20) + m.hi
	m.hi = bits.RotateLeft32(m.hi, 9) ^ m.lo
	m.lo = bits.RotateLeft32(m.lo, 27) + m.hi
	m.hi = bits.RotateLeft32(m.hi, 19)
}

func (m *marvin) add(p []byte) {
	for ; len(p) >= 4; p = p[4:] {
		m.word(binary.LittleEndian.Uint32(p))
	}
}

// sum ends it: a padding of 80 00 00 00, and a word of zeros.
func (m *marvin) sum() uint64 {
	m.word(0x80)
	m.word(0)
	return uint64(m.hi)<<32 | uint64(m.lo)
}
