package vfstest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// maxExtents bounds the extents that testMap walks of one file.
const maxExtents = 4096

// testMap checks every answer of Map: that it is within what was asked, within
// its device, and the same whatever offset and length one asks with.
func testMap(t *testing.T, _ Case, fsys vfs.FileSystem) {
	devs := fsys.Devices()
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, at := range places(t, fsys) {
		size := at.f.Attr().Size
		if kind(at.f) != syscall.S_IFREG || size == 0 {
			continue
		}
		// The whole file from its start, as few extents as the driver gives.
		var edges []int64
		off := int64(0)
		for n := 0; off < size && n < maxExtents; n++ {
			ext := checkMap(t, at, devs, off, size-off)
			if ext.Len <= 0 {
				break
			}
			edges = append(edges, off, off+ext.Len)
			off += ext.Len
		}
		// Odd questions around the edges and anywhere.
		var asks [][2]int64
		for _, e := range edges[:min(len(edges), 64)] {
			for _, d := range []int64{-4097, -513, -1, 0, 1, 511} {
				for _, n := range []int64{1, 3, 512, 4096, 4097, 1 << 20} {
					asks = append(asks, [2]int64{e + d, n})
				}
			}
		}
		for range 32 {
			asks = append(asks, [2]int64{rnd.Int64N(size), 1 + rnd.Int64N(1<<20)})
		}
		asks = append(asks, [2]int64{0, 1}, [2]int64{size - 1, 1}, [2]int64{0, 1<<63 - 1}, [2]int64{size - 1, 1 << 62})
		for _, a := range asks {
			if a[0] >= 0 && a[0] < size {
				checkMap(t, at, devs, a[0], a[1])
			}
		}
	}
}

// checkMap checks one answer of Map, and that its last byte, asked for alone,
// is of the same kind and at the same place.
func checkMap(t *testing.T, at place, devs []block.Device, off, n int64) vfs.Extent {
	t.Helper()
	ext, err := at.f.Map(t.Context(), off, n)
	if err != nil {
		t.Errorf("%q: Map(%d, %d): %v", at.path, off, n, err)
		return vfs.Extent{}
	}
	size := at.f.Attr().Size
	switch {
	case ext.Len <= 0 || ext.Len > n:
		t.Errorf("%q: Map(%d, %d) has the length %d", at.path, off, n, ext.Len)
		return vfs.Extent{}
	case off+ext.Len > size:
		// Past the end only the rest of a block, never data one could read by mistake.
		if off+ext.Len-size > 1<<20 {
			t.Errorf("%q: Map(%d, %d) reaches to %d of %d bytes", at.path, off, n, off+ext.Len, size)
		}
	}
	switch ext.Kind {
	case vfs.Hole:
	case vfs.Mapped:
		if ext.Dev == nil || !slices.Contains(devs, ext.Dev) {
			t.Errorf("%q: Map(%d, %d) names a device that Devices does not", at.path, off, n)
			return ext
		}
		if block.Clamp(ext.Off, ext.Len, ext.Dev.Size()) != ext.Len {
			t.Errorf("%q: Map(%d, %d) is at %d+%d of a device of %d bytes", at.path, off, n, ext.Off, ext.Len, ext.Dev.Size())
		}
	case vfs.Inline:
		if int64(len(ext.Inline)) < ext.Len {
			t.Errorf("%q: Map(%d, %d) has %d inline bytes of %d", at.path, off, n, len(ext.Inline), ext.Len)
		}
	case vfs.Encoded:
		if ext.Decode == nil {
			t.Errorf("%q: Map(%d, %d) is encoded, without Decode", at.path, off, n)
		}
	default:
		t.Errorf("%q: Map(%d, %d) is of kind %d", at.path, off, n, ext.Kind)
	}
	if last := min(off+ext.Len, size) - 1; last > off {
		one, err := at.f.Map(t.Context(), last, 1)
		if err != nil || one.Kind != ext.Kind || one.Len != 1 || one.Kind == vfs.Mapped && (one.Dev != ext.Dev || one.Off != ext.Off+last-off) {
			t.Errorf("%q: Map(%d, %d) ends with kind %d at %d, but Map(%d, 1) is kind %d at %d, %v",
				at.path, off, n, ext.Kind, ext.Off+last-off, last, one.Kind, one.Off, err)
		}
	}
	return ext
}

// testRead compares odd reads with the whole file.
func testRead(t *testing.T, c Case, fsys vfs.FileSystem) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, at := range places(t, fsys) {
		size := at.f.Attr().Size
		if kind(at.f) != syscall.S_IFREG {
			continue
		}
		p := make([]byte, 16)
		for _, off := range []int64{size, size + 1, 1<<63 - 1} {
			if n, err := vfs.ReadAt(t.Context(), at.f, p, off); n != 0 || err != io.EOF {
				t.Errorf("%q: ReadAt(%d) of %d bytes: %d, %v, want io.EOF", at.path, off, size, n, err)
			}
		}
		if size == 0 {
			continue
		}
		seekConsistent(t, at)
		start := int64(0)
		if size > c.MaxRead { // a window at the end
			start = size - c.MaxRead
		}
		whole := make([]byte, size-start)
		if n, err := vfs.ReadAt(t.Context(), at.f, whole, start); n != len(whole) || err != nil {
			t.Errorf("%q: ReadAt of all %d bytes from %d: %d, %v", at.path, len(whole), start, n, err)
			continue
		}
		var asks [][2]int64
		for range 24 {
			asks = append(asks, [2]int64{rnd.Int64N(int64(len(whole))), 1 + rnd.Int64N(200_000)})
		}
		asks = append(asks, [2]int64{0, 1}, [2]int64{int64(len(whole)) - 1, 10}, [2]int64{1, int64(len(whole))})
		for _, a := range asks {
			p := bytes.Repeat([]byte{0xa5}, int(a[1]))
			want := whole[a[0]:min(a[0]+a[1], int64(len(whole)))]
			n, err := vfs.ReadAt(t.Context(), at.f, p, start+a[0])
			if n != len(want) || !bytes.Equal(p[:n], want) || (n < len(p)) != (err == io.EOF) || err != nil && err != io.EOF {
				t.Errorf("%q: ReadAt(%d, %d): %d, %v, or other bytes than the file read whole", at.path, start+a[0], a[1], n, err)
			}
			if n >= 0 && n < len(p) && p[n] != 0xa5 {
				t.Errorf("%q: ReadAt(%d, %d) wrote behind the end of the file", at.path, start+a[0], a[1])
			}
		}
	}
}

// seekConsistent checks that SEEK_DATA and SEEK_HOLE take turns to the end.
func seekConsistent(t *testing.T, at place) {
	t.Helper()
	size := at.f.Attr().Size
	for off, n := int64(0), 0; off < size && n < 256; n++ {
		data, err := vfs.SeekData(t.Context(), at.f, off)
		if errors.Is(err, syscall.ENXIO) {
			return
		}
		if err != nil || data < off || data >= size {
			t.Errorf("%q: SeekData(%d): %d, %v", at.path, off, data, err)
			return
		}
		hole, err := vfs.SeekHole(t.Context(), at.f, data)
		if err != nil || hole <= data || hole > size {
			t.Errorf("%q: SeekHole(%d): %d, %v", at.path, data, hole, err)
			return
		}
		off = hole
	}
}
