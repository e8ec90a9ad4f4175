package codec

import (
	"encoding/binary"
	"errors"
	"io"
)

// inflater decodes raw deflate (RFC 1951) from one buffer into another. That
// both are whole is what makes it fast: the window is the output itself, and
// most of a block is decoded with eight bytes of input at hand and room for
// the longest match, so that nothing need be asked in between.
type inflater struct {
	dst, src []byte
	out, in  int
	bits     uint64 // the next bits, the first one lowest
	have     uint   // how many of them are there; those above may be more of the stream

	lengths   [lengthTableSize]entry
	distances [distanceTableSize]entry
	fixed     bool // the tables hold the fixed code
	// codes are the lengths of both codes of a block, one after the other.
	codes [286 + 32 + 138]uint8
}

var (
	errBlockType  = errors.New("a block of type 3")
	errStored     = errors.New("the length of a stored block does not match its complement")
	errCode       = errors.New("a code that means nothing")
	errDistance   = errors.New("a match from before the beginning")
	errManyCodes  = errors.New("more length or distance codes than there are")
	errRepeat     = errors.New("code lengths repeated beyond their end")
	errNoEnd      = errors.New("a code without an end of block")
	errUnexpected = io.ErrUnexpectedEOF
)

const (
	maxMatch = 258
	// fastIn and fastOut are what the fast loop needs at the beginning of each
	// round: two refills of input, and output for two literals, the longest
	// match and what copying it in words of eight bytes writes too much.
	fastIn  = 16
	fastOut = maxMatch + 8 + 8
)

// inflate decodes src until dst is full or the stream ends, which it tells.
// used is the number of bytes of src that an ended stream takes.
func (f *inflater) inflate(dst, src []byte) (n, used int, ended bool, err error) {
	f.dst, f.src, f.out, f.in, f.bits, f.have = dst, src, 0, 0, 0, 0
	for last := false; !last && err == nil; {
		var kind uint64
		if kind, err = f.take(3); err != nil {
			break
		}
		last = kind&1 != 0
		full := false
		switch kind >> 1 {
		case 0:
			full, err = f.stored()
		case 1:
			f.fixedCodes()
			full, err = f.block()
		case 2:
			if _, _, err = f.dynamicCodes(); err == nil {
				full, err = f.block()
			}
		default:
			err = errBlockType
		}
		if full {
			break
		}
		ended = last && err == nil
	}
	n, used = f.out, f.in-int(f.have/8)
	f.dst, f.src = nil, nil
	return n, used, ended, err
}

// refill has at least 56 bits ready, or all that the stream still has.
func (f *inflater) refill() {
	if f.in <= len(f.src)-8 {
		f.bits |= binary.LittleEndian.Uint64(f.src[f.in:]) << f.have
		f.in += int((63 - f.have) >> 3)
		f.have |= 56
		return
	}
	// What the fast refill put above the counted bits is counted again here.
	f.bits &= 1<<f.have - 1
	for f.have <= 56 && f.in < len(f.src) {
		f.bits |= uint64(f.src[f.in]) << f.have
		f.in++
		f.have += 8
	}
}

// drop removes n bits; an error where there are not as many.
func (f *inflater) drop(n uint) error {
	if n > f.have {
		return errUnexpected
	}
	f.bits >>= n
	f.have -= n
	return nil
}

// take is the next n bits, at most 16.
func (f *inflater) take(n uint) (uint64, error) {
	if f.have < n {
		f.refill()
	}
	v := f.bits & (1<<n - 1)
	return v, f.drop(n)
}

// storedHeader is the length of a block that is not compressed, RFC 1951,
// 3.2.4. Its bytes begin at f.in.
func (f *inflater) storedHeader() (int, error) {
	if err := f.drop(f.have & 7); err != nil {
		return 0, err
	}
	n, err := f.take(16)
	if err != nil {
		return 0, err
	}
	not, err := f.take(16)
	if err != nil {
		return 0, err
	}
	if n != ^not&0xffff {
		return 0, errStored
	}
	// The bytes that are already among the bits are read again.
	f.in -= int(f.have / 8)
	f.bits, f.have = 0, 0
	return int(n), nil
}

