package vhd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/vhd"
)

const sector = formattest.Sector

func TestAgainstQEMU(t *testing.T) {
	const size = 5<<20 + 3*sector
	for _, options := range []string{"", "subformat=dynamic,force_size=on", "subformat=fixed", "subformat=fixed,force_size=on"} {
		t.Run(options, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.vhd")
			formattest.Create(t, path, "vpc", options, size)
			formattest.IO(t, path, "vpc", formattest.Scribble(uint64(len(options)), size, 15)...)
			formattest.Agree(t, path, "vpc")
		})
	}
}

func TestFreshAndSparse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.vhd")
	formattest.Create(t, path, "vpc", "force_size=on", 17<<20+sector)
	formattest.Agree(t, path, "vpc")
	formattest.IO(t, path, "vpc", "write -P 5 16M 3k")
	formattest.Agree(t, path, "vpc")
}

// seal makes the checksum of a footer (64) or header (36) good.
func seal(b []byte, off int) {
	s := uint32(0)
	for i, c := range b {
		if i < off || i >= off+4 {
			s += uint32(c)
		}
	}
	binary.BigEndian.PutUint32(b[off:], ^s)
}

// footers changes both footers of f.
func footers(f []byte, change func(b []byte)) []byte {
	f = bytes.Clone(f)
	for _, b := range [][]byte{f[:512], f[len(f)-512:]} {
		if string(b[:8]) == "conectix" {
			change(b)
			seal(b, 64)
		}
	}
	return f
}

// TestCreators compares the size of the disk with what QEMU says, for programs
// whose geometry counts and for those whose size does.
func TestCreators(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.vhd")
	formattest.Create(t, path, "vpc", "", 70<<20+sector)
	good := footers(formattest.Read(t, path), func(b []byte) { binary.BigEndian.PutUint64(b[48:], 70<<20) })
	sizes := make(map[int64]bool)
	for _, creator := range []string{"vpc ", "vs  ", "qemu", "qem2", "win ", "d2v ", "tap\x00", "CTXS"} {
		formattest.Write(t, dir, "disk.vhd", footers(good, func(b []byte) { copy(b[28:], creator) }))
		img, err := formattest.NewChain(t).Open(context.Background(), path, "", formats.Options{})
		if err != nil {
			t.Fatal(err)
		}
		out := formattest.Do(t, dir, "qemu-img", "info", "-f", "vpc", "--output=json", path)
		if want := `"virtual-size": ` + itoa(img.Size()) + ","; !strings.Contains(out, want) {
			t.Errorf("%q: %d, QEMU says %s", creator, img.Size(), out)
		}
		sizes[img.Size()] = true
	}
	if len(sizes) != 2 {
		t.Errorf("sizes %v", sizes)
	}
	// The largest geometry stands for any size.
	formattest.Write(t, dir, "disk.vhd", footers(good, func(b []byte) { copy(b[28:], "vpc "); copy(b[56:], "\xff\xff\x10\xff") }))
	img, err := formattest.NewChain(t).Open(context.Background(), path, "", formats.Options{})
	if err != nil || img.Size() != 70<<20 {
		t.Errorf("%v, %v", img, err)
	}
}

func itoa(n int64) string {
	var b []byte
	for ; n > 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

func TestFooterCopy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.vhd")
	formattest.Create(t, path, "vpc", "force_size=on", 3<<20)
	formattest.IO(t, path, "vpc", "write -P 7 1M 100k")
	good, want := formattest.Read(t, path), formattest.Convert(t, path, "vpc")
	bad := bytes.Clone(good)
	bad[len(bad)-400] ^= 1
	formattest.Write(t, dir, "disk.vhd", bad)
	formattest.Run(t, formattest.Case{Path: path, Format: "vpc", Want: want})
	img, err := formattest.NewChain(t).Open(context.Background(), path, "", formats.Options{})
	if err != nil || !strings.Contains(img.Info().Damaged, "copy") {
		t.Errorf("%v", err)
	}
	// Without the copy the disk is not recognised, but read when asked for.
	bad = bytes.Clone(good)
	clear(bad[:512])
	formattest.Write(t, dir, "disk.vhd", bad)
	img, err = formattest.NewChain(t).Open(context.Background(), path, "vpc", formats.Options{})
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, img, want)
}

// TestRawIsNotVHD has raw disks whose guest wrote a footer at the end.
func TestRawIsNotVHD(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "disk.vhd")
	formattest.Create(t, path, "vpc", "subformat=fixed,force_size=on", 1<<20)
	fixed := formattest.Read(t, path)
	detect := func(b []byte) string {
		f, err := formats.Detect(ctx, blocktest.NewMemory(b))
		if err != nil {
			t.Fatal(err)
		}
		return f.Name
	}
	if got := detect(fixed); got != "vpc" {
		t.Errorf("a fixed disk is %s", got)
	}
	for name, b := range map[string][]byte{
		"differencing": footers(fixed, func(b []byte) { b[63] = 4 }),
		"dynamic":      footers(fixed, func(b []byte) { b[63] = 3 }),
		"of no type":   footers(fixed, func(b []byte) { b[63] = 0 }),
		"other size":   append(make([]byte, 4096), fixed...),
		"shorter":      footers(fixed, func(b []byte) { b[54] = 1 }),
		"odd":          append(bytes.Clone(fixed), 0),
		"checksum":     append(bytes.Clone(fixed[:len(fixed)-1]), 1),
		"small":        fixed[len(fixed)-511:],
	} {
		if got := detect(b); got != "raw" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func utf16text(s string, order binary.ByteOrder) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, 0, 0)
		order.PutUint16(b[len(b)-2:], u)
	}
	return b
}

