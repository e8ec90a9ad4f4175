package btrfs

import (
	"context"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// holed is a device on which ranges are damaged.
type holed struct {
	block.Device
	ranges [][2]int64
}

func (h *holed) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := h.Device.ReadAt(ctx, p, off)
	for _, r := range h.ranges {
		for at := max(off, r[0]); at < min(off+int64(n), r[1]); at++ {
			p[at-off] ^= 0xa5
		}
	}
	return n, err
}

// TestDup damages the first copy of everything, then every other sector of the
// first and the rest of the second: each sector has one good copy left.
func TestDup(t *testing.T) {
	images.NeedLong(t)
	img, _ := images.Btrfs(t, "dup")
	dev, err := raw.OpenFile(img.Path, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	openOn := func(dev block.Device) *FileSystem {
		fsys, err := Driver().Open(t.Context(), []block.Device{dev}, vfs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return fsys.(*FileSystem)
	}
	fs := openOn(dev)
	want := vfstest.FromVFS(t, fs, 16<<20)
	h := &holed{Device: dev}
	for _, c := range fs.chunks.chunks {
		if c.profile() != groupDUP {
			t.Fatalf("a chunk of type %#x", c.typ)
		}
		h.ranges = append(h.ranges, [2]int64{int64(c.stripes[0].off), int64(c.stripes[0].off + c.length)})
	}
	for _, line := range vfstest.Differences(vfstest.FromVFS(t, openOn(h), 16<<20), want, 0) {
		t.Error(line)
	}
	h.ranges = nil
	for _, c := range fs.chunks.chunks {
		if c.typ&groupData == 0 {
			continue
		}
		for at := uint64(0); at < min(c.length, 4<<20); at += 4096 {
			off := int64(c.stripes[at/4096%2].off + at)
			h.ranges = append(h.ranges, [2]int64{off, off + 1})
		}
	}
	for _, line := range vfstest.Differences(vfstest.FromVFS(t, openOn(h), 16<<20), want, 0) {
		t.Error(line)
	}
}

// TestGalois checks the field of raid6 against its definition.
func TestGalois(t *testing.T) {
	for a := 1; a < 256; a++ {
		if got := gfMul(byte(a), gfInv(byte(a))); got != 1 {
			t.Fatalf("%d times its inverse is %d", a, got)
		}
		p := []byte{byte(a)}
		double(p)
		if p[0] != gfMul(2, byte(a)) {
			t.Fatalf("twice %d is %d and %d", a, p[0], gfMul(2, byte(a)))
		}
	}
}

// FuzzLZO decodes anything into buffers of any size.
func FuzzLZO(f *testing.F) {
	img, _ := images.Btrfs(f, "lzo")
	dev, err := raw.OpenFile(img.Path, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		f.Fatal(err)
	}
	defer dev.Close()
	fsys, err := Driver().Open(f.Context(), []block.Device{dev}, vfs.Options{})
	if err != nil {
		f.Fatal(err)
	}
	root, err := fsys.Inode(f.Context(), fsys.Root())
	if err != nil {
		f.Fatal(err)
	}
	ino, err := root.Lookup(f.Context(), "compressible")
	if err != nil {
		f.Fatal(err)
	}
	dir, err := fsys.Inode(f.Context(), ino)
	if err != nil {
		f.Fatal(err)
	}
	for e, err := range dir.Entries(f.Context(), vfs.Cursor{}) {
		if err != nil {
			f.Fatal(err)
		}
		n, err := fsys.(*FileSystem).iget(f.Context(), e.Ino)
		if err != nil {
			f.Fatal(err)
		}
		r, err := n.runAt(f.Context(), 0)
		if err != nil || r.item == nil || r.item.compression() != compressLZO {
			continue
		}
		src := r.item.inline()
		if r.item.typ() != extentInline {
			src = make([]byte, r.item.diskNumBytes())
			if err := n.fs.readData(f.Context(), src, r.item.diskBytenr(), true); err != nil {
				f.Fatal(err)
			}
		}
		// The first segments: small inputs are tried often.
		src = src[:min(len(src), 2000)]
		if total := min(len(src), int(le32(src))); total < len(src) {
			src = src[:total]
		}
		src = append([]byte{byte(len(src)), byte(len(src) >> 8), 0, 0}, src[4:]...)
		f.Add(src, uint32(20000))
		f.Add(src[8:], uint32(4096))
	}
	f.Fuzz(func(t *testing.T, src []byte, size uint32) {
		dst := make([]byte, size%(64<<10))
		if n, _ := lzoSegments(dst, src, 4096); n > len(dst) {
			t.Fatalf("%d bytes of %d", n, len(dst))
		}
		if n, _ := lzo1x(dst, src); n > len(dst) {
			t.Fatalf("%d bytes of %d", n, len(dst))
		}
	})
}

// TestXXHash compares with the reference's own figures for the empty input and
// short ones (xxHash, XXH64 with the seed 0).
func TestXXHash(t *testing.T) {
	for in, want := range map[string]uint64{"": 0xef46db3751d8e999, "a": 0xd24ec4f1a98c6e5b, "abc": 0x44bc2cf5ad770999} {
		if got := xxhash64([]byte(in)); got != want {
			t.Errorf("%q: %#x, want %#x", in, got, want)
		}
	}
}
