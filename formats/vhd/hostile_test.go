package vhd_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/vhd"
)

// patched is f with v at off, of n bytes, and its checksums made good again.
func patched(f []byte, off, n int, v uint64) []byte {
	f = bytes.Clone(f)
	for i := range n {
		if off+i < len(f) {
			f[off+i] = byte(v >> (8 * (n - 1 - i)))
		}
	}
	return resealed(f)
}

func resealed(f []byte) []byte {
	if len(f) >= 1536 {
		seal(f[:512], 64)
		seal(f[512:1536], 36)
	}
	return f
}

func related(context.Context, string, string) (block.Device, error) {
	return blocktest.NewMemory(make([]byte, 100_000)), nil
}

func TestDamageIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.vhd")
	formattest.Create(t, path, "vpc", "force_size=on", 3<<20)
	formattest.IO(t, path, "vpc", "write -P 7 0 100k")
	all := formattest.Read(t, path)
	good := append(bytes.Clone(all[:len(all)-512]), make([]byte, 512)...) // only the copy is looked at
	d := diff(make([]byte, 1<<20), 4096, some, make([]byte, 16), map[string][]byte{"W2ru": []byte("x\x00")}, "x")
	d = append(d[:len(d)-512], make([]byte, 512)...)
	for name, c := range map[string]struct {
		b    []byte
		text string
	}{
		"no footer":        {make([]byte, 4096), "VHD footer"},
		"empty":            {nil, "VHD footer"},
		"checksum":         {append([]byte{good[0]}, append(bytes.Clone(good[1:20]), append([]byte{1}, good[21:]...)...)...), "bad checksum"},
		"size":             {patched(good, 48, 8, 1<<63), "a disk of"},
		"size odd":         {patched(good, 48, 8, 1000), "a disk of"},
		"size large":       {patched(good, 48, 8, 1<<40), "the disk needs"},
		"fixed in front":   {patched(good, 60, 4, 2), "at the beginning"},
		"header outside":   {patched(good, 16, 8, 1<<63), "outside the file"},
		"header elsewhere": {patched(good, 16, 8, 2048), "begins with"},
		"header checksum":  {append(bytes.Clone(good[:600]), append([]byte{9}, good[601:]...)...), "VHD dynamic disk header"},
		"block 0":          {patched(good, 512+32, 4, 0), "blocks of"},
		"block odd":        {patched(good, 512+32, 4, 3<<20), "blocks of"},
		"block huge":       {patched(good, 512+32, 4, 1<<31), "blocks of"},
		"table outside":    {patched(good, 512+16, 8, 1<<62), "outside the file"},
		"table odd":        {patched(good, 512+16, 8, 1537), "not aligned"},
		"block outside":    {patched(good, 1536, 4, 0xfffffffe), "outside the file"},
		"locator outside":  {patched(d, 512+576+16, 8, 1<<60), "locator"},
		"locator long":     {patched(d, 512+576+8, 4, 1<<30), "locator"},
	} {
		images, err := vhd.Format().Open(context.Background(), blocktest.NewMemory(bytes.Clone(c.b)), formats.Options{Related: related})
		if err == nil {
			_, err = images[0].ReadAt(context.Background(), make([]byte, 100), 0)
			images[0].Close()
		}
		if !errors.As(err, new(*ondisk.CorruptError)) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
		}
	}
	for text, b := range map[string][]byte{"version 2.0": patched(good, 12, 4, 2<<16), "disk type 6": patched(good, 60, 4, 6), "version 3.0 of the": patched(good, 512+24, 4, 3<<16)} {
		if _, err := vhd.Format().Open(context.Background(), blocktest.NewMemory(b), formats.Options{}); !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	for _, opt := range []formats.Options{{Writable: true}, {Snapshot: "x"}} {
		if _, err := vhd.Format().Open(context.Background(), blocktest.NewMemory(good), opt); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
}

func TestDamagedImages(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	d := diff(formattest.Content(3, 300<<10), 4096, some, make([]byte, 16), map[string][]byte{"W2ru": []byte("x\x00")}, "x")
	formattest.Damage(t, vhd.Format(), d, len(d), rounds, related)
	d = append(d[:len(d)-512], make([]byte, 512)...)
	for i := range rounds * 3 {
		formattest.Hostile(t, vhd.Format(), patched(d, []int{i % 80, 512 + i*7%80, 512 + 576 + i%24, 1536 + i%300, 2048 + i*31%4096}[i%5], 1+i%4, uint64(i)*0x9e3779b97f4a7c15), related)
	}
}

// FuzzOpen makes the checksums of the copy of the footer and of the header good.
func FuzzOpen(f *testing.F) {
	d := diff(formattest.Content(3, 20<<10), 4096, some, make([]byte, 16), map[string][]byte{"W2ru": []byte("x\x00")}, "x")
	f.Add(d)
	f.Add(append(d[:len(d)-512], make([]byte, 512)...))
	f.Add(patched(d, 60, 4, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		formattest.Hostile(t, vhd.Format(), resealed(bytes.Clone(b)), related)
	})
}
