package vfs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// A sliced is an Inode whose Map answers the extents of a list, cut to at most
// cut bytes each.
type sliced struct {
	vfs.Inode
	extents []vfs.Extent
	cut     int64
	mapErr  map[int64]error // by offset: Map fails from there on
}

func (s *sliced) Attr() vfs.Attr {
	size := int64(0)
	for _, e := range s.extents {
		size += e.Len
	}
	return vfs.Attr{Mode: syscall.S_IFREG | 0o644, Size: size}
}

func (s *sliced) Map(_ context.Context, off, n int64) (vfs.Extent, error) {
	for at, err := range s.mapErr {
		if off >= at {
			return vfs.Extent{}, err
		}
		n = min(n, at-off)
	}
	start := int64(0)
	for _, e := range s.extents {
		if off < start+e.Len {
			in := off - start
			e.Len = min(e.Len-in, n, s.cut)
			e.Off += in
			if e.Kind == vfs.Inline {
				e.Inline = e.Inline[in:]
			}
			if decode := e.Decode; decode != nil {
				e.Decode = func(ctx context.Context, p []byte, at int64) (int, error) { return decode(ctx, p, in+at) }
			}
			return e, nil
		}
		start += e.Len
	}
	return vfs.Extent{}, syscall.EINVAL
}

// A counted is a device of random bytes that remembers its reads.
type counted struct {
	data  []byte
	bad   int64 // reads that reach it end there with EIO; 0: none
	mu    sync.Mutex
	reads [][2]int64
}

func (d *counted) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	d.mu.Lock()
	d.reads = append(d.reads, [2]int64{off, int64(len(p))})
	d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n := copy(p, d.data[min(off, int64(len(d.data))):])
	if d.bad > 0 && off+int64(n) > d.bad {
		return int(max(0, d.bad-off)), syscall.EIO
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *counted) Locate(_ context.Context, _, n int64) (block.Run, error) {
	return block.Run{Kind: block.Opaque, Len: n}, nil
}
func (d *counted) Size() int64 { return int64(len(d.data)) }

func device(n int) *counted {
	rnd := rand.New(rand.NewPCG(9, 9))
	d := &counted{data: make([]byte, n)}
	for i := range d.data {
		d.data[i] = byte(rnd.Uint32())
	}
	return d
}

// mixed is a file of every kind of extent, and its bytes.
func mixed(cut int64) (*sliced, []byte, *counted) {
	dev := device(1 << 20)
	f := &sliced{cut: cut, extents: []vfs.Extent{
		{Kind: vfs.Mapped, Dev: dev, Off: 500_000, Len: 100_000},
		{Kind: vfs.Hole, Len: 50_001},
		{Kind: vfs.Inline, Inline: []byte("inline bytes"), Len: 12},
		{Kind: vfs.Mapped, Dev: dev, Off: 0, Len: 200_000},
		{Kind: vfs.Mapped, Dev: dev, Off: 200_000, Len: 70_000}, // adjoins
		{Kind: vfs.Encoded, Len: 90_000, Decode: func(_ context.Context, p []byte, off int64) (int, error) {
			for i := range p {
				p[i] = byte(off + int64(i))
			}
			return len(p), nil
		}},
		{Kind: vfs.Hole, Len: 7, Unwritten: true},
		{Kind: vfs.Mapped, Dev: dev, Off: 900_000, Len: 3},
	}}
	var want []byte
	for _, e := range f.extents {
		switch e.Kind {
		case vfs.Hole:
			want = append(want, make([]byte, e.Len)...)
		case vfs.Mapped:
			want = append(want, dev.data[e.Off:e.Off+e.Len]...)
		case vfs.Inline:
			want = append(want, e.Inline...)
		case vfs.Encoded:
			p := make([]byte, e.Len)
			e.Decode(context.Background(), p, 0)
			want = append(want, p...)
		}
	}
	return f, want, dev
}

