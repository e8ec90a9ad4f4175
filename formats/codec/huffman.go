package codec

import (
	"errors"
	"math/bits"
)

// A table entry says what the next bits of the stream mean. From the least
// significant bit:
//
//	 0-7   bits that the symbol takes, its extra bits included
//	 8-11  bits of its code alone, within this table
//	12-15  what it is
//	16-31  the literal, the base of a length or distance, or where a subtable begins
//
// The main table is indexed by its next bits; a longer code leads to a
// subtable, whose index has as many bits as bits 8-11 say.
type entry = uint32

const (
	isLiteral  entry = 1 << 15
	isSpecial  entry = 1 << 14 // one of the following
	isSubtable entry = 1 << 13
	isEnd      entry = 1 << 12 // end of block
	// isSpecial alone is a code that means nothing.

	entryBits   = 0xff
	entryCodeAt = 8
	entryCode   = 0xf
	entryValue  = 16
)

const (
	maxCodeBits = 15 // RFC 1951, 3.2.7

	lengthTableBits   = 11
	distanceTableBits = 8
	// The most that a complete code of 288 or 32 symbols can need, main table
	// and subtables, is 2342 and 402.
	lengthTableSize   = 2400
	distanceTableSize = 420
	codeTableBits     = 7
)

var (
	errOversubscribed = errors.New("a Huffman code with more codes than there are bits for")
	errIncomplete     = errors.New("an incomplete Huffman code")
)

// symbolEntry is the entry of a symbol without the bits of its code.
type symbolEntry func(symbol int) entry

// buildTable makes the decoding table of the code whose symbols have the given
// lengths in bits, 0 for none. tableBits is the index of the main table. An
// incomplete code is an error, except one of a single bit or none, as zlib has
// it: one distance needs no code.
func buildTable(table []entry, tableBits uint, lengths []uint8, symbol symbolEntry) error {
	var count [maxCodeBits + 1]int
	for _, n := range lengths {
		count[n]++
	}
	longest := maxCodeBits
	for longest > 0 && count[longest] == 0 {
		longest--
	}
	left := 1
	var next [maxCodeBits + 2]uint32 // first code of each length
	for n := 1; n <= maxCodeBits; n++ {
		left = left<<1 - count[n]
		if left < 0 {
			return errOversubscribed
		}
		next[n+1] = (next[n] + uint32(count[n])) << 1
	}
	clearTable := left > 0
	if clearTable {
		if longest > 1 {
			return errIncomplete
		}
		for i := range table[:1<<tableBits] {
			table[i] = isSpecial
		}
	}
	// A subtable is as large as the longest code that leads there.
	var subBits [1 << lengthTableBits]uint8
	if uint(longest) > tableBits {
		code := next
		for _, n := range lengths {
			if n == 0 {
				continue
			}
			c := code[n]
			code[n]++
			if uint(n) > tableBits {
				prefix := reverse(c, uint(n)) & (1<<tableBits - 1)
				subBits[prefix] = max(subBits[prefix], n-uint8(tableBits))
			}
		}
		free := 1 << tableBits
		for prefix, n := range subBits[:1<<tableBits] {
			if n == 0 {
				continue
			}
			table[prefix] = isSpecial | isSubtable | entry(free)<<entryValue | entry(n)<<entryCodeAt | entry(tableBits)
			if free += 1 << n; free > len(table) {
				return errOversubscribed
			}
		}
	}
	for s, n := range lengths {
		if n == 0 {
			continue
		}
		c := reverse(next[n], uint(n))
		next[n]++
		if uint(n) <= tableBits {
			e := symbol(s) + entry(n)<<entryCodeAt + entry(n)
			for i := c; i < 1<<tableBits; i += 1 << n {
				table[i] = e
			}
			continue
		}
		to := table[c&(1<<tableBits-1)]
		sub := table[to>>entryValue:][:1<<(to>>entryCodeAt&entryCode)]
		n -= uint8(tableBits)
		e := symbol(s) + entry(n)<<entryCodeAt + entry(n)
		for i := c >> tableBits; i < uint32(len(sub)); i += 1 << n {
			sub[i] = e
		}
	}
	return nil
}

// reverse turns the n bits of a code around: the stream has the first bit of a
// code, its most significant one, first.
func reverse(code uint32, n uint) uint32 { return bits.Reverse32(code) >> (32 - n) }

// lengthEntry is the entry of a literal/length symbol, RFC 1951, 3.2.5.
func lengthEntry(s int) entry {
	switch {
	case s < 256:
		return isLiteral | entry(s)<<entryValue
	case s == 256:
		return isSpecial | isEnd
	case s < 286:
		l := lengthCodes[s-257]
		return entry(l.base)<<entryValue + entry(l.extra)
	}
	return isSpecial
}

// distanceEntry is the entry of a distance symbol.
func distanceEntry(s int) entry {
	if s >= 30 {
		return isSpecial
	}
	d := distanceCodes[s]
	return entry(d.base)<<entryValue + entry(d.extra)
}

// codeEntry is the entry of a symbol of the code length code.
func codeEntry(s int) entry { return entry(s) << entryValue }

type baseExtra struct {
	base  uint16
	extra uint8 // bits
}

var lengthCodes = [29]baseExtra{
	{3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {8, 0}, {9, 0}, {10, 0}, {11, 1}, {13, 1}, {15, 1}, {17, 1}, {19, 2}, {23, 2}, {27, 2},
	{31, 2}, {35, 3}, {43, 3}, {51, 3}, {59, 3}, {67, 4}, {83, 4}, {99, 4}, {115, 4}, {131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0},
}

var distanceCodes = [30]baseExtra{
	{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 1}, {7, 1}, {9, 2}, {13, 2}, {17, 3}, {25, 3}, {33, 4}, {49, 4}, {65, 5}, {97, 5}, {129, 6},
	{193, 6}, {257, 7}, {385, 7}, {513, 8}, {769, 8}, {1025, 9}, {1537, 9}, {2049, 10}, {3073, 10}, {4097, 11}, {6145, 11},
	{8193, 12}, {12289, 12}, {16385, 13}, {24577, 13},
}

// codeOrder is the order in which the lengths of the code length code stand,
// RFC 1951, 3.2.7.
var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
