package codec

import "encoding/binary"

// fast decodes symbols for as long as there is input and room for a round of
// the worst kind. It keeps the state in local variables and puts it back when
// it ends: at the end of the block, where ended is true, near the end of a
// buffer, or at damage.
//
// A round takes at most 3 literals of 11 bits, or 2 and a match. A match takes
// at most 15+5 and 15+13 bits, fewer than the 56 of a refill.
func (f *inflater) fast() (ended bool, err error) {
	var (
		dst, src  = f.dst, f.src
		out, in   = f.out, f.in
		bits      = f.bits
		have      = f.have
		lengths   = &f.lengths
		distances = &f.distances
		lastOut   = len(dst) - fastOut
		lastIn    = len(src) - fastIn
	)
	for in <= lastIn && out <= lastOut {
		bits |= binary.LittleEndian.Uint64(src[in:]) << (have & 63)
		in += int((63 - have) >> 3)
		have |= 56
		e := lengths[bits&(1<<lengthTableBits-1)]
		if e&isLiteral != 0 {
			bits >>= e & 63
			have -= uint(e & entryBits)
			dst[out] = byte(e >> entryValue)
			out++
			e = lengths[bits&(1<<lengthTableBits-1)]
			if e&isLiteral != 0 {
				bits >>= e & 63
				have -= uint(e & entryBits)
				dst[out] = byte(e >> entryValue)
				out++
				e = lengths[bits&(1<<lengthTableBits-1)]
				if e&isLiteral != 0 {
					bits >>= e & 63
					have -= uint(e & entryBits)
					dst[out] = byte(e >> entryValue)
					out++
					continue
				}
			}
			bits |= binary.LittleEndian.Uint64(src[in:]) << (have & 63)
			in += int((63 - have) >> 3)
			have |= 56
		}
		if e&isSpecial != 0 {
			if e&isSubtable != 0 {
				bits >>= lengthTableBits
				have -= lengthTableBits
				e = lengths[uint64(e>>entryValue)+bits&(1<<(e>>entryCodeAt&entryCode)-1)]
				if e&isLiteral != 0 {
					bits >>= e & 63
					have -= uint(e & entryBits)
					dst[out] = byte(e >> entryValue)
					out++
					continue
				}
			}
			if e&isEnd != 0 {
				bits >>= e & 63
				have -= uint(e & entryBits)
				ended = true
				break
			}
			if e&isSpecial != 0 {
				err = errCode
				break
			}
		}
		length := int(e>>entryValue) + int(bits&(1<<(e&63)-1)>>(e>>entryCodeAt&entryCode))
		bits >>= e & 63
		have -= uint(e & entryBits)

		e = distances[bits&(1<<distanceTableBits-1)]
		if e&isSpecial != 0 {
			if e&isSubtable == 0 {
				err = errCode
				break
			}
			bits >>= distanceTableBits
			have -= distanceTableBits
			e = distances[uint64(e>>entryValue)+bits&(1<<(e>>entryCodeAt&entryCode)-1)]
			if e&isSpecial != 0 {
				err = errCode
				break
			}
		}
		distance := int(e>>entryValue) + int(bits&(1<<(e&63)-1)>>(e>>entryCodeAt&entryCode))
		bits >>= e & 63
		have -= uint(e & entryBits)
		if distance > out {
			err = errDistance
			break
		}
		copyBack(dst, out, distance, length)
		out += length
	}
	f.out, f.in, f.bits, f.have = out, in, bits, have
	return ended, err
}

// copyBack copies length bytes from distance before out to out. It may write
// up to 7 bytes more, for which dst has room.
func copyBack(dst []byte, out, distance, length int) {
	from := out - distance
	switch {
	case distance >= length && length > 32:
		copy(dst[out:out+length], dst[from:from+length])
	case distance >= 8:
		to, src := dst[out:out+length+7], dst[from:from+length+7]
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(to[i:], binary.LittleEndian.Uint64(src[i:]))
		}
	case distance == 1:
		word := uint64(dst[from]) * 0x0101010101010101
		to := dst[out : out+length+7]
		for i := 0; i < length; i += 8 {
			binary.LittleEndian.PutUint64(to[i:], word)
		}
	default:
		to, src := dst[out:out+length], dst[from:from+length]
		for i := range to {
			to[i] = src[i]
		}
	}
}
