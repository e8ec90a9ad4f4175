package extent

import "math/bits"

// BitRun is the value of a bit of b and how many bits from it on have it, at
// most n. Bit 0 is the lowest of the first byte or, with msb, the highest.
func BitRun(b []byte, bit, n int, msb bool) (set bool, run int) {
	n = min(n, len(b)*8-bit)
	if n <= 0 {
		return false, 0
	}
	get := func(i int) bool {
		v := b[i/8]
		if msb {
			v = bits.Reverse8(v)
		}
		return v>>(i%8)&1 != 0
	}
	set = get(bit)
	whole := byte(0)
	if set {
		whole = 0xff
	}
	for run = 1; run < n; {
		i := bit + run
		if i%8 == 0 && b[i/8] == whole {
			run += 8
			continue
		}
		if get(i) != set {
			break
		}
		run++
	}
	return set, min(run, n)
}
