package codec

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// deflated packs p at a level of compress/flate, with a flush now and then.
func deflated(t testing.TB, p []byte, level int, flush int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	for len(p) > 0 {
		n := len(p)
		if flush > 0 {
			n = min(n, flush)
		}
		if _, err := w.Write(p[:n]); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
		if flush > 0 {
			w.Flush()
		}
	}
	w.Close()
	return out.Bytes()
}

// kinds are data that lead to every kind of block and match.
func kinds() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 9))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	skewed := make([]byte, 200_000) // long codes
	for i := range skewed {
		skewed[i] = byte(min(r.ExpFloat64()*6, 255))
	}
	fib := make([]byte, 0, 300_000) // the longest codes
	for s, a, b := 0, 1, 1; s < 24; s, a, b = s+1, b, a+b {
		fib = append(fib, bytes.Repeat([]byte{byte(s * 11)}, min(a, 60_000))...)
	}
	r.Shuffle(len(fib), func(i, j int) { fib[i], fib[j] = fib[j], fib[i] })
	short := make([]byte, 0, 100_000) // matches of each short distance
	for d := 1; d < 40; d++ {
		short = append(short, bytes.Repeat(noise[d*50:d*50+d], 2500/d)...)
	}
	far := append(append(bytes.Clone(noise[:32_768]), noise[:300]...), noise[5:32_000]...)
	return map[string][]byte{"none": nil, "one": {7}, "text": sample(1, 300_000), "noise": noise, "skewed": skewed,
		"fibonacci": fib, "zeros": make([]byte, 500_000), "short": short, "far": far}
}

func TestInflate(t *testing.T) {
	var f inflater
	for name, want := range kinds() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			for _, flush := range []int{0, 777} {
				src := deflated(t, want, level, flush)
				for _, room := range []int{0, 1, 300, 100_000} {
					dst := make([]byte, len(want)+room)
					tail := append(bytes.Clone(src), make([]byte, room%64)...)
					n, used, ended, err := f.inflate(dst, tail)
					if n != len(want) || !bytes.Equal(dst[:n], want) || err != nil || !ended || used != len(src) {
						t.Fatalf("%s, level %d, flush %d, room %d: %d of %d, used %d of %d, ended %t, %v",
							name, level, flush, room, n, len(want), used, len(src), ended, err)
					}
				}
				if len(want) > 1000 { // less room than there is
					dst := make([]byte, len(want)-999)
					if n, _, ended, err := f.inflate(dst, src); n != len(dst) || ended || err != nil || !bytes.Equal(dst, want[:n]) {
						t.Fatalf("%s cut short: %d, ended %t, %v", name, n, ended, err)
					}
				}
			}
		}
	}
}

func TestInflateCutAnywhere(t *testing.T) {
	want := sample(5, 3000)
	var f inflater
	for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
		src := deflated(t, want, level, 1000)
		for cut := range src {
			dst := make([]byte, len(want)+10)
			n, _, ended, err := f.inflate(dst, src[:cut])
			if ended || !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errCode) && err == nil || !bytes.Equal(dst[:n], want[:n]) {
				t.Fatalf("level %d cut at %d: %d, ended %t, %v", level, cut, n, ended, err)
			}
		}
	}
}

// bitWriter writes fields from the lowest bit on, as deflate does.
type bitWriter struct {
	b []byte
	n uint
}

