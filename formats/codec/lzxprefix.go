package codec

import (
	"encoding/binary"
	"errors"
)

// wordReader reads bits, the highest first, of a stream of 16-bit little-endian
// words: what XPRESS and LZX share. After fill at least 16 bits are there; a
// stream that has ended goes on with zeros, and over says that some were used.
type wordReader struct {
	src   []byte
	at    int    // of the next word or byte
	bits  uint32 // the next bit is the highest
	n     uint   // bits there
	ended int    // words of zeros that stand for what is not there
}

func (r *wordReader) fill() {
	for r.n < 16 {
		if r.at+2 <= len(r.src) {
			r.bits |= uint32(binary.LittleEndian.Uint16(r.src[r.at:])) << (16 - r.n)
			r.at += 2
		} else {
			r.ended++
		}
		r.n += 16
	}
}

// take gives the next n bits, at most 16, of those that fill made sure of.
func (r *wordReader) take(n uint) uint32 {
	v := uint32(uint64(r.bits) >> (32 - n))
	r.bits <<= n
	r.n -= n
	return v
}

// over says whether bits were taken that the stream does not have.
func (r *wordReader) over() bool { return r.ended > 0 && r.n < uint(r.ended)*16 }

// prefixTableBits is how many bits of a code are looked up at once.
const prefixTableBits = 11

// A prefixCode decodes canonical Huffman codes of up to 16 bits, the shortest
// codes and lowest symbols first.
type prefixCode struct {
	// table is indexed by the next bits: symbol<<4 | length, 0 for codes that
	// are longer or none.
	table [1 << prefixTableBits]uint16
	// The longer codes: of each length the first code, the number of codes and
	// where their symbols begin in sorted.
	first  [17]uint32
	count  [17]uint32
	base   [17]uint32
	sorted [prefixMaxSymbols]uint16
	max    uint // bits of the longest code; 0 where there is no code
}

// prefixMaxSymbols is the size of the largest alphabet: that of LZX's main tree
// with a window of 32 KiB has 496, XPRESS's 512.
const prefixMaxSymbols = 512

var (
	errPrefixLengths = errors.New("code lengths that make no prefix code")
	errPrefixCode    = errors.New("a code that no symbol has")
)

// build makes the code of the given lengths, each at most maxBits. Lengths that
// are all zero make a code without symbols; others must be complete.
func (c *prefixCode) build(lengths []uint8, maxBits uint) error {
	clear(c.count[:])
	for _, l := range lengths {
		if uint(l) > maxBits {
			return errPrefixLengths
		}
		c.count[l]++
	}
	c.count[0] = 0
	code, at, used := uint32(0), uint32(0), uint32(0)
	c.max = 0
	var next [17]uint32
	for l := uint(1); l <= maxBits; l++ {
		code <<= 1
		c.first[l], c.base[l] = code, at
		next[l] = at
		code += c.count[l]
		at += c.count[l]
		used += c.count[l] << (maxBits - l)
		if c.count[l] > 0 {
			c.max = l
		}
	}
	if used != 0 && used != 1<<maxBits {
		return errPrefixLengths
	}
	for s, l := range lengths {
		if l != 0 {
			c.sorted[next[l]] = uint16(s)
			next[l]++
		}
	}
	clear(c.table[:])
	for l := uint(1); l <= min(c.max, prefixTableBits); l++ {
		span := 1 << (prefixTableBits - l)
		to := int(c.first[l]) << (prefixTableBits - l)
		for i := range c.count[l] {
			e := c.sorted[c.base[l]+i]<<4 | uint16(l)
			for j := range span {
				c.table[to+j] = e
			}
			to += span
		}
	}
	return nil
}

// decode takes one symbol of the bits that fill made sure of.
func (c *prefixCode) decode(r *wordReader) (uint16, error) {
	if e := c.table[r.bits>>(32-prefixTableBits)]; e != 0 {
		l := uint(e & 0xF)
		r.bits <<= l
		r.n -= l
		return e >> 4, nil
	}
	for l := uint(prefixTableBits + 1); l <= c.max; l++ {
		if i := r.bits>>(32-l) - c.first[l]; i < c.count[l] {
			r.bits <<= l
			r.n -= l
			return c.sorted[c.base[l]+i], nil
		}
	}
	return 0, errPrefixCode
}
