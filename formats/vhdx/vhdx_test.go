package vhdx_test

import (
	"bytes"
	"context"
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
	"github.com/guestctl/guestctl/formats/vhdx"
)

const sector = formattest.Sector

func TestAgainstQEMU(t *testing.T) {
	const size = 5<<20 + 3*sector
	for _, options := range []string{
		"block_size=1M", "block_size=2M,block_state_zero=off", "block_size=4M,log_size=2M", "subformat=fixed,block_size=1M",
	} {
		t.Run(options, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.vhdx")
			formattest.Create(t, path, "vhdx", options, size)
			formattest.IO(t, path, "vhdx", formattest.Scribble(uint64(len(options)), size, 10)...)
			formattest.Agree(t, path, "vhdx")
		})
	}
}

func TestFreshAndSparse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.vhdx")
	formattest.Create(t, path, "vhdx", "", 40<<20+sector)
	formattest.IO(t, path, "vhdx", "write -P 5 33M 3k")
	formattest.Agree(t, path, "vhdx")
	formattest.Create(t, path, "vhdx", "", 3<<20)
	formattest.Run(t, formattest.Case{Path: path, Format: "vhdx", Want: make([]byte, 3<<20)})
}

// TestChunks is a disk of more than one chunk, so that entries of sector
// bitmaps stand between those of its blocks.
func TestChunks(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "disk.vhdx")
	const size = 9 << 30
	formattest.Create(t, path, "vhdx", "block_size=1M", size)
	formattest.IO(t, path, "vhdx", "write -P 1 4095M 2M", "write -P 2 8191M 2M", "write -P 3 0 512")
	img, err := formattest.NewChain(t).Open(ctx, path, "", formats.Options{})
	if err != nil {
		t.Fatal(err)
	}
	formattest.MapAgrees(t, img, path, "vhdx")
	buf := make([]byte, 4<<20)
	for at, want := range map[int64]byte{4095 << 20: 1, 8191 << 20: 2} {
		if err := block.ReadFull(ctx, img, buf, at-1<<20); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf, append(append(make([]byte, mb), bytes.Repeat([]byte{want}, 2*mb)...), make([]byte, mb)...)) {
			t.Errorf("at %d: other bytes", at)
		}
	}
}

func TestBuiltEqualsQEMU(t *testing.T) {
	for name, b := range map[string]build{"dynamic": {disk: formattest.Content(3, 9*mb+512)}, "fixed": {disk: formattest.Content(4, 3*mb), fixed: true}} {
		t.Run(name, func(t *testing.T) {
			path := formattest.Write(t, t.TempDir(), "disk.vhdx", b.bytes())
			formattest.Agree(t, path, "vhdx")
			formattest.Run(t, formattest.Case{Path: path, Format: "vhdx", Want: b.disk})
		})
	}
}

func TestSectorsOf4096(t *testing.T) {
	want := formattest.Content(5, 5*mb+4096)
	path := formattest.Write(t, t.TempDir(), "disk.vhdx", build{disk: want, sector: 4096}.bytes())
	formattest.Run(t, formattest.Case{Path: path, Format: "vhdx", Want: want})
}

// some is a set of sectors: long runs, single ones, whole blocks and none.
func some(per int) func(int) bool {
	return func(s int) bool {
		block := s / per
		switch block % 4 {
		case 0:
			return s%7 < 3 || s%per > per/2
		case 1:
			return true
		case 2:
			return false
		}
		return s%per > 100
	}
}

func TestDifferencing(t *testing.T) {
	for _, size := range []int{512, 4096} {
		dir := t.TempDir()
		base, top := formattest.Content(6, 7*mb), formattest.Content(7, 8*mb+4096)
		present := some(mb / size)
		formattest.Write(t, dir, "base.vhdx", build{disk: base, sector: size}.bytes())
		want := make([]byte, len(top))
		copy(want, base)
		for s := range len(top) / size {
			if present(s) {
				copy(want[s*size:], top[s*size:(s+1)*size])
			}
		}
		for i, m := range []map[string]string{
			{"parent_linkage": "{" + strings.ToUpper(dataGUID) + "}", "relative_path": `.\base.vhdx`, "absolute_win32_path": `C:\gone.vhdx`},
			{"parent_linkage": "{" + noGUID + "}", "parent_linkage2": "{" + dataGUID + "}", "absolute_win32_path": `C:\Users\Public\base.vhdx`},
		} {
			path := formattest.Write(t, dir, "top.vhdx", build{disk: top, sector: size, present: present, locator: m, data: noGUID[:35] + "1"}.bytes())
			formattest.Run(t, formattest.Case{Path: path, Format: "vhdx", Want: want})
			if i == 0 {
				b := formattest.Read(t, path)
				if _, err := openBytes(b, formats.Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "base.vhdx") {
					t.Errorf("without Related: %v", err)
				}
			}
		}
	}
}

