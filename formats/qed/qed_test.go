package qed_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/qed"
)

const sector = formattest.Sector

func TestAgainstQEMU(t *testing.T) {
	const size = 5<<20 + 3*sector
	for _, options := range []string{"", "cluster_size=4096,table_size=2", "cluster_size=4096,table_size=16", "cluster_size=2M,table_size=2"} {
		t.Run(options, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qed")
			formattest.Create(t, path, "qed", options, size)
			formattest.IO(t, path, "qed", formattest.Scribble(uint64(len(options)), size, 20)...)
			formattest.IO(t, path, "qed", "write -z 1M 300k")
			formattest.Agree(t, path, "qed")
		})
	}
}

func TestBacking(t *testing.T) {
	dir := t.TempDir()
	formattest.Write(t, dir, "base.raw", formattest.Content(3, 3<<20+sector))
	middle, top := filepath.Join(dir, "middle.qed"), filepath.Join(dir, "top.qed")
	formattest.Create(t, middle, "qed", "cluster_size=4096,table_size=2", 4<<20, "-b", "base.raw", "-F", "raw")
	formattest.IO(t, middle, "qed", formattest.Scribble(3, 4<<20, 10)...)
	formattest.Create(t, top, "qed", "", 5<<20, "-b", "middle.qed", "-F", "qed")
	formattest.IO(t, top, "qed", append(formattest.Scribble(4, 5<<20, 6), "write -z 64k 192k")...)
	formattest.Agree(t, middle, "qed")
	formattest.Agree(t, top, "qed")
	b := formattest.Read(t, middle)
	var asked []string
	_, err := openBytes(b, formats.Options{Related: func(_ context.Context, name, format string) (block.Device, error) {
		asked = append(asked, name, format)
		return nil, fs.ErrPermission
	}})
	if !errors.Is(err, fs.ErrPermission) || strings.Join(asked, " ") != "base.raw raw" {
		t.Errorf("%v, %q", err, asked)
	}
	formattest.Do(t, dir, "qemu-img", "rebase", "-u", "-f", "qed", "-F", "qed", "-b", "top.qed", "top.qed")
	if _, err := formattest.NewChain(t).Open(context.Background(), top, "", formats.Options{}); err == nil || !strings.Contains(err.Error(), "chain") {
		t.Errorf("its own backing file: %v", err)
	}
}

func openBytes(b []byte, opt formats.Options) (formats.Image, error) {
	images, err := qed.Format().Open(context.Background(), blocktest.NewMemory(b), opt)
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

func small(t testing.TB) []byte {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.qed")
	formattest.Write(t, dir, "base.raw", make([]byte, 5000))
	formattest.Create(t, path, "qed", "cluster_size=4096,table_size=2", 1<<20, "-b", "base.raw", "-F", "raw")
	formattest.IO(t, path, "qed", "write -P 5 0 20k", "write -z 40k 12k", "write -P 6 900k 3k")
	return formattest.Read(t, path)
}

func related(context.Context, string, string) (block.Device, error) {
	return blocktest.NewMemory(make([]byte, 100_000)), nil
}

func TestDamageIsNamed(t *testing.T) {
	good := small(t)
	l1 := int(binary.LittleEndian.Uint64(good[40:]))
	l2 := int(binary.LittleEndian.Uint64(good[l1:]))
	for name, c := range map[string]struct {
		b    []byte
		text string
	}{
		"cut":          {good[:60], "ends after"},
		"cluster":      {put(good, 4, 4, 1000), "clusters of"},
		"cluster huge": {put(good, 4, 4, 1<<31), "clusters of"},
		"table 0":      {put(good, 8, 4, 0), "tables of"},
		"table huge":   {put(good, 8, 4, 1<<31), "tables of"},
		"size":         {put(good, 48, 8, 1<<63), "a disk of"},
		"size odd":     {put(good, 48, 8, 1000), "a disk of"},
		"L1 outside":   {put(good, 40, 8, 1<<40), "L1 table"},
		"L1 odd":       {put(good, 40, 8, 512), "L1 table"},
		"name outside": {put(good, 56, 4, 1<<31), "backing file's name"},
		"name long":    {put(good, 60, 4, 1<<31), "backing file's name"},
		"L2 outside":   {put(good, l1, 8, 1<<63), "QED L1 table"},
		"L2 odd":       {put(good, l1, 8, 100), "QED L1 table"},
		"data outside": {put(good, l2, 8, 1<<63), "QED L2 table"},
		"data odd":     {put(good, l2, 8, 4096+2), "QED L2 table"},
	} {
		img, err := openBytes(c.b, formats.Options{Related: related})
		if err == nil {
			_, err = img.ReadAt(context.Background(), make([]byte, 100), 0)
			img.Close()
		}
		if !errors.As(err, new(*ondisk.CorruptError)) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
		}
	}
	if _, err := openBytes(put(good, 16, 8, 0x105), formats.Options{}); !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), "0x100") {
		t.Errorf("%v", err)
	}
	for _, opt := range []formats.Options{{Writable: true}, {Snapshot: "x"}} {
		if _, err := openBytes(good, opt); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
	img, err := openBytes(put(good, 16, 8, 2), formats.Options{})
	if err != nil || !strings.Contains(img.Info().Damaged, "check") {
		t.Errorf("%v", err)
	}
}

func TestDamagedImages(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	b := small(t)
	formattest.Damage(t, qed.Format(), b, len(b), rounds, related)
	formattest.Damage(t, qed.Format(), b, 64, rounds, related)
}

func FuzzOpen(f *testing.F) {
	f.Add(small(f))
	f.Fuzz(func(t *testing.T, b []byte) { formattest.Hostile(t, qed.Format(), b, related) })
}
