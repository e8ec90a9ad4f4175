package vmdk_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/vmdk"
)

// serve gives the files of m to who asks.
func serve(m map[string][]byte) func(context.Context, string, string) (block.Device, error) {
	return func(_ context.Context, name, _ string) (block.Device, error) {
		if b, ok := m[name]; ok {
			return blocktest.NewMemory(b), nil
		}
		return nil, fs.ErrPermission
	}
}

func openBytes(b []byte, opt formats.Options) (formats.Image, error) {
	images, err := vmdk.Format().Open(context.Background(), blocktest.NewMemory(b), opt)
	if err != nil {
		return nil, err
	}
	return images[0], nil
}

func small(t testing.TB, options string) []byte {
	t.Helper()
	dir := t.TempDir()
	src := formattest.Write(t, dir, "src.raw", formattest.Content(4, 512<<10))
	path := filepath.Join(dir, "disk.vmdk")
	formattest.Do(t, dir, "qemu-img", "convert", "-O", "vmdk", "-o", options, src, path)
	return formattest.Read(t, path)
}

func put(b []byte, off, width int, v uint64) []byte {
	b = bytes.Clone(b)
	for i := range width {
		b[off+i] = byte(v >> (8 * i))
	}
	return b
}

func TestHeaderDamageIsNamed(t *testing.T) {
	good := small(t, "subformat=monolithicSparse")
	packed := withFooter(small(t, "subformat=streamOptimized"))
	for _, c := range []struct {
		name, text string
		b          []byte
		off        int64
	}{
		{"line ends", "line ends", bytes.Replace(good, []byte("\n \r\n"), []byte("\n \n\n"), 1), 73},
		{"capacity", "capacity", put(good, 12, 8, 1<<63), 12},
		{"capacity beyond the directory", "grain directory", put(good, 12, 8, 1<<40), 56},
		{"grain 0", "grains of", put(good, 20, 8, 0), 12},
		{"grain huge", "grains of", put(good, 20, 8, 1<<60), 12},
		{"no entries", "tables of", put(good, 44, 4, 0), 12},
		{"entries", "tables of", put(good, 44, 4, 1<<31), 12},
		{"directory outside", "grain directory", put(good, 56, 8, 1<<60), 56},
		{"no directory", "grain directory", put(good, 56, 8, 0), 56},
		{"descriptor outside", "descriptor", put(good, 28, 8, 1<<50), 28},
		{"compression", "algorithm", put(good, 8, 4, 1<<16), 77},
		{"cut", "ends after", good[:100], 0},
		{"no footer", "cut short", put(good, 56, 8, 1<<64-1), int64(len(good) - 1024)},
		{"stream cut", "cut short", packed[:len(packed)-1024], int64(len(packed) - 2048)},
		{"footer without directory", "no grain directory", put(packed, len(packed)-1024+56, 8, 1<<64-1), int64(len(packed) - 1024)},
	} {
		_, err := openBytes(c.b, formats.Options{})
		var bad *ondisk.CorruptError
		if !errors.As(err, &bad) || bad.Off != c.off || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v; want %q at %d", c.name, err, c.text, c.off)
		}
	}
}