func TestParentIsChecked(t *testing.T) {
	dir := t.TempDir()
	formattest.Write(t, dir, "base.vhdx", build{disk: make([]byte, mb)}.bytes())
	none := func(int) bool { return false }
	for name, want := range map[string]string{"base.vhdx": "DataWriteGuid", "top.vhdx": "chain", "": "names no file"} {
		m := map[string]string{"parent_linkage": "{" + noGUID + "}", "relative_path": name}
		path := formattest.Write(t, dir, "top.vhdx", build{disk: make([]byte, mb), present: none, locator: m}.bytes())
		if _, err := formattest.NewChain(t).Open(context.Background(), path, "", formats.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestHeaderChoice(t *testing.T) {
	want := formattest.Content(8, 2*mb)
	good := build{disk: want}.bytes()
	for name, change := range map[string]func(f []byte){
		"the first damaged":  func(f []byte) { f[64<<10+20] ^= 1 },
		"the second damaged": func(f []byte) { f[128<<10+20] ^= 1 },
		"the second newer":   func(f []byte) { copy(f[128<<10:], header(7, dataGUID, noGUID)) },
		// The older header's log is not looked at.
		"an old log": func(f []byte) { copy(f[128<<10:], header(4, dataGUID, logID)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := bytes.Clone(good)
			change(f)
			path := formattest.Write(t, t.TempDir(), "disk.vhdx", f)
			formattest.Agree(t, path, "vhdx")
		})
	}
	// QEMU knows only the first of the region tables.
	second := bytes.Clone(good)
	second[192<<10+20] ^= 1
	path := formattest.Write(t, t.TempDir(), "disk.vhdx", second)
	formattest.Run(t, formattest.Case{Path: path, Format: "vhdx", Want: want})
	both := bytes.Clone(good)
	both[64<<10+20] ^= 1
	both[128<<10+20] ^= 1
	var bad *ondisk.CorruptError
	if _, err := openBytes(both, formats.Options{}); !errors.As(err, &bad) || !bad.Checksum || bad.Off != 64<<10 {
		t.Errorf("both damaged: %v", err)
	}
}

// dirty is a file whose BAT is only in its log, from at on, and whose last
// block the file is too short for by tail bytes.
func dirty(disk []byte, at int) []byte {
	f := build{disk: disk}.bytes()
	bat := bytes.Clone(f[3*mb : 3*mb+4096])
	copy(f[3*mb:], bytes.Repeat([]byte{0xff}, 4096))
	copy(f[64<<10:], header(9, dataGUID, logID))
	size := len(f)
	wrong := bytes.Repeat([]byte{0x77}, 4096)
	// An older sequence that is not part of the newest.
	putLog(f, (at+64<<10)%mb, logEntry(3, (at+64<<10)%mb, size, size, change{off: 3 * mb, data: wrong}))
	// The newest: the tail, whose change the next entry makes again, zeros,
	// and one that says so.
	tail := at
	at = putLog(f, at, logEntry(1<<33, tail, size, size, change{off: 3 * mb, data: wrong}, change{off: 3*mb + 8192, zero: 4096}))
	at = putLog(f, at, logEntry(1<<33+1, tail, size, size, change{off: 3 * mb, data: bat}, change{off: 3*mb + 4096, zero: 8192}))
	at = putLog(f, at, logEntry(1<<33+2, tail, size, size))
	// What was begun behind it and is not whole.
	e := logEntry(1<<33+3, tail, size, size, change{off: 3 * mb, data: wrong})
	e[5000] ^= 1
	putLog(f, at, e)
	return f
}

// TestDirtyLog compares with what QEMU reads after it replayed the log of a
// copy: it does not read such a file without that.
func TestDirtyLog(t *testing.T) {
	want := formattest.Content(9, 3*mb+512)
	for _, at := range []int{0, 8192, mb - 8192, mb - 4096} {
		dir := t.TempDir()
		f := dirty(want, at)
		path := formattest.Write(t, dir, "copy.vhdx", f)
		formattest.Do(t, dir, "qemu-img", "check", "-q", "-r", "all", path)
		if got := formattest.Convert(t, path, "vhdx"); !bytes.Equal(got, want) {
			t.Fatal("QEMU reads something else")
		}
		os.Remove(path)
		path = formattest.Write(t, dir, "disk.vhdx", f)
		formattest.Run(t, formattest.Case{Path: path, Format: "vhdx", Want: want})
		img, err := formattest.NewChain(t).Open(context.Background(), path, "", formats.Options{})
		if err != nil || !strings.Contains(img.Info().Damaged, "replayed") {
			t.Errorf("%v, %+v", err, img.Info())
		}
	}
}

// TestLogExtends has a log that allocates a block behind the end of the file.
func TestLogExtends(t *testing.T) {
	want := formattest.Content(10, 2*mb)
	for i := range mb {
		want[i] |= 1 // a block that is there
	}
	f := build{disk: want}.bytes()
	size := len(f)
	f = f[:size-mb] // the block written last is the first, and lost
	clear(want[:mb])
	copy(f[64<<10:], header(9, dataGUID, logID))
	putLog(f, 0, logEntry(5, 0, size-mb, size, change{off: size - 4096, data: want[mb-4096 : mb]}))
	dir := t.TempDir()
	path := formattest.Write(t, dir, "copy.vhdx", f)
	formattest.Do(t, dir, "qemu-img", "check", "-q", "-r", "all", path)
	if got := formattest.Convert(t, path, "vhdx"); !bytes.Equal(got, want) {
		t.Fatal("QEMU reads something else")
	}
	os.Remove(path)
	path = formattest.Write(t, dir, "disk.vhdx", f)
	formattest.Run(t, formattest.Case{Path: path, Format: "vhdx", Want: want})
}

func openBytes(b []byte, opt formats.Options) (formats.Image, error) {
	images, err := vhdx.Format().Open(context.Background(), blocktest.NewMemory(b), opt)
	if err != nil {
		return nil, err
	}
	return images[0], nil
}
