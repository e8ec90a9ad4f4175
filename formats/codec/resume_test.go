package codec

import (
	"bytes"
	"compress/flate"
	"errors"
	"math/rand/v2"
	"testing"
)

// inBlocks compresses b with blocks that end at odd places.
func inBlocks(t testing.TB, b []byte, level int, r *rand.Rand) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(90_000))
		if _, err := w.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		if r.IntN(2) == 0 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		b = b[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// inParts decodes src with buffers of random sizes, takes up the stream at each cut a second time, and gives all of it.
func inParts(t *testing.T, src []byte, limit int, r *rand.Rand) ([]byte, error) {
	t.Helper()
	var inf, again Inflater
	var all []byte
	for cut, at := (Cut{}), 0; ; {
		before := all[max(0, len(all)-32<<10):]
		dst := make([]byte, len(before)+CutRoom+1+r.IntN(100_000))
		copy(dst, before)
		part := src[at:]
		more := false
		if n := CutInput + 1 + r.IntN(50_000); n < len(part) {
			part, more = part[:n], true
		}
		out, used, next, ended, err := inf.Part(cut, dst, len(before), part, more)
		if err != nil {
			return nil, err
		}
		if out == len(before) && used == 0 && next.bit == cut.bit && !ended {
			t.Fatal("no progress")
		}
		// The same piece on its own: the last bits may be in the next byte.
		fill := append(bytes.Clone(before), make([]byte, out-len(before))...)
		end, _, _, err := again.Fill(cut, fill, len(before), src[at:min(at+used+1, len(src))])
		if err != nil || end != out || !bytes.Equal(fill, dst[:out]) {
			t.Fatalf("a piece on its own: %d bytes, not %d: %v", end, out, err)
		}
		all = append(all, dst[len(before):out]...)
		at, cut = at+used, next
		if len(all) > limit {
			t.Fatal("more than there is")
		}
		if ended {
			if at != len(src) {
				t.Errorf("it ends after %d of %d bytes", at, len(src))
			}
			return all, nil
		}
	}
}

// TestParts decodes streams in parts as they are decoded whole.
func TestParts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	text := bytes.Repeat([]byte("the quick brown fox "), 20_000)
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, b := range map[string][]byte{
		"empty": nil, "a byte": {7}, "zeros": make([]byte, 3<<20), "text": text, "noise": noise,
		"mixed": bytes.Join([][]byte{text, noise[:70_000], make([]byte, 1<<20), noise, text}, nil),
	} {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9} {
			for range 4 {
				got, err := inParts(t, inBlocks(t, b, level, r), len(b), r)
				if err != nil || !bytes.Equal(got, b) {
					t.Fatalf("%s, level %d: %d bytes of %d: %v", name, level, len(got), len(b), err)
				}
			}
		}
	}
	good := inBlocks(t, text, 6, r)
	if _, err := inParts(t, good[:len(good)-5], len(text), r); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut off: %v", err)
	}
}

// FuzzParts decodes damaged streams in parts as whole.
func FuzzParts(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
		f.Add(inBlocks(f, bytes.Repeat([]byte("abcdefgh"), 200), level, r), uint16(700))
	}
	f.Fuzz(func(t *testing.T, src []byte, size uint16) {
		const limit = 1 << 18
		whole := make([]byte, limit)
		n, _, ended, wholeErr := (&inflater{}).inflate(whole, src)
		var inf Inflater
		out := make([]byte, limit+2*CutRoom)
		at, done := 0, 0
		for cut := (Cut{}); done < limit; {
			part := src[at:]
			more := len(part) > CutInput+1+int(size)
			if more {
				part = part[:CutInput+1+int(size)]
			}
			to, used, next, end, err := inf.Part(cut, out, done, part, more)
			if err != nil {
				if wholeErr == nil && n < limit {
					t.Fatalf("in parts: %v", err)
				}
				return
			}
			at, done, cut = at+used, to, next
			if end {
				if done < limit && (wholeErr != nil || !ended || done != n) {
					t.Fatalf("it ends after %d bytes; whole: %d, %v, %v", done, n, ended, wholeErr)
				}
				break
			}
			if !more && done < len(out)-CutRoom {
				t.Fatal("it stops")
			}
		}
		if k := min(done, n); !bytes.Equal(out[:k], whole[:k]) {
			t.Fatal("other bytes")
		}
	})
}
