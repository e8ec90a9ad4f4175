package qcow2_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/qcow2"
)

// openBytes opens the image in b.
func openBytes(b []byte, opt formats.Options) (formats.Image, error) {
	images, err := qcow2.Format().Open(context.Background(), blocktest.NewMemory(b), opt)
	if err != nil {
		return nil, err
	}
	return images[0], nil
}

// image is a small image with every kind of cluster, made by QEMU.
func image(t testing.TB, options string) []byte {
	t.Helper()
	dir := t.TempDir()
	src := writeRaw(t, dir, "src.raw", content(4, 1<<20))
	path := filepath.Join(dir, "disk.qcow2")
	formattest.Do(t, dir, "qemu-img", "convert", "-O", "qcow2", "-c", "-o", options, src, path)
	qemuIO(t, path, "write -P 5 64k 100k", "write -z 256k 64k", "write -P 7 700k 13k")
	formattest.Do(t, dir, "qemu-img", "snapshot", "-c", "before", path)
	qemuIO(t, path, "write -P 6 0 1000")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(b []byte, off int, width int, v uint64) []byte {
	b = bytes.Clone(b)
	switch width {
	case 1:
		b[off] = byte(v)
	case 4:
		binary.BigEndian.PutUint32(b[off:], uint32(v))
	case 8:
		binary.BigEndian.PutUint64(b[off:], v)
	}
	return b
}

func get8(b []byte, off int) uint64 { return binary.BigEndian.Uint64(b[off:]) }

func TestHeaderDamageIsNamed(t *testing.T) {
	good := image(t, "compat=1.1")
	huge := uint64(1) << 62
	for _, c := range []struct {
		name string
		b    []byte
		off  int64
		text string
	}{
		{"cluster_bits 8", put(good, 20, 4, 8), 20, "cluster_bits"},
		{"cluster_bits 22", put(good, 20, 4, 22), 20, "cluster_bits"},
		{"cluster_bits -1", put(good, 20, 4, 1<<32-1), 20, "cluster_bits"},
		{"size", put(good, 24, 8, 1<<64-1), 24, "disk of"},
		{"size beyond L1", put(good, 24, 8, 1<<50), 36, "L1 table has"},
		{"l1_size", put(good, 36, 4, 1<<32-1), 36, "L1 table has"},
		{"l1 outside", put(good, 40, 8, huge), 40, "outside the file"},
		{"l1 negative", put(good, 40, 8, 1<<63), 40, "outside the file"},
		{"l1 odd", put(good, 40, 8, 512), 40, "not aligned"},
		{"refcount outside", put(good, 48, 8, huge), 48, "refcount table"},
		{"refcount clusters", put(good, 56, 4, 1<<32-1), 56, "refcount table"},
		{"snapshots", put(good, 60, 4, 1<<32-1), 60, "snapshots"},
		{"snapshots outside", put(good, 64, 8, huge), 64, "snapshot table"},
		{"backing outside", put(good, 8, 8, 1<<40), 8, "backing file's name"},
		{"backing size", put(put(good, 8, 8, 200), 16, 4, 5000), 8, "backing file's name"},
		{"header length", put(good, 100, 4, 1<<31), 100, "header_length"},
		{"header length 0", put(good, 100, 4, 0), 100, "header_length"},
		{"refcount order", put(good, 96, 4, 7), 96, "refcount_order"},
		{"compression without its bit", put(good, 104, 1, 1), 104, "compression type"},
		{"compression bit without type", put(good, 72, 8, 8), 104, "compression type"},
		{"extension", put(good, 116, 4, 1<<31), 112, "reaches beyond"},
		{"cut in the header", good[:90], 0, "inside the header"},
		{"cut in the magic", good[:6], 0, "ends after 6 bytes"},
		{"cut before the tables", good[:1000], 40, "outside the file"},
	} {
		_, err := openBytes(c.b, formats.Options{})
		var bad *ondisk.CorruptError
		if !errors.As(err, &bad) || bad.Off != c.off || !strings.Contains(err.Error(), c.text) || !strings.HasPrefix(bad.Struct, "qcow2 header") {
			t.Errorf("%s: %v; want %q at %d", c.name, err, c.text, c.off)
		}
	}
}

func TestUnsupportedIsNamed(t *testing.T) {
	good := image(t, "compat=1.1")
	named := put(good, 72, 8, 1<<7|1<<40)
	// A feature name table with a name for bit 7, in place of the first extension.
	entry := append([]byte{0, 7}, []byte("warp\x1b drive")...)
	copy(named[112:], append([]byte{0x68, 0x03, 0xf8, 0x57, 0, 0, 0, 48}, append(entry, make([]byte, 48-len(entry)+8)...)...))
	for _, c := range []struct {
		b    []byte
		text string
	}{
		{named, `incompatible feature bit 7 ("warp\x1b drive"), incompatible feature bit 40`},
		{put(good, 32, 4, 1), "AES"},
		{put(good, 32, 4, 3), "crypt_method 3"},
		{put(good, 4, 4, 1), "version 1 (qcow)"},
		{put(good, 4, 4, 4), "version 4"},
		{put(put(good, 72, 8, 8), 104, 1, 9), "compression type 9"},
		{put(good, 72, 8, 4), "external data file"},
	} {
		b := c.b
		if strings.Contains(c.text, "external") { // and no snapshots, which do not go with it
			b = put(b, 60, 4, 0)
		}
		_, err := openBytes(b, formats.Options{})
		if !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v, want %q", err, c.text)
		}
	}
}