func TestReadAt(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, cut := range []int64{1 << 40, 40_000, 4096, 777} {
		f, want, _ := mixed(cut)
		size := int64(len(want))
		asks := [][2]int64{{0, size}, {0, size + 10}, {size - 1, 1}, {size - 1, 2}, {99_999, 50_005}, {150_001, 12}, {0, 0}}
		for range 200 {
			asks = append(asks, [2]int64{rnd.Int64N(size), rnd.Int64N(300_000)})
		}
		for _, a := range asks {
			p := bytes.Repeat([]byte{0x5a}, int(a[1]))
			n, err := vfs.ReadAt(t.Context(), f, p, a[0])
			part := want[a[0]:min(a[0]+a[1], size)]
			if n != len(part) || !bytes.Equal(p[:n], part) {
				t.Fatalf("cut %d: ReadAt(%d, %d) = %d, %v, or other bytes", cut, a[0], a[1], n, err)
			}
			if wantErr := n < len(p); (err == io.EOF) != wantErr || err != nil && !wantErr {
				t.Fatalf("cut %d: ReadAt(%d, %d): %v", cut, a[0], a[1], err)
			}
			if n < len(p) && p[n] != 0x5a {
				t.Fatalf("cut %d: ReadAt(%d, %d) wrote behind the end", cut, a[0], a[1])
			}
		}
		for _, off := range []int64{size, size + 1, 1<<63 - 1} {
			if n, err := vfs.ReadAt(t.Context(), f, make([]byte, 3), off); n != 0 || err != io.EOF {
				t.Errorf("ReadAt(%d) at the end: %d, %v", off, n, err)
			}
		}
		if _, err := vfs.ReadAt(t.Context(), f, make([]byte, 3), -1); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("ReadAt(-1): %v", err)
		}
		if b, err := io.ReadAll(vfs.NewReader(t.Context(), f)); err != nil || !bytes.Equal(b, want) {
			t.Errorf("NewReader: %d bytes, %v", len(b), err)
		}
	}
}

// TestReadAtMerges checks that adjoining extents make one read of the device.
func TestReadAtMerges(t *testing.T) {
	dev := device(1 << 20)
	f := &sliced{cut: 4096, extents: []vfs.Extent{{Kind: vfs.Mapped, Dev: dev, Off: 4096, Len: 1 << 19}, {Kind: vfs.Hole, Len: 9}, {Kind: vfs.Mapped, Dev: dev, Off: 0, Len: 4096}}}
	p := make([]byte, f.Attr().Size)
	if _, err := vfs.ReadAt(t.Context(), f, p, 0); err != nil {
		t.Fatal(err)
	}
	if len(dev.reads) != 2 || !bytes.Equal(p[:1<<19], dev.data[4096:4096+1<<19]) || !bytes.Equal(p[1<<19+9:], dev.data[:4096]) {
		t.Errorf("reads of the device: %v", dev.reads)
	}
}

