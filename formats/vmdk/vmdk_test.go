package vmdk_test

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/formattest"
)

const sector = formattest.Sector

func TestAgainstQEMU(t *testing.T) {
	const size = 3<<20 + 3*sector
	for _, options := range []string{
		"", "subformat=monolithicSparse", "subformat=monolithicSparse,zeroed_grain=on", "subformat=monolithicFlat",
		"subformat=twoGbMaxExtentSparse", "subformat=twoGbMaxExtentSparse,zeroed_grain=on", "subformat=twoGbMaxExtentFlat",
		"compat6=on,adapter_type=lsilogic", "adapter_type=buslogic,hwversion=9,toolsversion=2147483647", "adapter_type=legacyESX",
	} {
		t.Run(options, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.vmdk")
			formattest.Create(t, path, "vmdk", options, size)
			formattest.IO(t, path, "vmdk", formattest.Scribble(uint64(len(options)), size, 25)...)
			formattest.Agree(t, path, "vmdk")
		})
	}
}

func TestFreshImageIsZero(t *testing.T) {
	for _, options := range []string{"", "subformat=monolithicFlat", "subformat=streamOptimized", "subformat=twoGbMaxExtentSparse"} {
		path := filepath.Join(t.TempDir(), "disk.vmdk")
		formattest.Create(t, path, "vmdk", options, 3<<20)
		formattest.Run(t, formattest.Case{Path: path, Format: "vmdk", Want: make([]byte, 3<<20)})
	}
}

func TestSparseEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.vmdk")
	formattest.Create(t, path, "vmdk", "", 33<<20+sector)
	formattest.IO(t, path, "vmdk", "write -P 3 32700k 70k")
	formattest.Agree(t, path, "vmdk")
}

// TestExtentsInARow has a disk of two extents, one of them 2 GiB long.
func TestExtentsInARow(t *testing.T) {
	for _, sub := range []string{"twoGbMaxExtentSparse", "twoGbMaxExtentFlat"} {
		t.Run(sub, func(t *testing.T) {
			ctx := context.Background()
			path := filepath.Join(t.TempDir(), "disk.vmdk")
			const size = 2<<30 + 5<<20
			formattest.Create(t, path, "vmdk", "subformat="+sub, size)
			formattest.IO(t, path, "vmdk", "write -P 7 2147450880 100k", "write -P 9 2050M 1M", "write -P 1 0 512")
			img, err := formattest.NewChain(t).Open(ctx, path, "", formats.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if img.Size() != size {
				t.Fatalf("size %d", img.Size())
			}
			formattest.MapAgrees(t, img, path, "vmdk")
			buf := make([]byte, 200<<10)
			if _, err := img.ReadAt(ctx, buf, 2147450880-1000); err != nil {
				t.Fatal(err)
			}
			for i, b := range buf {
				want := byte(0)
				if i >= 1000 && i < 1000+100<<10 {
					want = 7
				}
				if b != want {
					t.Fatalf("byte %d is %d", i, b)
				}
			}
		})
	}
}

// stream is a stream-optimized image of content.
func stream(t testing.TB, dir string, want []byte) string {
	src, path := formattest.Write(t, dir, "src.raw", want), filepath.Join(dir, "disk.vmdk")
	formattest.Do(t, dir, "qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", src, path)
	os.Remove(src)
	return path
}

// withFooter is the stream b as VMware's programs write it: the header says
// that the grain directory is at the end, and a footer has its place.
func withFooter(b []byte) []byte {
	b = append([]byte(nil), b...)
	for len(b)%sector != 0 {
		b = append(b, 0)
	}
	footer := append([]byte(nil), b[:sector]...)
	binary.LittleEndian.PutUint64(b[56:], 1<<64-1)
	marker := make([]byte, sector)
	marker[12] = 3
	b = append(b, marker...)
	b = append(b, footer...)
	return append(b, make([]byte, sector)...)
}

func TestStreamOptimized(t *testing.T) {
	for _, n := range []int{3<<20 + 5*sector, 1 << 20} {
		path := stream(t, t.TempDir(), formattest.Content(uint64(n), n))
		formattest.Agree(t, path, "vmdk")
		formattest.Write(t, filepath.Dir(path), "disk.vmdk", withFooter(formattest.Read(t, path)))
		formattest.Agree(t, path, "vmdk")
	}
}

func TestStreamWithZerosBehind(t *testing.T) {
	want := formattest.Content(3, 2<<20)
	path := stream(t, t.TempDir(), want)
	formattest.Write(t, filepath.Dir(path), "disk.vmdk", append(withFooter(formattest.Read(t, path)), make([]byte, 9000)...))
	formattest.Run(t, formattest.Case{Path: path, Format: "vmdk", Want: want})
}

func TestDeltaChain(t *testing.T) {
	for i, base := range []string{"subformat=monolithicSparse", "subformat=monolithicFlat", "subformat=twoGbMaxExtentSparse", "subformat=streamOptimized"} {
		top := []string{"subformat=monolithicSparse,zeroed_grain=on", "subformat=twoGbMaxExtentSparse"}[i%2]
		t.Run(base+" "+top, func(t *testing.T) {
			dir := t.TempDir()
			const size = 2<<20 + sector
			formattest.Write(t, dir, "src.raw", formattest.Content(5, size))
			formattest.Do(t, dir, "qemu-img", "convert", "-O", "vmdk", "-o", base, "src.raw", "base.vmdk")
			os.Remove(filepath.Join(dir, "src.raw"))
			var middle, last = filepath.Join(dir, "middle.vmdk"), filepath.Join(dir, "top.vmdk")
			formattest.Create(t, middle, "vmdk", top, size, "-b", "base.vmdk", "-F", "vmdk")
			formattest.IO(t, middle, "vmdk", formattest.Scribble(3, size, 6)...)
			formattest.Create(t, last, "vmdk", top, size, "-b", "middle.vmdk", "-F", "vmdk")
			formattest.IO(t, last, "vmdk", formattest.Scribble(4, size, 4)...)
			formattest.Agree(t, last, "vmdk")
			img, err := formattest.NewChain(t).Open(context.Background(), last, "", formats.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if i := img.Info(); i.Backing != "middle.vmdk" || i.BackingFmt != "vmdk" {
				t.Errorf("%+v", i)
			}
		})
	}
}