func (w *bitWriter) put(v uint64, n uint) *bitWriter {
	for i := range n {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
	return w
}

// dynamic begins a dynamic block whose code length code has the lengths 0 to
// 15 with four bits each.
func dynamic(lengths, distances uint64) *bitWriter {
	w := (&bitWriter{}).put(5, 3).put(lengths-257, 5).put(distances-1, 5).put(15, 4)
	for _, s := range codeOrder {
		if s < 16 {
			w.put(4, 3)
		} else {
			w.put(0, 3)
		}
	}
	return w
}

// length puts a code length in that code, first bit first.
func (w *bitWriter) length(n uint64) *bitWriter {
	for i := 3; i >= 0; i-- {
		w.put(n>>i&1, 1)
	}
	return w
}

func TestInflateDamage(t *testing.T) {
	codes := func(lengths map[int]uint64, distances ...uint64) *bitWriter {
		w := dynamic(257, uint64(len(distances)))
		for s := range 257 {
			w.length(lengths[s])
		}
		for _, d := range distances {
			w.length(d)
		}
		return w
	}
	for _, c := range []struct {
		name string
		src  []byte
		want error
	}{
		{"type 3", []byte{7, 0, 0}, errBlockType},
		{"stored", []byte{1, 5, 0, 5, 0, 1, 2, 3, 4, 5}, errStored},
		{"stored cut", []byte{1, 5, 0, 0xfa, 0xff, 1, 2}, io.ErrUnexpectedEOF},
		{"many lengths", (&bitWriter{}).put(5, 3).put(30, 5).put(0, 5).put(15, 4).put(0, 60).b, errManyCodes},
		{"many distances", (&bitWriter{}).put(5, 3).put(0, 5).put(31, 5).put(15, 4).put(0, 60).b, errManyCodes},
		{"no end", codes(map[int]uint64{65: 1, 66: 1}, 1).put(0, 64).b, errNoEnd},
		{"oversubscribed", codes(map[int]uint64{65: 1, 66: 1, 256: 1}, 1).put(0, 64).b, errOversubscribed},
		{"incomplete", codes(map[int]uint64{65: 2, 256: 2}, 1).put(0, 64).b, errIncomplete},
		{"incomplete distances", codes(map[int]uint64{65: 1, 256: 1}, 2, 2).put(0, 64).b, errIncomplete},
		// Fixed code: a match at the very beginning.
		{"distance", (&bitWriter{}).put(3, 3).put(0b1000000, 7).put(0, 5).put(0, 64).b, errDistance},
		// Fixed code: symbol 286, whose code is 11000110, and distance 30.
		{"symbol 286", (&bitWriter{}).put(3, 3).put(0b01100011, 8).put(0, 64).b, errCode},
		{"distance 30", (&bitWriter{}).put(3, 3).put(0b00001100, 8).put(0b1000000, 7).put(0b01111, 5).put(0, 64).b, errCode},
		{"repeat nothing", func() []byte {
			w := (&bitWriter{}).put(5, 3).put(0, 5).put(0, 5).put(15, 4)
			for _, s := range codeOrder {
				if s == 16 || s == 1 {
					w.put(1, 3)
				} else {
					w.put(0, 3)
				}
			}
			return w.put(1, 1).put(0, 64).b
		}(), errRepeat},
	} {
		// Near the end of the input and far from it: both loops.
		for _, more := range []int{0, 2000} {
			var f inflater
			n, _, ended, err := f.inflate(make([]byte, 1000), append(bytes.Clone(c.src), make([]byte, more)...))
			if c.want == io.ErrUnexpectedEOF && more > 0 {
				continue
			}
			if ended || !errors.Is(err, c.want) {
				t.Errorf("%s: %d, ended %t, %v; want %v", c.name, n, ended, err, c.want)
			}
		}
	}
	// One distance code of one bit, and none at all, are no damage.
	for _, d := range []uint64{0, 1} {
		var f inflater
		w := codes(map[int]uint64{65: 1, 256: 1}, d).put(0, 1).put(0, 1).put(1, 1)
		if n, _, ended, err := f.inflate(make([]byte, 10), w.b); n != 2 || !ended || err != nil {
			t.Errorf("a distance of %d bits: %d, %t, %v", d, n, ended, err)
		}
	}
}

func TestZlibChecksum(t *testing.T) {
	want := sample(6, 5000)
	src := pack(t, "zlib", want)
	for _, c := range []struct {
		b    []byte
		want error
	}{
		{append(bytes.Clone(src[:len(src)-1]), ^src[len(src)-1]), errZlibChecksum},
		{src[:len(src)-2], io.ErrUnexpectedEOF},
		{append([]byte{0x78, 0x00}, src[2:]...), errZlibHeader},
		{append([]byte{0x79, 0x9c}, src[2:]...), errZlibHeader},
		{append([]byte{0x78, 0xbb}, src[2:]...), errZlibPreset},
		{src[:1], io.ErrUnexpectedEOF},
	} {
		if _, err := Zlib().Decode(make([]byte, len(want)), c.b); !errors.Is(err, c.want) || !errors.Is(err, ErrDamaged) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}

// FuzzInflate compares with compress/flate, whatever the bytes are.
func FuzzInflate(f *testing.F) {
	for _, p := range kinds() {
		p = p[:min(len(p), 6000)]
		for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
			f.Add(deflated(f, p, level, 0), uint16(8000))
			f.Add(deflated(f, p, level, 500), uint16(3000))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte, room uint16) {
		var in inflater
		dst := make([]byte, room)
		n, used, ended, err := in.inflate(dst, src)
		want := make([]byte, room)
		oracle := flate.NewReader(bytes.NewReader(src))
		m, oracleErr := io.ReadFull(oracle, want)
		oracleEnded := oracleErr == io.EOF
		if oracleErr == io.ErrUnexpectedEOF || oracleErr == nil { // ended, or cut off, or full?
			one := make([]byte, 1)
			more, e := oracle.Read(one)
			oracleEnded = more == 0 && e == io.EOF
		}
		if common := min(n, m); !bytes.Equal(dst[:common], want[:common]) {
			t.Fatalf("the first %d bytes differ", common)
		}
		if ended && (!oracleEnded || n != m || used > len(src)) {
			t.Fatalf("we ended after %d bytes, compress/flate: %d, %v", n, m, oracleErr)
		}
		// compress/flate takes a code without an end and incomplete codes in
		// some cases where zlib and we do not.
		strict := errors.Is(err, errNoEnd) || errors.Is(err, errIncomplete) || errors.Is(err, errCode)
		if oracleEnded && !ended && !strict {
			t.Fatalf("compress/flate ended after %d bytes; we: %d, %v", m, n, err)
		}
		if err == nil && !ended && n != len(dst) {
			t.Fatalf("%d of %d bytes and no error", n, len(dst))
		}
	})
}
