package ondisk

import "math"

// Fits says whether n bytes at off lie wholly inside size bytes. No operand
// can make it overflow; anything negative does not fit.
func Fits(off, n, size int64) bool {
	return off >= 0 && n >= 0 && off <= size && n <= size-off
}

// Mul multiplies two counts from a disk. ok is false where the product does
// not fit a positive int64.
func Mul(a, b uint64) (product int64, ok bool) {
	if a != 0 && b > math.MaxInt64/a {
		return 0, false
	}
	return int64(a * b), true
}

// Slice is b[off:off+n], or false where that is not wholly inside b.
func Slice(b []byte, off, n int) ([]byte, bool) {
	if off < 0 || n < 0 || off > len(b) || n > len(b)-off {
		return nil, false
	}
	return b[off : off+n : off+n], true
}
