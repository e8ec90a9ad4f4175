package blocktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
)

// Run checks that dev holds the bytes of want and keeps a Device's promises:
// io.ReaderAt's rules at odd offsets and at the end, Locate that agrees with
// ReadAt, and both from many goroutines at once.
func Run(t *testing.T, dev block.Device, want []byte) {
	t.Helper()
	t.Run("size", func(t *testing.T) {
		if dev.Size() != int64(len(want)) {
			t.Fatalf("Size is %d, want %d", dev.Size(), len(want))
		}
	})
	if t.Failed() {
		return
	}
	t.Run("whole", func(t *testing.T) { checkWhole(t, dev, want) })
	t.Run("odd offsets", func(t *testing.T) { checkOdd(t, dev, want, 1) })
	t.Run("end", func(t *testing.T) { checkEnd(t, dev, want) })
	t.Run("locate", func(t *testing.T) { checkLocate(t, dev, want) })
	t.Run("cancelled", func(t *testing.T) { checkCancelled(t, dev) })
	t.Run("concurrent", func(t *testing.T) {
		var wg sync.WaitGroup
		for g := range uint64(6) {
			wg.Go(func() {
				if g%3 != 0 {
					checkOdd(t, dev, want, g)
				} else {
					checkWhole(t, dev, want)
				}
			})
		}
		wg.Go(func() { checkLocate(t, dev, want) })
		wg.Go(func() { block.Prefetch(dev, 0, int64(len(want))) })
		wg.Wait()
	})
}

// checkWhole reads all of dev in order.
func checkWhole(t *testing.T, dev block.Device, want []byte) {
	buf := make([]byte, 100_003)
	for off := 0; off < len(want); off += len(buf) {
		fillGarbage(buf)
		n, err := dev.ReadAt(context.Background(), buf, int64(off))
		if last := len(want) - off; last < len(buf) {
			if n != last || err != io.EOF {
				t.Errorf("ReadAt(%d bytes at %d) = %d, %v; want %d, EOF", len(buf), off, n, err, last)
				return
			}
		} else if n != len(buf) || err != nil {
			t.Errorf("ReadAt(%d bytes at %d) = %d, %v", len(buf), off, n, err)
			return
		}
		if !same(t, buf[:n], want[off:], int64(off)) {
			return
		}
	}
}

// checkOdd reads at places and lengths that keep to no boundary, and around
// the boundaries.
func checkOdd(t *testing.T, dev block.Device, want []byte, seed uint64) {
	if len(want) == 0 {
		return
	}
	r := rand.New(rand.NewPCG(seed, 99))
	for i := range 120 {
		off, n := r.IntN(len(want)), 1+r.IntN(9000)
		switch i % 4 {
		case 1: // across a boundary
			off = max(0, off&^4095-1-r.IntN(3))
		case 2: // a small one
			n = 1 + r.IntN(16)
		case 3: // a large one
			n = 1 + r.IntN(200_000)
		}
		n = min(n, len(want)-off)
		buf := make([]byte, n)
		fillGarbage(buf)
		if got, err := dev.ReadAt(context.Background(), buf, int64(off)); got != n || err != nil && !(err == io.EOF && off+n == len(want)) {
			t.Errorf("ReadAt(%d bytes at %d) = %d, %v", n, off, got, err)
			return
		}
		if !same(t, buf, want[off:off+n], int64(off)) {
			return
		}
	}
}

// checkEnd reads at and beyond the end.
func checkEnd(t *testing.T, dev block.Device, want []byte) {
	ctx, size := context.Background(), int64(len(want))
	for _, off := range []int64{size, size + 1, size + 1<<30, math.MaxInt64} {
		if n, err := dev.ReadAt(ctx, make([]byte, 10), off); n != 0 || err != io.EOF {
			t.Errorf("ReadAt(10 bytes at %d of %d) = %d, %v; want 0, EOF", off, size, n, err)
		}
		if _, err := dev.Locate(ctx, off, 10); err != io.EOF {
			t.Errorf("Locate(10 bytes at %d of %d): %v, want EOF", off, size, err)
		}
	}
	if n, err := dev.ReadAt(ctx, nil, 0); n != 0 || err != nil && err != io.EOF {
		t.Errorf("ReadAt of nothing = %d, %v", n, err)
	}
	if _, err := dev.ReadAt(ctx, make([]byte, 10), -1); err == nil {
		t.Error("ReadAt at -1 is no error")
	}
	if size > 0 {
		buf := make([]byte, 100)
		off := max(0, size-50)
		if n, err := dev.ReadAt(ctx, buf, off); int64(n) != size-off || err != io.EOF || !bytes.Equal(buf[:n], want[off:]) {
			t.Errorf("ReadAt(100 bytes at %d of %d) = %d, %v", off, size, n, err)
		}
	}
}

// checkLocate walks all runs and compares each with the bytes.
func checkLocate(t *testing.T, dev block.Device, want []byte) {
	ctx, size := context.Background(), int64(len(want))
	r := rand.New(rand.NewPCG(5, 5))
	runs := 0
	for off := int64(0); off < size; runs++ {
		ask := size - off
		if runs%3 == 1 {
			ask = 1 + r.Int64N(ask)
		}
		run, err := dev.Locate(ctx, off, ask)
		if err != nil || run.Len <= 0 || run.Len > ask {
			t.Errorf("Locate(%d bytes at %d) = %v %d, %v", ask, off, run.Kind, run.Len, err)
			return
		}
		part := want[off : off+run.Len]
		switch run.Kind {
		case block.Zero:
			if !same(t, make([]byte, len(part)), part, off) {
				t.Errorf("Locate said that %d bytes at %d are zero", run.Len, off)
				return
			}
		case block.Data:
			got := make([]byte, len(part))
			n, err := run.File.ReadAt(got, run.Off)
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if n != len(got) || err != nil || !same(t, got, part, off) {
				t.Errorf("Locate said that %d bytes at %d lie at %d of %s: %d, %v", run.Len, off, run.Off, run.File.Name(), n, err)
				return
			}
		}
		off += run.Len
	}
}

// checkCancelled asks with a context that has ended: the answer is its error
// or, from memory, the bytes.
func checkCancelled(t *testing.T, dev block.Device) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	buf := make([]byte, min(dev.Size(), 64))
	if n, err := dev.ReadAt(ctx, buf, 0); err != nil && !errors.Is(err, context.Canceled) || err == nil && n != len(buf) {
		t.Errorf("ReadAt of an ended context = %d, %v", n, err)
	}
}

// fillGarbage puts bytes into b that no test expects, since a Device must
// write zeros too.
func fillGarbage(b []byte) {
	for n := copy(b, "\xa5\x5a\xc3\x99\x81"); n > 0 && n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

func same(t *testing.T, got, want []byte, off int64) bool {
	want = want[:min(len(got), len(want))]
	if bytes.Equal(got, want) {
		return true
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("byte %d is %#x, want %#x", off+int64(i), got[i], want[i])
			return false
		}
	}
	t.Errorf("%d bytes at %d, want %d", len(got), off, len(want))
	return false
}
