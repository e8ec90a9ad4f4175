package raid

// A field is GF(2^8) with the polynomial 0x11D, in which 2 generates all
// numbers but 0.
type field struct {
	exp [510]byte // exp[i] = 2^i
	log [256]int
}

func newField() *field {
	f := &field{}
	x := 1
	for i := range 255 {
		f.exp[i], f.exp[i+255] = byte(x), byte(x)
		f.log[x] = i
		if x <<= 1; x > 255 {
			x ^= 0x11d
		}
	}
	return f
}

// power is 2^n; n may be negative.
func (f *field) power(n int) byte { return f.exp[(n%255+255)%255] }

func (f *field) multiply(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return f.exp[f.log[a]+f.log[b]]
}

// inverse is 1/a; a is not 0.
func (f *field) inverse(a byte) byte { return f.power(-f.log[a]) }

// table is c times each number.
func (f *field) table(c byte) (t [256]byte) {
	for i := range t {
		t[i] = f.multiply(byte(i), c)
	}
	return t
}

// addTo adds c times src to dst.
func (f *field) addTo(dst, src []byte, c byte) {
	t := f.table(c)
	for i, b := range src {
		dst[i] ^= t[b]
	}
}

// scale sets dst to c times src.
func (f *field) scale(dst, src []byte, c byte) {
	t := f.table(c)
	for i, b := range src {
		dst[i] = t[b]
	}
}
