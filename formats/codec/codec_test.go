package codec

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"compress/flate"
	"compress/zlib"

	"github.com/klauspost/compress/zstd"
)

// sample is text-like data that compresses and that no two seeds share.
func sample(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	words := make([][]byte, 500)
	for i := range words {
		w := make([]byte, 2+r.IntN(9))
		for j := range w {
			w[j] = byte('a' + r.IntN(26))
		}
		words[i] = w
	}
	var b []byte
	for len(b) < n {
		b = append(append(b, words[r.IntN(len(words))]...), ' ')
	}
	return b[:n]
}

func pack(t testing.TB, name string, p []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch name {
	case "deflate":
		w, err = flate.NewWriter(&out, 6)
	case "zlib":
		w = zlib.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	}
	if err == nil {
		_, err = w.Write(p)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func all() []*Codec { return []*Codec{Deflate(), Zlib(), Zstd()} }

func TestDecode(t *testing.T) {
	for _, c := range all() {
		want := sample(1, 100_000)
		src := pack(t, c.Name(), want)
		for _, size := range []int{0, 1, 4096, 99_999, 100_000} {
			dst := make([]byte, size)
			n, err := c.Decode(dst, src)
			if n != size || err != nil || !bytes.Equal(dst, want[:size]) {
				t.Errorf("%s into %d: %d, %v", c.Name(), size, n, err)
			}
		}
		// A stream that ends before the buffer is short, not damaged.
		dst := make([]byte, 200_000)
		if n, err := c.Decode(dst, src); n != 100_000 || err != nil {
			t.Errorf("%s into more: %d, %v", c.Name(), n, err)
		}
		// What stands behind the block is not looked at once dst is full.
		if n, err := c.Decode(dst[:100_000], append(bytes.Clone(src), 0xff, 0xee, 1, 2, 3)); n != 100_000 || err != nil {
			t.Errorf("%s with padding: %d, %v", c.Name(), n, err)
		}
	}
}

func TestDamage(t *testing.T) {
	for _, c := range all() {
		want := sample(2, 70_000)
		src := pack(t, c.Name(), want)
		dst := make([]byte, len(want))
		for _, cut := range []int{0, 1, 5, len(src) / 2} {
			if n, err := c.Decode(dst, src[:cut]); n == len(dst) || cut > 0 && !errors.Is(err, ErrDamaged) {
				t.Errorf("%s cut at %d: %d, %v", c.Name(), cut, n, err)
			}
		}
		bad := bytes.Clone(src)
		for i := range bad[:64] {
			bad[i] = 0xff
		}
		if _, err := c.Decode(dst, bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s of garbage: %v", c.Name(), err)
		}
		// The decoder that met damage serves the next block.
		if n, err := c.Decode(dst, src); n != len(dst) || err != nil || !bytes.Equal(dst, want) {
			t.Errorf("%s after damage: %d, %v", c.Name(), n, err)
		}
	}
}

func TestBombCostsTheBufferOnly(t *testing.T) {
	bomb := make([]byte, 256<<20)
	for _, c := range all() {
		src := pack(t, c.Name(), bomb)
		dst := make([]byte, 65536)
		c.Decode(dst, src)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if n, err := c.Decode(dst, src); n != len(dst) || err != nil {
			t.Errorf("%s: %d, %v", c.Name(), n, err)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 32<<20 {
			t.Errorf("%s allocates %d bytes for a block of %d", c.Name(), got, len(dst))
		}
	}
}

func TestZstdWindowIsBounded(t *testing.T) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(sample(3, 1<<20))
	w.Flush()
	w.Write(sample(4, 1<<20))
	w.Close()
	if n, err := Zstd().Decode(make([]byte, 1<<20), out.Bytes()); !errors.Is(err, ErrDamaged) {
		t.Errorf("a window of 64 MiB: %d, %v", n, err)
	}
}

func TestConcurrent(t *testing.T) {
	for _, c := range all() {
		var wg sync.WaitGroup
		for g := range uint64(8) {
			wg.Go(func() {
				want := sample(g, 50_000)
				src := pack(t, c.Name(), want)
				dst := make([]byte, len(want))
				for range 20 {
					if n, err := c.Decode(dst, src); n != len(dst) || err != nil || !bytes.Equal(dst, want) {
						t.Errorf("%s: %d, %v", c.Name(), n, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func FuzzDecode(f *testing.F) {
	for i, c := range all() {
		f.Add(uint8(i), pack(f, c.Name(), sample(1, 3000)))
	}
	codecs := all()
	f.Fuzz(func(t *testing.T, which uint8, src []byte) {
		dst := make([]byte, 8192)
		n, err := codecs[int(which)%len(codecs)].Decode(dst, src)
		if n < 0 || n > len(dst) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range all() {
		b.Run(c.Name(), func(b *testing.B) {
			want := sample(1, 65536)
			src := pack(b, c.Name(), want)
			dst := make([]byte, len(want))
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Decode(dst, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