func TestDirtyAndCorruptAreReadAndReported(t *testing.T) {
	good := image(t, "compat=1.1")
	for bits, text := range map[uint64]string{0: "", 1: "dirty bit", 2: "corrupt bit", 3: "corrupt bit); its"} {
		img, err := openBytes(put(good, 72, 8, bits), formats.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := img.Info().Damaged; bits == 0 && got != "" || bits == 3 && !(strings.Contains(got, "dirty") && strings.Contains(got, "corrupt")) || bits != 3 && !strings.Contains(got, text) {
			t.Errorf("bits %d: %q", bits, got)
		}
		img.Close()
	}
}

func TestTableDamageIsNamed(t *testing.T) {
	ctx := context.Background()
	good := image(t, "compat=1.1")
	l1 := get8(good, 40)
	l2 := get8(good, int(l1)) & 0x00fffffffffffe00
	// Entry 1 is plain, 4 is zero, 8 is compressed.
	for _, c := range []struct {
		name string
		b    []byte
		at   int64 // in the disk
		bad  string
		off  int64
		text string
	}{
		{"L1 reserved", put(good, int(l1), 8, 1<<60|l2), 0, "qcow2 L1 table", int64(l1), "reserved"},
		{"L1 odd", put(good, int(l1), 8, l2+512), 0, "qcow2 L1 table", int64(l1), "aligned"},
		{"L1 outside", put(good, int(l1), 8, 1<<50), 0, "qcow2 L1 table", int64(l1), "outside"},
		{"L2 reserved", put(good, int(l2+8), 8, 1<<60|1<<20), 65536, "qcow2 L2 table", int64(l2 + 8), "reserved"},
		{"L2 odd", put(good, int(l2+8), 8, 1<<20+512), 65536, "qcow2 L2 table", int64(l2 + 8), "aligned"},
		{"L2 outside", put(good, int(l2+8), 8, 1<<50), 65536, "qcow2 L2 table", int64(l2 + 8), "outside"},
		{"packed outside", put(good, int(l2+8), 8, 1<<62|1<<52), 65536, "qcow2 compressed cluster", 1 << 52, "outside"},
		{"packed garbage", put(good, int(l2+8), 8, 1<<62|(l2+3)), 65536, "qcow2 compressed cluster", int64(l2 + 3), "deflate"},
	} {
		img, err := openBytes(c.b, formats.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		_, err = img.ReadAt(ctx, make([]byte, 100), c.at)
		var bad *ondisk.CorruptError
		if !errors.As(err, &bad) || bad.Struct != c.bad || bad.Off != c.off || !strings.Contains(bad.Detail, c.text) {
			t.Errorf("%s: %v; want %s at %d, %s", c.name, err, c.bad, c.off, c.text)
		}
		// The rest of the disk is still there.
		if c.bad != "qcow2 L1 table" {
			if _, err := img.ReadAt(ctx, make([]byte, 100), 512<<10); err != nil {
				t.Errorf("%s: elsewhere: %v", c.name, err)
			}
		}
		img.Close()
	}
	v2 := put(image(t, "compat=0.10"), 0, 1, 'Q')
	l2 = get8(v2, int(get8(v2, 40))) & 0x00fffffffffffe00
	img, err := openBytes(put(v2, int(l2+8), 8, 1), formats.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := img.ReadAt(ctx, make([]byte, 100), 65536); !errors.As(err, new(*ondisk.CorruptError)) || !strings.Contains(err.Error(), "zero flag") {
		t.Errorf("a zero flag in version 2: %v", err)
	}
	img.Close()
}

func TestSubclusterDamageIsNamed(t *testing.T) {
	good := image(t, "extended_l2=on")
	l2 := get8(good, int(get8(good, 40))) & 0x00fffffffffffe00
	for bitmap, text := range map[uint64]string{1<<40 | 1<<8: "both allocated and zero", 1 << 3: "without a place"} {
		b := put(good, int(l2+16+8), 8, bitmap)
		if text == "without a place" {
			b = put(b, int(l2+16), 8, 0)
		}
		img, err := openBytes(b, formats.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = img.ReadAt(context.Background(), make([]byte, 100), 65536)
		var bad *ondisk.CorruptError
		if !errors.As(err, &bad) || bad.Off != int64(l2+16) || !strings.Contains(err.Error(), text) {
			t.Errorf("bitmap %#x: %v", bitmap, err)
		}
		img.Close()
	}
}

func TestHugeTablesCostNothing(t *testing.T) {
	good := image(t, "compat=1.1")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, b := range [][]byte{put(good, 36, 4, 4<<20), put(good, 60, 4, 65536), put(put(good, 36, 4, 4<<20), 24, 8, 1<<40)} {
		if img, err := openBytes(b, formats.Options{}); err == nil {
			img.Close()
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestReadErrorsAreNotDamage(t *testing.T) {
	ctx := context.Background()
	good := image(t, "compat=1.1")
	dev := blocktest.NewFaulty(blocktest.NewMemory(good))
	images, err := qcow2.Format().Open(ctx, dev, formats.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer images[0].Close()
	dev.FailAt(0, 1<<40, nil)
	buf := make([]byte, 1<<20)
	_, err = images[0].ReadAt(ctx, buf, 0)
	if err == nil || errors.As(err, new(*ondisk.CorruptError)) {
		t.Errorf("%v", err)
	}
	// What failed is asked again.
	dev.Heal()
	if err := block.ReadFull(ctx, images[0], buf, 0); err != nil {
		t.Error(err)
	}
}

func TestDamagedImages(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for _, options := range []string{"compat=1.1", "compat=0.10,cluster_size=4096", "extended_l2=on,cluster_size=16384", "compression_type=zstd", "cluster_size=512"} {
		t.Run(options, func(t *testing.T) {
			b := image(t, options)
			formattest.Damage(t, qcow2.Format(), b, len(b), rounds, nil)
			// The header, and the tables, which hold what is worth damaging.
			formattest.Damage(t, qcow2.Format(), b, 512, rounds, nil)
		})
	}
}

func TestCloseEndsReadAhead(t *testing.T) {
	b := image(t, "compat=1.1,cluster_size=4096")
	before := runtime.NumGoroutine()
	for range 100 {
		img, err := openBytes(b, formats.Options{})
		if err != nil {
			t.Fatal(err)
		}
		block.Prefetch(img, 0, 1<<40)
		buf := make([]byte, 8192)
		for off := int64(0); off < 65536; off += 8192 {
			if err := block.ReadFull(context.Background(), img, buf, off); err != nil {
				t.Fatal(err)
			}
		}
		if err := img.Close(); err != nil {
			t.Fatal(err)
		}
		block.Prefetch(img, 0, 1<<20)
		if img.Close() == nil {
			t.Error("closed twice")
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// FuzzOpen opens and reads whatever the bytes are.
func FuzzOpen(f *testing.F) {
	for _, options := range []string{"cluster_size=512", "compat=0.10,cluster_size=512", "extended_l2=on,cluster_size=16384", "compression_type=zstd,cluster_size=4096"} {
		dir := f.TempDir()
		src := writeRaw(f, dir, "src.raw", content(4, 64<<10))
		path := filepath.Join(dir, "disk.qcow2")
		formattest.Do(f, dir, "qemu-img", "convert", "-O", "qcow2", "-c", "-o", options, src, path)
		qemuIO(f, path, "write -P 5 4k 5k", "write -z 16k 20k")
		formattest.Do(f, dir, "qemu-img", "snapshot", "-c", "s", path)
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	related := func(context.Context, string, string) (block.Device, error) {
		return blocktest.NewMemory(make([]byte, 100_000)), nil
	}
	f.Fuzz(func(t *testing.T, b []byte) { formattest.Hostile(t, qcow2.Format(), b, related) })
}
