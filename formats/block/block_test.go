package block_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/raw"
)

var ctx = context.Background()

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, seed))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func memory(seed uint64, n int) (*blocktest.Memory, []byte) {
	b := random(seed, n)
	return blocktest.NewMemory(bytes.Clone(b)), b
}

func TestSection(t *testing.T) {
	dev, b := memory(1, 200_000)
	s, err := block.Section(dev, 1001, 150_003)
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, s, b[1001:151_004])
	// A section of a section goes to the device itself.
	inner, err := block.Section(s, 7, 100_001)
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, inner, b[1008:101_009])
	empty, err := block.Section(dev, 200_000, 0)
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, empty, nil)
	for _, c := range [][2]int64{{-1, 10}, {0, 200_001}, {200_001, 0}, {1, math.MaxInt64}, {math.MaxInt64, 1}, {5, -1}} {
		if _, err := block.Section(dev, c[0], c[1]); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("section %v: %v", c, err)
		}
	}
	if _, err := block.Section(s, 0, 150_004); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a section larger than its section: %v", err)
	}
}

// TestSectionOfAFile checks that Locate and Prefetch go through.
func TestSectionOfAFile(t *testing.T) {
	b := random(2, 300_000)
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := raw.OpenFile(path, raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	blocktest.Run(t, f, b)
	s, err := block.Section(f, 4096, 200_000)
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, s, b[4096:204_096])
	r, err := s.Locate(ctx, 10, 1<<40)
	if err != nil || r.Kind != block.Data || r.Off != 4106 || r.Len != 200_000-10 || r.File != f.Host() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, ok := s.(block.Prefetcher); !ok {
		t.Error("a section passes no hints on")
	}
}

func TestConcat(t *testing.T) {
	a, x := memory(1, 70_001)
	b, y := memory(2, 3)
	c, z := memory(3, 90_000)
	none := blocktest.NewMemory(nil)
	all, err := block.Concat(none, a, b, none, c, none)
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, all, bytes.Join([][]byte{x, y, z}, nil))
	empty, err := block.Concat()
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, empty, nil)
	if _, err := block.Concat(huge{}, huge{}, a); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("more than an int64: %v", err)
	}
}

// huge is a device of half an int64.
type huge struct{ block.Device }

func (huge) Size() int64 { return math.MaxInt64/2 + 1 }