// TestReadAtErrors checks that the bytes in front of a failure are good and
// counted, whichever piece fails and however the pieces were read.
func TestReadAtErrors(t *testing.T) {
	for _, cut := range []int64{1 << 40, 50_000, 1000} {
		f, want, dev := mixed(cut)
		dev.bad = 150_000 // of the device: 300 013 of the file; what lies behind it on the device fails, too
		f.extents[0].Kind, f.extents[0].Len = vfs.Hole, 100_000
		clear(want[:100_000])
		p := make([]byte, len(want))
		n, err := vfs.ReadAt(t.Context(), f, p, 0)
		first := 100_000 + 50_001 + 12 + 150_000
		if !errors.Is(err, syscall.EIO) || n > first || n < first-50_000 && cut <= 50_000 || !bytes.Equal(p[:n], want[:n]) {
			t.Errorf("cut %d: a bad device: %d, %v, want at most %d good bytes", cut, n, err, first)
		}

		f, want, _ = mixed(cut)
		f.mapErr = map[int64]error{123_456: syscall.EUCLEAN}
		n, err = vfs.ReadAt(t.Context(), f, p, 5)
		if n != 123_451 || !errors.Is(err, syscall.EUCLEAN) || !bytes.Equal(p[:n], want[5:123_456]) {
			t.Errorf("cut %d: a map that fails: %d, %v", cut, n, err)
		}

		f, want, _ = mixed(cut)
		f.extents[2].Inline = []byte("short")
		f.extents[2].Len = 12
		n, err = vfs.ReadAt(t.Context(), f, p, 0)
		if n > 150_012 || n < 150_001-int(min(cut, 12)) || err == nil || !bytes.Equal(p[:min(n, 150_001)], want[:min(n, 150_001)]) {
			t.Errorf("cut %d: too few inline bytes: %d, %v", cut, n, err)
		}

		f, want, _ = mixed(cut)
		f.extents[5].Decode = func(_ context.Context, p []byte, off int64) (int, error) { panic("damaged") }
		n, err = guarded(t, f, p)
		if n > 420_013 || err == nil || !bytes.Equal(p[:n], want[:n]) {
			t.Errorf("cut %d: a decoder that panics: %d, %v", cut, n, err)
		}

		f, _, dev = mixed(cut)
		dev.data = dev.data[:210_000] // the device ends inside an extent
		if n, err := vfs.ReadAt(t.Context(), f, make([]byte, 300_000), 150_013); !errors.Is(err, io.ErrUnexpectedEOF) || n > 210_000 {
			t.Errorf("cut %d: a device that ends: %d, %v", cut, n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f, _, _ := mixed(1 << 40)
	if _, err := vfs.ReadAt(ctx, f, make([]byte, 400_000), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	wild := &sliced{cut: 1 << 40, extents: []vfs.Extent{{Kind: vfs.Hole, Len: 10}}}
	if n, err := vfs.ReadAt(t.Context(), tooLong{wild}, make([]byte, 5), 0); n != 0 || err == nil {
		t.Errorf("a driver that maps more than was asked: %d, %v", n, err)
	}
}

// guarded is ReadAt where a panic on the caller's own goroutine is an error,
// as a mount has it.
func guarded(t *testing.T, f vfs.Inode, p []byte) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, syscall.EIO
		}
	}()
	return vfs.ReadAt(t.Context(), f, p, 0)
}

type tooLong struct{ *sliced }

func (l tooLong) Map(ctx context.Context, off, n int64) (vfs.Extent, error) {
	ext, err := l.sliced.Map(ctx, off, n)
	ext.Len = n + 1
	return ext, err
}

func TestSeek(t *testing.T) {
	for _, cut := range []int64{1 << 40, 1000} {
		f, want, _ := mixed(cut)
		size := int64(len(want))
		for _, c := range []struct{ off, data, hole int64 }{
			{0, 0, 100_000}, {99_999, 99_999, 100_000}, {100_000, 150_001, 100_000}, {120_000, 150_001, 120_000},
			{150_005, 150_005, 510_013}, {510_013, 510_020, 510_013}, {size - 1, size - 1, size},
		} {
			if got, err := vfs.SeekData(t.Context(), f, c.off); got != c.data || err != nil {
				t.Errorf("SeekData(%d) = %d, %v, want %d", c.off, got, err, c.data)
			}
			if got, err := vfs.SeekHole(t.Context(), f, c.off); got != c.hole || err != nil {
				t.Errorf("SeekHole(%d) = %d, %v, want %d", c.off, got, err, c.hole)
			}
		}
		for _, off := range []int64{-1, size, size + 1} {
			if _, err := vfs.SeekData(t.Context(), f, off); !errors.Is(err, syscall.ENXIO) {
				t.Errorf("SeekData(%d): %v", off, err)
			}
			if _, err := vfs.SeekHole(t.Context(), f, off); !errors.Is(err, syscall.ENXIO) {
				t.Errorf("SeekHole(%d): %v", off, err)
			}
		}
	}
	f := &sliced{cut: 10, extents: []vfs.Extent{{Kind: vfs.Hole, Len: 100}}}
	if _, err := vfs.SeekData(t.Context(), f, 3); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("SeekData of a hole: %v", err)
	}
	f.mapErr = map[int64]error{50: syscall.EUCLEAN}
	if _, err := vfs.SeekData(t.Context(), f, 3); !errors.Is(err, syscall.EUCLEAN) {
		t.Errorf("SeekData over damage: %v", err)
	}
}

func TestOpErrorSaysWhere(t *testing.T) {
	err := error(&vfs.OpError{Op: "read inode", Volume: "sda2", Ino: vfs.Ino{Num: 12}, Err: syscall.EUCLEAN})
	if !errors.Is(err, syscall.EUCLEAN) || !strings.Contains(err.Error(), "read inode 12 of sda2: ") {
		t.Errorf("%v", err)
	}
}
