package ewf_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/ewf"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/tests/images"
)

// acquire makes an image of disk in dir with libewf, and gives the first file.
func acquire(t testing.TB, dir string, disk []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command(formattest.Tool(t, "ewfacquirestream"), append(append([]string{"-q"}, args...), "-t", "image")...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(disk)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, ext := range []string{"E01", "e01", "s01"} {
		if path := filepath.Join(dir, "image."+ext); exists(path) {
			return path
		}
	}
	t.Fatal("no image")
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestAgainstLibewf(t *testing.T) {
	disk := formattest.Content(3, 5<<20+3*512)
	for _, args := range []string{
		"-f encase6 -c fast", "-f encase6 -c none", "-f encase6 -c empty-block", "-f encase1 -c best -b 16", "-f ftk -c fast -b 128",
		"-f smart -c fast", "-f ewfx -c fast -S 1048576", "-f linen5 -c none -S 1048576", "-f encase7 -c best -b 2048",
	} {
		t.Run(args, func(t *testing.T) {
			path := acquire(t, t.TempDir(), disk, strings.Fields(args)...)
			formattest.Run(t, formattest.Case{Path: path, Format: "ewf", Want: disk})
		})
	}
}

func TestManySegments(t *testing.T) {
	images.NeedLong(t)
	disk := bytes.Repeat(formattest.Content(4, 1<<20), 110)
	dir := t.TempDir()
	path := acquire(t, dir, disk, "-c", "none", "-S", "1048576")
	if !exists(filepath.Join(dir, "image.EAA")) {
		t.Fatal("fewer than a hundred files")
	}
	img, err := formattest.NewChain(t).Open(context.Background(), path, "", formats.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(disk))
	if err := block.ReadFull(context.Background(), img, got, 0); err != nil || !bytes.Equal(got, disk) {
		t.Errorf("it differs: %v", err)
	}
}

func openBytes(b []byte, opt formats.Options) (formats.Image, error) {
	images, err := ewf.Format().Open(context.Background(), blocktest.NewMemory(b), opt)
	if err != nil {
		return nil, err
	}
	return images[0], nil
}

// section finds the n-th section of a kind.
func section(t testing.TB, b []byte, kind string) int {
	for off := 13; off < len(b); {
		if strings.TrimRight(string(b[off:off+16]), "\x00") == kind {
			return off
		}
		next := int(binary.LittleEndian.Uint64(b[off+16:]))
		if next <= off {
			break
		}
		off = next
	}
	t.Fatalf("no section %q", kind)
	return 0
}

// put changes n bytes at off of the section at s, and makes the checksum at
// sum of them good.
func put(b []byte, s, off, n int, v uint64, sum int) []byte {
	b = bytes.Clone(b)
	for i := range n {
		b[s+off+i] = byte(v >> (8 * i))
	}
	from := s
	if off >= 76 {
		from += 76
	}
	binary.LittleEndian.PutUint32(b[from+sum:], adler32.Checksum(b[from:from+sum]))
	return b
}

func TestDamageIsNamed(t *testing.T) {
	good := formattest.Read(t, acquire(t, t.TempDir(), formattest.Content(5, 200<<10), "-c", "fast"))
	plain := formattest.Read(t, acquire(t, t.TempDir(), formattest.Content(5, 200<<10), "-c", "none"))
	vol, table, sectors := section(t, good, "volume"), section(t, good, "table"), section(t, good, "sectors")
	flip := func(b []byte, off int) []byte {
		b = bytes.Clone(b)
		b[off] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		text string
		sum  bool
	}{
		"second segment":   {flip(good, 9), "it is segment", false},
		"descriptor":       {flip(good, 13+20), "EWF section", true},
		"loop":             {put(good, vol, 16, 8, 13, 72), "is at 13", false},
		"onto itself":      {put(good, vol, 16, 8, uint64(vol), 72), "is at", false},
		"outside":          {put(good, vol, 16, 8, 1<<63, 72), "is at", false},
		"volume":           {flip(good, vol+76+30), "EWF volume", true},
		"chunk size":       {put(good, vol, 76+8, 4, 1<<31, 1048), "in chunks of", false},
		"chunk size 0":     {put(good, vol, 76+8, 4, 0, 1048), "in chunks of", false},
		"sector size":      {put(good, vol, 76+12, 4, 513, 1048), "sectors of 513", false},
		"disk size":        {put(good, vol, 76+16, 8, 1<<63, 1048), "a disk of", false},
		"table":            {flip(good, table+76+9), "EWF table", true},
		"entries":          {put(good, table, 76, 4, 1<<31, 20), "entries in", false},
		"base":             {put(good, table, 76+8, 8, 1<<60, 20), "begin at", false},
		"chunk outside":    {put(good, table, 76+24, 4, 1<<31-1, 20), "lies from", false},
		"chunk backwards":  {put(good, table, 76+28, 4, 10, 20), "lies from", false},
		"compressed chunk": {flip(good, sectors+76+40), "EWF chunk", false},
		"plain chunk":      {flip(plain, section(t, plain, "sectors")+76+40), "EWF chunk", true},
		"cut":              {good[:table+20], "EWF", false},
		"cut at the end":   {good[:len(good)-70], "ends in it", false},
		"no volume":        {bytes.Clone(good[:13]), "ends in it", false},
	} {
		img, err := openBytes(c.b, formats.Options{})
		if err == nil {
			_, err = img.ReadAt(context.Background(), make([]byte, 100), 0)
			img.Close()
		}
		var bad *ondisk.CorruptError
		if !errors.As(err, &bad) || bad.Checksum != c.sum || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
		}
	}
	for text, b := range map[string]string{"version 2": "EVF2\r\n\x81\x00", "logical evidence": "LVF\t\r\n\xff\x00"} {
		if err := ewf.Format().Probe(context.Background(), blocktest.NewMemory([]byte(b))); err != nil {
			t.Errorf("%v", err)
		}
		if _, err := openBytes([]byte(b), formats.Options{}); !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	for _, opt := range []formats.Options{{Writable: true}, {Snapshot: "x"}} {
		if _, err := openBytes(good, opt); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
	// Fewer chunks than the disk has.
	img, err := openBytes(put(good, vol, 76+16, 8, 1000, 1048), formats.Options{})
	if err != nil || img.Info().Damaged == "" {
		t.Fatalf("%v", err)
	}
	if _, err := img.ReadAt(context.Background(), make([]byte, 10), 400<<10); !errors.As(err, new(*ondisk.CorruptError)) {
		t.Errorf("a missing chunk: %v", err)
	}
}

func TestSegments(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	path := acquire(t, dir, formattest.Content(6, 3<<20), "-c", "none", "-S", "1048576")
	first := formattest.Read(t, path)
	if _, err := openBytes(first, formats.Options{Name: "image.E01"}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "image.E02") {
		t.Errorf("without Related: %v", err)
	}
	if _, err := openBytes(first, formats.Options{Name: "image.dd"}); !errors.As(err, new(*ondisk.UnsupportedError)) {
		t.Errorf("another name: %v", err)
	}
	third := formattest.Read(t, filepath.Join(dir, "image.E03"))
	formattest.Write(t, dir, "image.E02", third)
	if _, err := formattest.NewChain(t).Open(ctx, path, "", formats.Options{}); err == nil || !strings.Contains(err.Error(), "it is segment 3, not 2") {
		t.Errorf("segments swapped: %v", err)
	}
	os.Remove(filepath.Join(dir, "image.E02"))
	if _, err := formattest.NewChain(t).Open(ctx, path, "", formats.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a segment gone: %v", err)
	}
	// A segment without end.
	n := 0
	all := func(context.Context, string, string) (block.Device, error) {
		n++
		b := bytes.Clone(first)
		b[9], b[10] = byte(n+1), byte((n+1)>>8)
		return blocktest.NewMemory(b[:]), nil
	}
	tiny := append([]byte("EVF\x09\x0d\x0a\xff\x00\x01\x01\x00\x00\x00next"), make([]byte, 72)...)
	tiny = put(tiny, 13, 16, 8, 13, 72)
	first = tiny
	if _, err := openBytes(tiny, formats.Options{Name: "a.E01", Related: all}); !errors.As(err, new(*ondisk.UnsupportedError)) {
		t.Errorf("segments without end: %v after %d", err, n)
	}
	for i, want := range map[int]string{2: "a.E02", 99: "a.E99", 100: "a.EAA", 101: "a.EAB", 126: "a.EBA", 776: "a.FAA"} {
		if got := fmt.Sprint(i); names[i] != want {
			t.Errorf("segment %s is %q, want %q", got, names[i], want)
		}
	}
}

// names are those of the segments behind a.E01, as Related is asked for them.
var names = func() map[int]string {
	m := make(map[int]string)
	tiny := append([]byte("EVF\x09\x0d\x0a\xff\x00\x01\x01\x00\x00\x00next"), make([]byte, 72)...)
	tiny = put(tiny, 13, 16, 8, 13, 72)
	n := 1
	_, _ = openBytes(tiny, formats.Options{Name: "a.E01", Related: func(_ context.Context, name, _ string) (block.Device, error) {
		n++
		m[n] = strings.TrimPrefix(name, "./")
		b := bytes.Clone(tiny)
		b[9], b[10] = byte(n), byte(n>>8)
		return blocktest.NewMemory(b), nil
	}})
	return m
}()

func TestDamagedImages(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	b := formattest.Read(t, acquire(t, t.TempDir(), formattest.Content(5, 200<<10), "-c", "fast"))
	formattest.Damage(t, ewf.Format(), b, len(b), rounds, nil)
	vol, table := section(t, b, "volume"), section(t, b, "table")
	for i := range rounds {
		v := uint64(i) * 0x9e3779b97f4a7c15
		for _, x := range [][]byte{put(b, vol, 76+i%24, 1+i%8, v, 1048), put(b, table, 76+i%20, 1+i%4, v, 20), put(b, vol, 16+i%16, 1+i%3, v, 72), put(b, table, 76+24+i%20, 1+i%4, v, 20)} {
			formattest.Hostile(t, ewf.Format(), x, nil)
		}
	}
}

// FuzzOpen makes the checksums of a chain of sections good.
func FuzzOpen(f *testing.F) {
	f.Add(formattest.Read(f, acquire(f, f.TempDir(), formattest.Content(5, 20<<10), "-c", "fast", "-b", "16")))
	f.Add(formattest.Read(f, acquire(f, f.TempDir(), formattest.Content(5, 8<<10), "-c", "none", "-b", "16", "-f", "smart")))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		for off, n := 13, 0; off >= 13 && off+76 <= len(b) && n < 50; n++ {
			binary.LittleEndian.PutUint32(b[off+72:], adler32.Checksum(b[off:off+72]))
			for _, sum := range []int{20, 90, 1048} {
				if kind := string(b[off : off+4]); (kind == "tabl") == (sum == 20) && off+76+sum+4 <= len(b) && (kind == "tabl" || kind == "volu") {
					binary.LittleEndian.PutUint32(b[off+76+sum:], adler32.Checksum(b[off+76:off+76+sum]))
				}
			}
			next := int(binary.LittleEndian.Uint64(b[off+16:]))
			if next <= off {
				break
			}
			off = next
		}
		formattest.Hostile(t, ewf.Format(), b, nil)
	})
}
