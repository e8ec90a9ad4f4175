package vdi_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/vdi"
)

const (
	sector = formattest.Sector
	mb     = 1 << 20
)

var le = binary.LittleEndian

func TestAgainstQEMU(t *testing.T) {
	const size = 5*mb + 3*sector
	for _, options := range []string{"", "static=on", "preallocation=off"} {
		t.Run(options, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.vdi")
			formattest.Create(t, path, "vdi", options, size)
			formattest.IO(t, path, "vdi", formattest.Scribble(uint64(len(options)), size, 12)...)
			formattest.Agree(t, path, "vdi")
		})
	}
}

func TestFreshAndSparse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.vdi")
	formattest.Create(t, path, "vdi", "", 17*mb+sector)
	formattest.Agree(t, path, "vdi")
	formattest.IO(t, path, "vdi", "write -P 5 15M 3k")
	formattest.Agree(t, path, "vdi")
}

// build is an image made from the layout, with the blocks of disk that kind
// says are there ('d'), discarded ('z') or free ('f'), written last to first.
func build(disk []byte, blockSize int, kind func(i int) byte, id, modified, parent, parentState string) []byte {
	blocks := (len(disk) + blockSize - 1) / blockSize
	f := make([]byte, 4096+(blocks*4+4095)/4096*4096)
	copy(f, "<<< Oracle VM VirtualBox Disk Image >>>\n")
	for off, v := range map[int]int{64: 0xbeda107f, 68: 0x10001, 72: 400, 76: 1, 340: 4096, 344: len(f), 360: 512, 376: blockSize, 384: blocks} {
		le.PutUint32(f[off:], uint32(v))
	}
	le.PutUint64(f[368:], uint64(len(disk)))
	copy(f[392:408], id)
	copy(f[408:424], modified)
	if parent != "" {
		f[76] = 4
		copy(f[424:440], parent)
		copy(f[440:456], parentState)
	}
	start := len(f)
	for i := blocks - 1; i >= 0; i-- {
		e := f[4096+4*i:]
		switch kind(i) {
		case 'f':
			le.PutUint32(e, 0xffffffff)
		case 'z':
			le.PutUint32(e, 0xfffffffe)
		default:
			le.PutUint32(e, uint32((len(f)-start)/blockSize))
			part := disk[i*blockSize : min(len(disk), (i+1)*blockSize)]
			f = slices.Concat(f, part, make([]byte, blockSize-len(part)))
		}
	}
	return f
}

func some(i int) byte { return "dfzd"[i*7/3%4] }

// apply is base with the blocks of disk over it.
func apply(base, disk []byte, blockSize int) []byte {
	want := make([]byte, len(disk))
	copy(want, base)
	for i := 0; i*blockSize < len(disk); i++ {
		part := want[i*blockSize : min(len(disk), (i+1)*blockSize)]
		switch some(i) {
		case 'd':
			copy(part, disk[i*blockSize:])
		case 'z':
			clear(part)
		}
	}
	return want
}

func TestBuiltEqualsQEMU(t *testing.T) {
	disk := formattest.Content(3, 9*mb+sector)
	path := formattest.Write(t, t.TempDir(), "disk.vdi", build(disk, mb, some, "an id", "", "", ""))
	formattest.Agree(t, path, "vdi")
	formattest.Run(t, formattest.Case{Path: path, Format: "vdi", Want: apply(nil, disk, mb)})
}

func TestOtherBlocksAndOddSizes(t *testing.T) {
	for _, blockSize := range []int{4096, 2 * mb} {
		disk := formattest.Content(4, 3*mb+100)
		path := formattest.Write(t, t.TempDir(), "disk.vdi", build(disk, blockSize, some, "an id", "", "", ""))
		want := append(apply(nil, disk, blockSize), make([]byte, sector-100)...)
		formattest.Run(t, formattest.Case{Path: path, Format: "vdi", Want: want})
	}
}

const (
	idA = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
	idB = "\x11\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
	mod = "\x21\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
)

func TestDifferencing(t *testing.T) {
	dir := t.TempDir()
	all := func(int) byte { return 'd' }
	base, middle, top := formattest.Content(5, 4*mb), formattest.Content(6, 5*mb+sector), formattest.Content(7, 6*mb)
	formattest.Write(t, dir, "{04030201-0605-0807-090a-0b0c0d0e0f10}.vdi", build(base, mb, all, idA, mod, "", ""))
	formattest.Write(t, dir, "{04030211-0605-0807-090a-0b0c0d0e0f10}.vdi", build(middle, 64<<10, some, idB, mod, idA, mod))
	path := formattest.Write(t, dir, "top.vdi", build(top, 4096, some, "top", "", idB, ""))
	formattest.Run(t, formattest.Case{Path: path, Format: "vdi", Want: apply(apply(base, middle, 64<<10), top, 4096)})
}