// diff is a differencing disk made from the layout: blocks of the given size,
// written last to first, with the sectors of disk that present says.
func diff(disk []byte, blockSize int, present func(int) bool, parent []byte, locators map[string][]byte, name string) []byte {
	be := binary.BigEndian
	footer := make([]byte, 512)
	copy(footer, "conectix")
	be.PutUint32(footer[8:], 2)
	be.PutUint32(footer[12:], 0x10000)
	be.PutUint64(footer[16:], 512)
	copy(footer[28:], "win ")
	be.PutUint64(footer[40:], uint64(len(disk)))
	be.PutUint64(footer[48:], uint64(len(disk)))
	be.PutUint32(footer[60:], 4)
	copy(footer[68:], "the child's UUID")
	seal(footer, 64)
	blocks := (len(disk) + blockSize - 1) / blockSize
	header := make([]byte, 1024)
	copy(header, "cxsparse")
	be.PutUint64(header[8:], 1<<64-1)
	be.PutUint64(header[16:], 1536)
	be.PutUint32(header[24:], 0x10000)
	be.PutUint32(header[28:], uint32(blocks))
	be.PutUint32(header[32:], uint32(blockSize))
	copy(header[40:], parent)
	copy(header[64:64+512], utf16text(name, be))
	f := append(append(bytes.Clone(footer), header...), bytes.Repeat([]byte{0xff}, (blocks*4+511)/512*512)...)
	i := 0
	for code, b := range locators {
		l := f[512+576+24*i:]
		copy(l, code)
		be.PutUint32(l[4:], 512)
		be.PutUint32(l[8:], uint32(len(b)))
		be.PutUint64(l[16:], uint64(len(f)))
		f = append(f, b...)
		f = append(f, make([]byte, 512-len(b)%512)...)
		i++
	}
	seal(f[512:1536], 36)
	bitmap := (blockSize/512/8 + 511) / 512 * 512
	for i := blocks - 1; i >= 0; i-- {
		part := disk[i*blockSize : min(len(disk), (i+1)*blockSize)]
		b := make([]byte, bitmap+blockSize)
		any := false
		for s := range (len(part) + 511) / 512 {
			if present(i*blockSize/512 + s) {
				b[s/8] |= 0x80 >> (s % 8)
				copy(b[bitmap+s*512:], part[s*512:min(len(part), s*512+512)])
				any = true
			} else {
				copy(b[bitmap+s*512:], strings.Repeat("x", 512)) // not to be read
			}
		}
		if any {
			be.PutUint32(f[1536+4*i:], uint32(len(f)/512))
			f = append(f, b...)
		}
	}
	return append(f, footer...)
}

func some(s int) bool {
	switch s / 4096 % 3 {
	case 0:
		return s%7 < 3 || s%4096 > 2000
	case 1:
		return s%4096 > 100
	}
	return false
}

func TestDifferencing(t *testing.T) {
	for _, blockSize := range []int{2 << 20, 4096, 512 << 10} {
		dir := t.TempDir()
		base, top := formattest.Content(6, 5<<20), formattest.Content(7, 7<<20+512)
		src := formattest.Write(t, dir, "src.raw", base)
		formattest.Do(t, dir, "qemu-img", "convert", "-O", "vpc", "-o", "force_size=on", src, "base.vhd")
		id := formattest.Read(t, filepath.Join(dir, "base.vhd"))[68 : 68+16]
		want := make([]byte, len(top))
		copy(want, base)
		for s := range len(top) / 512 {
			if some(s) {
				copy(want[s*512:], top[s*512:s*512+512])
			}
		}
		le, all := binary.ByteOrder(binary.LittleEndian), map[int]map[string][]byte{}
		all[0] = map[string][]byte{"W2ru": utf16text(`.\base.vhd`, le), "W2ku": utf16text(`C:\gone.vhd`, le)}
		all[1] = map[string][]byte{"MacX": []byte("file://./base.vhd\x00"), "Wi2k": []byte("x")}
		all[2] = map[string][]byte{"W2ru": utf16text(`.\gone.vhd`, le), "W2ku": utf16text(`D:\VMs\base.vhd`, le)}
		all[3] = nil
		i := map[int]int{2 << 20: 0, 4096: 1, 512 << 10: 2}[blockSize]
		for _, m := range []map[string][]byte{all[i], nil} {
			path := formattest.Write(t, dir, "top.vhd", diff(top, blockSize, some, id, m, "base.vhd"))
			formattest.Run(t, formattest.Case{Path: path, Format: "vpc", Want: want})
		}
	}
}

func TestParentIsChecked(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	formattest.Create(t, filepath.Join(dir, "base.vhd"), "vpc", "", 1<<20)
	for name, text := range map[string]string{"base.vhd": "unique ID", "top.vhd": "chain", "": "without a parent"} {
		path := formattest.Write(t, dir, "top.vhd", diff(make([]byte, 1<<20), 4096, some, make([]byte, 16), nil, name))
		if _, err := formattest.NewChain(t).Open(ctx, path, "", formats.Options{}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", name, err)
		}
	}
	b := diff(make([]byte, 1<<20), 4096, some, make([]byte, 16), nil, "base.vhd")
	if _, err := vhd.Format().Open(ctx, blocktest.NewMemory(b), formats.Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), `"base.vhd"`) {
		t.Errorf("without Related: %v", err)
	}
}