func TestUnsupportedIsNamed(t *testing.T) {
	good := small(t, "subformat=monolithicSparse")
	for text, b := range map[string][]byte{
		"version 4":                     put(good, 4, 4, 4),
		"version 0":                     put(good, 4, 4, 0),
		"compression algorithm 2":       put(good, 77, 2, 2),
		"compressed grains of 65536":    put(put(good, 77, 2, 1), 20, 8, 65536),
		"extent without a descriptor":   put(good, 28, 8, 0),
		"an extent without a desc":      cowd(make([]byte, 4096), 512),
		"an extent without a descripto": seSparse(make([]byte, 4096)),
		"2 extents inside":              bytes.Replace(good, []byte("\n\n# The Disk Data Base"), []byte("\nRW 1 ZERO\n#he Disk Data Bas"), 1),
		`type "VMFSRDM"`:                text("vmfsRawDeviceMap", `RW 8 VMFSRDM "x-rdm.vmdk"`),
		"NOACCESS":                      text("partitionedDevice", `NOACCESS 8 ZERO`),
		`host's device ("/dev/sda")`:    text("fullDevice", `RW 8 FLAT "/dev/sda" 0`),
		`PhysicalDrive0`:                text("fullDevice", `RW 8 FLAT "\\.\PhysicalDrive0" 0`),
		`version "4"`:                   bytes.Replace(text("vmfs", `RW 8 VMFS "x"`), []byte("version=1"), []byte("version=4"), 1),
		"grain size 0x10":               nil,
		"journal":                       nil,
	} {
		related := serve(nil)
		if b == nil {
			x := seSparse(make([]byte, 4096))
			if text == "journal" {
				x = put(x, 512+24, 8, 1)
			} else {
				x = put(x, 24, 8, 16)
			}
			b, related = textOf("seSparse", `RW 8 SESPARSE "x"`), serve(map[string][]byte{"x": x})
		}
		_, err := openBytes(b, formats.Options{Related: related})
		if !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	for _, opt := range []formats.Options{{Writable: true}, {Snapshot: "x"}} {
		if _, err := openBytes(good, opt); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
}

func textOf(createType, lines string) []byte { return text(createType, lines) }

func TestDescriptorDamageIsNamed(t *testing.T) {
	for want, b := range map[string][]byte{
		"no number of sectors":   text("vmfs", `RW x VMFS "a"`),
		"no number of sector":    text("vmfs", `RW 99999999999999999 VMFS "a"`),
		"no offset":              text("vmfs", `RW 1 FLAT "a" -1`),
		"without its end":        text("vmfs", `RW 1 FLAT "a`),
		"no extent in":           text("vmfs", `RW 1`),
		"without a name":         text("vmfs", `RW 1 VMFS`),
		"no extents":             text("vmfs", ``),
		"no content ID":          bytes.Replace(text("vmfs", `RW 1 ZERO`), []byte("12345678"), []byte("xyz"), 1),
		"no CID":                 bytes.Replace(text("vmfs", `RW 1 ZERO`), []byte("\nCID"), []byte("\nXID"), 1),
		"has no name":            bytes.Replace(text("vmfs", `RW 1 ZERO`), []byte("ffffffff"), []byte("12345678"), 1),
		"more than 8192 extents": text("vmfs", strings.Repeat("RW 1 ZERO\n", 9000)),
		"has 100 bytes":          text("vmfs", `RW 2 VMFS "a"`),
		"100 bytes; 512 at 5120": text("vmfs", `RW 1 FLAT "a" 10`),
		"larger than":            text("vmfs", "RW 17000000000000000 ZERO\nRW 17000000000000000 ZERO"),
		"longer than":            append(text("vmfs", "RW 1 ZERO"), bytes.Repeat([]byte("#\n"), 1<<20)...),
	} {
		_, err := openBytes(b, formats.Options{Related: serve(map[string][]byte{"a": make([]byte, 100)})})
		if !errors.As(err, new(*ondisk.CorruptError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestTableDamageIsNamed(t *testing.T) {
	ctx := context.Background()
	plain, packed := small(t, "subformat=monolithicSparse"), small(t, "subformat=streamOptimized")
	gdOf := func(b []byte) int { return int(binary.LittleEndian.Uint64(b[56:])) * sector }
	gtOf := func(b []byte) int { return int(binary.LittleEndian.Uint32(b[gdOf(b):])) * sector }
	grain := int(binary.LittleEndian.Uint32(packed[gtOf(packed):])) * sector
	for _, c := range []struct {
		name, what, text string
		b                []byte
		off              int
	}{
		{"table outside", "VMDK grain directory", "outside", put(plain, gdOf(plain), 4, 1<<31), gdOf(plain)},
		{"grain outside", "VMDK grain table", "outside", put(plain, gtOf(plain), 4, 1<<31), gtOf(plain)},
		{"size too large", "VMDK compressed grain", "claims", put(packed, grain+8, 4, 1<<31), grain},
		{"size 0", "VMDK compressed grain", "claims", put(packed, grain+8, 4, 0), grain},
		{"bad stream", "VMDK compressed grain", "zlib", put(packed, grain+12, 1, 0), grain},
	} {
		img, err := openBytes(c.b, formats.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		_, err = img.ReadAt(ctx, make([]byte, 100), 0)
		var bad *ondisk.CorruptError
		if !errors.As(err, &bad) || bad.Struct != c.what || bad.Off != int64(c.off) || !strings.Contains(bad.Detail, c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
		img.Close()
	}
}

// TestBomb has a grain that decodes to more, and one to less, than a grain.
func TestBomb(t *testing.T) {
	packed := small(t, "subformat=streamOptimized")
	gd := int(binary.LittleEndian.Uint64(packed[56:])) * sector
	gt := int(binary.LittleEndian.Uint32(packed[gd:])) * sector
	for n, bad := range map[int]bool{10 << 20: false, 100: true} {
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		w.Write(make([]byte, n))
		w.Close()
		b := bytes.Clone(packed)
		for len(b)%sector != 0 {
			b = append(b, 0)
		}
		binary.LittleEndian.PutUint32(b[gt:], uint32(len(b)/sector))
		head := make([]byte, 12)
		data := z.Bytes()[:min(z.Len(), 120000)]
		binary.LittleEndian.PutUint32(head[8:], uint32(len(data)))
		b = append(append(b, head...), data...)
		img, err := openBytes(b, formats.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = img.ReadAt(context.Background(), make([]byte, 65536), 0)
		if bad != errors.As(err, new(*ondisk.CorruptError)) || !bad && err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		img.Close()
	}
}

func TestParents(t *testing.T) {
	dir := t.TempDir()
	base, top := filepath.Join(dir, "base.vmdk"), filepath.Join(dir, "top.vmdk")
	formattest.Create(t, base, "vmdk", "", 1<<20)
	formattest.Create(t, top, "vmdk", "", 1<<20, "-b", "base.vmdk", "-F", "vmdk")
	ctx := context.Background()
	b := formattest.Read(t, top)
	if _, err := openBytes(b, formats.Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), `"base.vmdk"`) {
		t.Errorf("without Related: %v", err)
	}
	// The parent was written since: its content ID is another.
	formattest.IO(t, base, "vmdk", "write -P 1 0 512")
	if _, err := formattest.NewChain(t).Open(ctx, top, "", formats.Options{}); !errors.As(err, new(*ondisk.CorruptError)) || !strings.Contains(err.Error(), "content ID") {
		t.Errorf("a changed parent: %v", err)
	}
	// A parent that is its own ends.
	formattest.Write(t, dir, "base.vmdk", bytes.Replace(bytes.Replace(b, []byte("\nCID="), []byte("\nXID="), 1), []byte("XID="), []byte("CID="), 1))
	if _, err := formattest.NewChain(t).Open(ctx, base, "", formats.Options{}); err == nil || !strings.Contains(err.Error(), "chain") {
		t.Errorf("its own parent: %v", err)
	}
	// A parent on a Windows host is looked for by its name.
	os.Remove(base)
	formattest.Create(t, base, "vmdk", "", 1<<20)
	at := bytes.Index(b, []byte("\"base.vmdk\""))
	name := []byte("\"C:\\x\\y:z.vmdk\"\n")
	copy(b[at+len(name):at+600], bytes.Clone(b[at+len("\"base.vmdk\"\n"):])) // into the zeros behind
	copy(b[at:], name)
	formattest.Write(t, dir, "top.vmdk", b)
	_, err := formattest.NewChain(t).Open(ctx, top, "", formats.Options{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "y:z.vmdk") {
		t.Errorf("a Windows name: %v", err)
	}
}

func TestDamagedImages(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	for _, options := range []string{"subformat=monolithicSparse", "zeroed_grain=on", "subformat=streamOptimized"} {
		b := small(t, options)
		formattest.Damage(t, vmdk.Format(), b, len(b), rounds, nil)
		formattest.Damage(t, vmdk.Format(), b, 512, rounds, nil)
		if strings.Contains(options, "stream") {
			b = withFooter(b)
			formattest.Damage(t, vmdk.Format(), b, len(b), rounds, nil)
		}
	}
	for name, x := range map[string][]byte{"VMFSSPARSE": cowd(formattest.Content(1, 300000/sector*sector), 4096), "SESPARSE": seSparse(formattest.Content(1, 300000/sector*sector))} {
		d := text("vmfsSparse", "RW 585 "+name+` "x"`)
		formattest.Damage(t, vmdk.Format(), d, len(d), rounds, serve(map[string][]byte{"x": x}))
		for i := range rounds {
			bad := put(x, (i*7919)%(len(x)/4), 1, uint64(i*37))
			formattest.Hostile(t, vmdk.Format(), d, serve(map[string][]byte{"x": bad}))
			bad = put(x, (i*31)%512, 1, uint64(255-i))
			formattest.Hostile(t, vmdk.Format(), d, serve(map[string][]byte{"x": bad}))
		}
	}
}

// FuzzOpen opens whatever the bytes are; what they name is an extent.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	src := formattest.Write(f, dir, "src.raw", formattest.Content(4, 64<<10))
	for _, options := range []string{"zeroed_grain=on", "subformat=streamOptimized"} {
		path := filepath.Join(dir, "disk.vmdk")
		formattest.Do(f, dir, "qemu-img", "convert", "-O", "vmdk", "-o", options, src, path)
		f.Add(formattest.Read(f, path), []byte{})
	}
	f.Add(text("vmfsSparse", `RW 64 VMFSSPARSE "x"`), cowd(make([]byte, 32768), 512))
	f.Add(text("seSparse", `RW 64 SESPARSE "x"`), seSparse(append(make([]byte, 28<<10), "data"...)))
	f.Add(text("monolithicFlat", "RW 64 FLAT \"x\" 0\nRW 9 ZERO"), make([]byte, 32768))
	f.Fuzz(func(t *testing.T, b, x []byte) {
		formattest.Hostile(t, vmdk.Format(), b, func(context.Context, string, string) (block.Device, error) { return blocktest.NewMemory(x), nil })
	})
}
