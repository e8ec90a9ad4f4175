package compressed_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// pack has a program compress b.
func pack(t testing.TB, b []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(formattest.Tool(t, name), args...)
	cmd.Stdin = bytes.NewReader(b)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, &errs)
	}
	return out
}

// content is a disk of text, noise and zeros, with zeros for longer than a piece.
func content() []byte {
	b := append(formattest.Content(7, 5<<20+512), make([]byte, 7<<20)...)
	return append(b, formattest.Content(8, 3<<20+100)...)
}

// members compresses b as Go's gzip does, a member for each n bytes, with blocks that end where it is flushed.
func members(t testing.TB, b []byte, n, level int, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	for len(b) > 0 {
		part := b[:min(n, len(b))]
		b = b[len(part):]
		w, err := gzip.NewWriterLevel(&out, level)
		if err != nil {
			t.Fatal(err)
		}
		w.Name, w.Comment, w.Extra = name, name, []byte(name)
		for i := 0; i < len(part); i += 100_000 {
			if _, err := w.Write(part[i:min(i+100_000, len(part))]); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// TestAgainstTools compares with what was given to the programs that make these files.
func TestAgainstTools(t *testing.T) {
	disk := content()
	half := len(disk)/2 + 77
	// xz decodes slowly.
	few := formattest.Content(9, 1<<20+100)
	third := len(few)/3 + 5
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	skip := append([]byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00"), "abc"...)
	for name, c := range map[string]struct {
		format string
		file   []byte
	}{
		"gzip -1":           {"gzip", pack(t, disk, "gzip", "-1")},
		"gzip -9":           {"gzip", pack(t, disk, "gzip", "-9")},
		"gzip, two members": {"gzip", join(pack(t, disk[:half], "gzip"), pack(t, disk[half:], "gzip"), make([]byte, 700))},
		"gzip, small ones":  {"gzip", members(t, disk, 65280, 6, "")},
		"gzip, stored":      {"gzip", members(t, disk, 6<<20, 0, "a name")},
		"gzip, Huffman":     {"gzip", members(t, disk, 3<<20, gzip.HuffmanOnly, "x")},
		"gzip, empty ones":  {"gzip", join(bytes.Repeat(pack(t, nil, "gzip"), 300_000), pack(t, disk, "gzip"), pack(t, nil, "gzip"))},
		"xz":                {"xz", pack(t, few, "xz", "-1")},
		"xz, blocks":        {"xz", pack(t, few, "xz", "-1", "-T2", "--block-size=256KiB")},
		"xz, sizes":         {"xz", pack(t, few, "xz", "-6", "--block-list=100KiB,1,300KiB,0", "-C", "sha256")},
		"xz, CRC-32":        {"xz", pack(t, few, "xz", "-0", "-T2", "--block-size=150KiB", "-C", "crc32")},
		"xz, no check":      {"xz", pack(t, few, "xz", "-0", "-C", "none")},
		"xz, streams": {"xz", join(pack(t, few[:third], "xz", "-0", "-C", "crc32"), make([]byte, 8), pack(t, nil, "xz"),
			pack(t, few[third:], "xz", "-0", "--block-size=200KiB"), make([]byte, 64))},
		"zstd":              {"zstd", pack(t, disk, "zstd", "-1", fmt.Sprintf("--stream-size=%d", len(disk)))},
		"zstd, no size":     {"zstd", pack(t, disk, "zstd", "-3")},
		"zstd, no check":    {"zstd", pack(t, disk, "zstd", "-3", "--no-check")},
		"zstd, frames":      {"zstd", join(skip, pack(t, disk[:half], "zstd", "-1"), skip, pack(t, nil, "zstd"), pack(t, disk[half:], "zstd", "-19"), skip)},
		"zstd, one segment": {"zstd", join(pack(t, disk[:1000], "zstd", "--stream-size=1000"), pack(t, disk[1000:3<<20], "zstd"), pack(t, disk[3<<20:], "zstd"))},
	} {
		t.Run(name, func(t *testing.T) {
			path := formattest.Write(t, t.TempDir(), "disk", c.file)
			want := disk
			if c.format == "xz" {
				want = few
			}
			formattest.Run(t, formattest.Case{Path: path, Format: c.format, Want: want})
		})
	}
}

func open(b []byte) (formats.Image, error) {
	f, err := formats.Detect(context.Background(), blocktest.NewMemory(b))
	if err != nil {
		return nil, err
	}
	images, err := f.Open(context.Background(), blocktest.NewMemory(b), formats.Options{})
	if err != nil {
		return nil, err
	}
	return images[0], nil
}

// TestRefused names what is not read.
func TestRefused(t *testing.T) {
	disk := formattest.Content(2, 300<<10)
	bomb := make([]byte, 200<<20)
	dict := formattest.Write(t, t.TempDir(), "dictionary", disk[:64<<10])
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"qcow2 in gzip":   {pack(t, append([]byte("QFI\xfb\x00\x00\x00\x03"), disk...), "gzip"), "qcow2 inside"},
		"gzip in xz":      {pack(t, pack(t, disk, "gzip"), "xz", "-0"), "gzip inside"},
		"filter":          {pack(t, disk, "xz", "--x86", "--lzma2=preset=0"), "the filter 0x4"},
		"xz bomb":         {pack(t, bomb, "xz", "-0", "-T1"), "more than 192 MiB"},
		"zstd bomb":       {pack(t, bomb, "zstd", "-1"), "more than 192 MiB"},
		"zstd window":     {pack(t, bomb, "zstd", "-1", "--long=27", "--stream-size=209715200"), "a window of more than 8 MiB"},
		"zstd dictionary": {pack(t, disk, "zstd", "-D", dict), ""},
	} {
		img, err := open(c.file)
		if err == nil {
			// A dictionary of raw bytes has no id; xz's filter is met by the first read.
			_, err = img.ReadAt(context.Background(), make([]byte, 512), 0)
			if e := img.Close(); e != nil {
				t.Error(e)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || c.says != "" && !errors.Is(err, syscall.EOPNOTSUPP) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDamaged names the structure and offset of what is damaged, and reads what is not.
func TestDamaged(t *testing.T) {
	disk := formattest.Content(3, 2<<20)
	gz, xz, zst := pack(t, disk, "gzip", "-1"), pack(t, disk, "xz", "-0", "--block-size=256KiB"), pack(t, disk, "zstd", "-1")
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 0x55
		return b
	}
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"gzip, contents": {flip(gz, 5000), "gzip"},
		"gzip, sum":      {flip(gz, -8), "gzip member"},
		"gzip, size":     {flip(gz, -1), "gzip member"},
		"gzip, cut":      {gz[:len(gz)-3], "ends within a member"},
		"gzip, cut more": {gz[:len(gz)/2], "gzip file"},
		"gzip, flags":    {flip(gz, 3), "gzip"},
		"xz, footer":     {flip(xz, -9), "xz stream footer"},
		"xz, cut":        {xz[:len(xz)-4], "no signature"},
		"xz, index":      {flip(xz, -20), "xz index"},
		"xz, header":     {flip(xz, 9), "xz stream header"},
		"xz, contents":   {flip(xz, 500), "xz block"},
		"xz, block":      {flip(xz, 14), "xz block header"},
		"zstd, contents": {flip(zst, len(zst)/2), "zstd"},
		"zstd, sum":      {flip(zst, -1), "zstd frame"},
		"zstd, cut":      {zst[:len(zst)-2], "ends before"},
	} {
		img, err := open(c.file)
		if err == nil {
			_, err = img.ReadAt(context.Background(), make([]byte, len(disk)), 0)
			if e := img.Close(); e != nil {
				t.Error(e)
			}
		}
		corrupt, unsupported := (*ondisk.CorruptError)(nil), (*ondisk.UnsupportedError)(nil)
		if err == nil || !strings.Contains(err.Error(), c.says) || !errors.As(err, &corrupt) && !errors.As(err, &unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Only the damaged block of an xz file cannot be read.
	img, err := open(flip(xz, len(xz)/2))
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	got := make([]byte, 256<<10)
	if _, err := img.ReadAt(context.Background(), got, 0); err != nil || !bytes.Equal(got, disk[:len(got)]) {
		t.Errorf("before the damage: %v", err)
	}
	if _, err := img.ReadAt(context.Background(), got, int64(len(disk)-len(got))); err != nil || !bytes.Equal(got, disk[len(disk)-len(got):]) {
		t.Errorf("behind the damage: %v", err)
	}
	img, err = open(append(bytes.Clone(gz), "rubbish"...))
	if err != nil || img.Info().Damaged == "" {
		t.Errorf("what follows is not said: %v", err)
	} else if err := img.Close(); err != nil {
		t.Error(err)
	}
}

// hostileFormat is the format that b is of.
func hostile(t testing.TB, name string, b []byte) {
	for _, f := range formats.All() {
		if f.Name == name {
			formattest.Hostile(t, f, b, nil)
		}
	}
}

// small are seeds.
func small(t testing.TB, program string, args ...string) []byte {
	return pack(t, formattest.Content(5, 20<<10), program, args...)
}

func FuzzGzip(f *testing.F) {
	f.Add(small(f, "gzip"))
	f.Add(members(f, formattest.Content(1, 3000), 700, 1, "name"))
	f.Fuzz(func(t *testing.T, b []byte) { hostile(t, "gzip", b) })
}

// FuzzXZ makes the checksums of the last stream's index and footer good, by the size that the footer says.
func FuzzXZ(f *testing.F) {
	f.Add(small(f, "xz", "-0", "--block-size=4096"))
	f.Add(small(f, "xz", "-0", "-C", "crc32"))
	f.Fuzz(func(t *testing.T, b []byte) {
		hostile(t, "xz", b)
		b = bytes.Clone(b)
		if n := len(b); n > 40 {
			size := (int(binary.LittleEndian.Uint32(b[n-8:])) + 1) * 4
			if index := n - 12 - size; index > 0 && size > 4 {
				binary.LittleEndian.PutUint32(b[n-16:], crc(b[index:n-16]))
			}
			binary.LittleEndian.PutUint32(b[n-12:], crc(b[n-8:n-2]))
			hostile(t, "xz", b)
		}
	})
}

func FuzzZstd(f *testing.F) {
	f.Add(small(f, "zstd"))
	f.Add(small(f, "zstd", "--no-check", "--stream-size=20480"))
	f.Fuzz(func(t *testing.T, b []byte) { hostile(t, "zstd", b) })
}

func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) }