func TestConcatTellsAShortPart(t *testing.T) {
	a, _ := memory(1, 1000)
	b, _ := memory(2, 1000)
	bad := blocktest.NewFaulty(b)
	bad.FailAt(500, 1, syscall.EIO)
	all, err := block.Concat(a, bad)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := all.ReadAt(ctx, make([]byte, 1500), 100); n != 1400 || !errors.Is(err, syscall.EIO) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestReadFullAndClamp(t *testing.T) {
	dev, b := memory(1, 100)
	p := make([]byte, 60)
	if err := block.ReadFull(ctx, dev, p, 40); err != nil || !bytes.Equal(p, b[40:]) {
		t.Error(err)
	}
	if err := block.ReadFull(ctx, dev, p, 41); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	bad := blocktest.NewFaulty(dev)
	bad.FailNth(1, syscall.EIO)
	if err := block.ReadFull(ctx, bad, p, 0); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	for _, c := range [][4]int64{{0, 10, 5, 5}, {-1, 10, 5, 0}, {5, 1, 5, 0}, {math.MaxInt64, math.MaxInt64, 5, 0}, {3, math.MaxInt64, 5, 2}, {0, -1, 5, 0}} {
		if got := block.Clamp(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("Clamp%v = %d", c[:3], got)
		}
	}
}

func TestOverlay(t *testing.T) {
	const size = 3<<20 + 700 // the last block is cut short
	base, want := memory(4, size)
	unchanged := bytes.Clone(want)
	o, err := block.NewOverlay(base, 1024, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, o, want)
	r := rand.New(rand.NewPCG(8, 8))
	for range 60 {
		off, n := r.IntN(size), 1+r.IntN(5000)
		n = min(n, size-off)
		p := random(uint64(off), n)
		if r.IntN(4) == 0 {
			clear(p)
			err = o.Zero(ctx, int64(off), int64(n))
		} else {
			_, err = o.WriteAt(ctx, p, int64(off))
		}
		if err != nil {
			t.Fatal(err)
		}
		copy(want[off:], p)
	}
	// The last bytes, and blocks that another device has.
	if _, err := o.WriteAt(ctx, []byte("end"), size-3); err != nil {
		t.Fatal(err)
	}
	copy(want[size-3:], "end")
	journal, there := memory(5, 10_000)
	for i := range 5 {
		if err := o.Redirect(int64(i)*3*1024, journal, int64(i)*1000+1); err != nil {
			t.Fatal(err)
		}
		copy(want[i*3*1024:][:1024], there[i*1000+1:])
	}
	// A write over a part of such a block keeps the rest of it.
	if _, err := o.WriteAt(ctx, []byte("part"), 3*1024+100); err != nil {
		t.Fatal(err)
	}
	copy(want[3*1024+100:], "part")
	blocktest.Run(t, o, want)
	o.Restore(6 * 1024)
	copy(want[6*1024:][:1024], unchanged[6*1024:])
	o.Restore(6 * 1024)
	blocktest.Run(t, o, want)
	if !bytes.Equal(base.Bytes(), unchanged) {
		t.Error("the base was changed")
	}
	if n := o.Len(); n == 0 || o.Base() != block.Device(base) {
		t.Error(n)
	}
	if run, err := o.Locate(ctx, 0, size); err != nil || run.Kind != block.Opaque || run.Len != 1024 {
		t.Errorf("a changed block: %+v, %v", run, err)
	}
}

func TestOverlayIsBounded(t *testing.T) {
	base, _ := memory(1, 1<<20)
	o, err := block.NewOverlay(base, 4096, 10*(4096+96))
	if err != nil {
		t.Fatal(err)
	}
	n, err := o.WriteAt(ctx, make([]byte, 100*4096), 0)
	if n != 10*4096 || !errors.Is(err, block.ErrOverlayFull) || !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("%d, %v", n, err)
	}
	// What is there can be written again, and room is given back.
	if _, err := o.WriteAt(ctx, make([]byte, 4096), 0); err != nil {
		t.Error(err)
	}
	o.Restore(0)
	if _, err := o.WriteAt(ctx, make([]byte, 4096), 90*4096); err != nil {
		t.Error(err)
	}
	if _, err := o.WriteAt(ctx, make([]byte, 2), 1<<20-1); err != io.ErrShortWrite {
		t.Error(err)
	}
	for _, c := range [][2]int64{{1, 0}, {-4096, 0}, {1 << 20, 0}, {0, 1<<20 - 4095}, {0, -1}} {
		if err := o.Redirect(c[0], base, c[1]); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("Redirect%v: %v", c, err)
		}
	}
	for _, size := range []int64{0, 511, 513, 3000, 2 << 20} {
		if _, err := block.NewOverlay(base, size, 1); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("blocks of %d: %v", size, err)
		}
	}
}

func TestKindString(t *testing.T) {
	if block.Opaque.String() != "opaque" || block.Data.String() != "data" || block.Zero.String() != "zero" {
		t.Error("names")
	}
}

// TestSectionWrites changes what is inside and refuses what is not.
func TestSectionWrites(t *testing.T) {
	dev, b := memory(3, 100_000)
	outer, err := block.Section(dev, 1000, 90_000)
	if err != nil {
		t.Fatal(err)
	}
	part, err := block.Section(outer, 500, 50_000)
	if err != nil {
		t.Fatal(err)
	}
	w, ok := part.(block.Writer)
	if !ok {
		t.Fatal("a section of a Writer is no Writer")
	}
	if n, err := w.WriteAt(ctx, []byte("hello"), 49_995); n != 5 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
	copy(b[1500+49_995:], "hello")
	if err := w.Zero(ctx, 7, 100); err != nil {
		t.Error(err)
	}
	clear(b[1507:1607])
	for _, off := range []int64{-1, 49_996, 50_000, math.MaxInt64} {
		if n, err := w.WriteAt(ctx, []byte("hello"), off); n != 0 || !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("WriteAt(%d) = %d, %v", off, n, err)
		}
		if err := w.Zero(ctx, off, 5); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("Zero(%d) = %v", off, err)
		}
	}
	if err := w.Zero(ctx, 0, -1); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Zero of less than nothing: %v", err)
	}
	if err := w.Sync(ctx); err != nil {
		t.Error(err)
	}
	blocktest.Run(t, dev, b)
	if s, err := block.Section(block.ReadOnly(dev), 0, 10); err != nil {
		t.Error(err)
	} else if _, ok := s.(block.Writer); ok {
		t.Error("a section of what may not be written is a Writer")
	}
}