// stored copies a block that is not compressed.
func (f *inflater) stored() (full bool, err error) {
	n, err := f.storedHeader()
	if err != nil {
		return false, err
	}
	part := f.src[f.in:]
	part = part[:min(n, len(part))]
	done := copy(f.dst[f.out:], part)
	f.out += done
	f.in += done
	switch {
	case done < len(part):
		return true, nil
	case done < n:
		return f.ends()
	}
	return false, nil
}

// ends is the answer where the input has ended: nothing is wrong where the
// output is full.
func (f *inflater) ends() (full bool, err error) {
	if f.out == len(f.dst) {
		return true, nil
	}
	return false, errUnexpected
}

// fixedCodes makes the tables of RFC 1951, 3.2.6.
func (f *inflater) fixedCodes() {
	if f.fixed {
		return
	}
	var lengths [288]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	var distances [32]uint8
	for i := range distances {
		distances[i] = 5
	}
	// Both are complete codes, which is no error.
	_ = buildTable(f.lengths[:], lengthTableBits, lengths[:], lengthEntry)
	_ = buildTable(f.distances[:], distanceTableBits, distances[:], distanceEntry)
	f.fixed = true
}

// dynamicCodes reads the codes of a block, RFC 1951, 3.2.7, and says how many
// of each there are in f.codes.
func (f *inflater) dynamicCodes() (lengths, distances int, err error) {
	f.fixed = false
	counts, err := f.take(14)
	if err != nil {
		return 0, 0, err
	}
	lengths, distances = int(counts&31)+257, int(counts>>5&31)+1
	codes := int(counts>>10) + 4
	if lengths > 286 || distances > 30 {
		return 0, 0, errManyCodes
	}
	var order [19]uint8
	for _, symbol := range codeOrder[:codes] {
		n, err := f.take(3)
		if err != nil {
			return 0, 0, err
		}
		order[symbol] = uint8(n)
	}
	// The table of distances is not needed yet and holds this one.
	table := f.distances[:1<<codeTableBits]
	if err := buildTable(table, codeTableBits, order[:], codeEntry); err != nil {
		return 0, 0, err
	}
	all := f.codes[:]
	for i := 0; i < lengths+distances; {
		f.refill()
		e := table[f.bits&(1<<codeTableBits-1)]
		if e&isSpecial != 0 {
			return 0, 0, errCode
		}
		if err := f.drop(uint(e & entryBits)); err != nil {
			return 0, 0, err
		}
		symbol, value, n := e>>entryValue, uint8(0), uint64(1)
		switch {
		case symbol < 16:
			value = uint8(symbol)
		case symbol == 16:
			if i == 0 {
				return 0, 0, errRepeat
			}
			value = all[i-1]
			n, err = f.take(2)
			n += 3
		case symbol == 17:
			n, err = f.take(3)
			n += 3
		default:
			n, err = f.take(7)
			n += 11
		}
		if err != nil {
			return 0, 0, err
		}
		for range n { // all has room for the longest repetition
			all[i] = value
			i++
		}
		if i > lengths+distances {
			return 0, 0, errRepeat
		}
	}
	return lengths, distances, f.tables(all[:lengths], all[lengths:lengths+distances])
}

// tables makes those of the codes with these lengths.
func (f *inflater) tables(lengths, distances []uint8) error {
	f.fixed = false
	if lengths[256] == 0 {
		return errNoEnd
	}
	if err := buildTable(f.lengths[:], lengthTableBits, lengths, lengthEntry); err != nil {
		return err
	}
	return buildTable(f.distances[:], distanceTableBits, distances, distanceEntry)
}