func TestParentIsChecked(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	all := func(int) byte { return 'd' }
	path := formattest.Write(t, dir, "top.vdi", build(make([]byte, mb), mb, all, idB, "", idA, mod))
	open := func() error {
		_, err := formattest.NewChain(t).Open(ctx, path, "", formats.Options{})
		return err
	}
	const name = "{04030201-0605-0807-090a-0b0c0d0e0f10}.vdi"
	if err := open(); !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), `beside this image as "`+name) {
		t.Errorf("no parent: %v", err)
	}
	for text, b := range map[string][]byte{
		"has the UUID":      build(make([]byte, mb), mb, all, idB, mod, "", ""),
		"modification UUID": build(make([]byte, mb), mb, all, idA, idB, "", ""),
		"chain":             build(make([]byte, mb), mb, all, idA, mod, idA, mod),
	} {
		formattest.Write(t, dir, name, b)
		if err := open(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	if _, err := openBytes(formattest.Read(t, path), formats.Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), name) {
		t.Errorf("without Related: %v", err)
	}
}

func openBytes(b []byte, opt formats.Options) (formats.Image, error) {
	images, err := vdi.Format().Open(context.Background(), blocktest.NewMemory(b), opt)
	if err != nil {
		return nil, err
	}
	return images[0], nil
}

func put(b []byte, off, n int, v uint64) []byte {
	b = bytes.Clone(b)
	for i := range n {
		b[off+i] = byte(v >> (8 * i))
	}
	return b
}

func TestDamageIsNamed(t *testing.T) {
	good := build(formattest.Content(3, 2*mb), mb, func(int) byte { return 'd' }, idA, mod, "", "")
	for name, c := range map[string]struct {
		b    []byte
		text string
	}{
		"cut":           {good[:300], "ends after"},
		"block 0":       {put(good, 376, 4, 0), "blocks of"},
		"block odd":     {put(good, 376, 4, 3*mb), "blocks of"},
		"block huge":    {put(good, 376, 4, 1<<31), "blocks of"},
		"disk":          {put(good, 368, 8, 1<<63), "a disk of"},
		"disk larger":   {put(good, 368, 8, 3*mb), "a disk of"},
		"map outside":   {put(put(put(good, 340, 4, 1<<31), 384, 4, 1<<30), 368, 8, 1<<40), "outside the file"},
		"map odd":       {put(good, 340, 4, 4097), "not aligned"},
		"block outside": {put(good, 4096, 4, 0xfffffffd), "outside the file"},
		"no parent":     {put(good, 76, 4, 4), "without a parent"},
	} {
		img, err := openBytes(c.b, formats.Options{})
		if err == nil {
			_, err = img.ReadAt(context.Background(), make([]byte, 100), 0)
			img.Close()
		}
		if !errors.As(err, new(*ondisk.CorruptError)) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
		}
	}
	for text, b := range map[string][]byte{"version 0.1": put(good, 68, 4, 1), "image type 3": put(good, 76, 4, 3), "8 bytes of extra": put(good, 380, 4, 8)} {
		if _, err := openBytes(b, formats.Options{}); !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	for _, opt := range []formats.Options{{Writable: true}, {Snapshot: "x"}} {
		if _, err := openBytes(good, opt); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
}

func related(context.Context, string, string) (block.Device, error) {
	return blocktest.NewMemory(make([]byte, 100_000)), nil
}

func TestDamagedImages(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	b := build(formattest.Content(3, 300_000), 4096, some, idB, mod, idA, mod)
	formattest.Damage(t, vdi.Format(), b, len(b), rounds, related)
	formattest.Damage(t, vdi.Format(), b, 4500, rounds, related)
	formattest.Damage(t, vdi.Format(), b[:5000], 456, rounds, related)
}

func FuzzOpen(f *testing.F) {
	f.Add(build(formattest.Content(3, 20_000), 4096, some, idB, mod, idA, mod))
	f.Add(build(formattest.Content(3, 20_000), 4096, some, idB, mod, "", ""))
	f.Fuzz(func(t *testing.T, b []byte) { formattest.Hostile(t, vdi.Format(), b, related) })
}
