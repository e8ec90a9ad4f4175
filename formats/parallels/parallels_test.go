package parallels_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/parallels"
)

const sector = formattest.Sector

func TestAgainstQEMU(t *testing.T) {
	const size = 5<<20 + 3*sector
	for _, options := range []string{"", "cluster_size=65536", "cluster_size=2M"} {
		t.Run(options, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.hds")
			formattest.Create(t, path, "parallels", options, size)
			formattest.Agree(t, path, "parallels")
			formattest.IO(t, path, "parallels", formattest.Scribble(uint64(len(options)), size, 12)...)
			formattest.Agree(t, path, "parallels")
		})
	}
}

// old is an image of the older kind, with clusters of any number of sectors,
// written last to first.
func old(disk []byte, tracks int, dataOff bool) []byte {
	le, cluster := binary.LittleEndian, tracks*sector
	clusters := (len(disk) + cluster - 1) / cluster
	f := make([]byte, (64+4*clusters+511)/512*512)
	copy(f, "WithoutFreeSpace")
	for off, v := range map[int]int{16: 2, 20: 16, 24: 100, 28: tracks, 32: clusters, 36: len(disk) / sector, 40: 0xabcdef} {
		le.PutUint32(f[off:], uint32(v))
	}
	if dataOff {
		le.PutUint32(f[48:], uint32(len(f)/sector))
	}
	for i := clusters - 1; i >= 0; i-- {
		part := disk[i*cluster : min(len(disk), (i+1)*cluster)]
		if len(bytes.Trim(part, "\x00")) == 0 {
			continue
		}
		le.PutUint32(f[64+4*i:], uint32(len(f)/sector))
		f = slices.Concat(f, part, make([]byte, cluster-len(part)))
	}
	return f
}

func TestOldKind(t *testing.T) {
	want := formattest.Content(3, 3<<20+sector)
	for i, tracks := range []int{63, 2048, 504} {
		f := old(want, tracks, i > 0)
		path := formattest.Write(t, t.TempDir(), "disk.hdd", f)
		formattest.Run(t, formattest.Case{Path: path, Format: "parallels", Want: want})
		clear(f[40:44]) // QEMU takes these bytes for more of the size
		formattest.Write(t, filepath.Dir(path), "disk.hdd", f)
		formattest.Agree(t, path, "parallels")
	}
}

func openBytes(b []byte, opt formats.Options) (formats.Image, error) {
	images, err := parallels.Format().Open(context.Background(), blocktest.NewMemory(b), opt)
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
	good := old(bytes.Repeat([]byte("data"), 64<<10), 63, true)
	for name, c := range map[string]struct {
		b    []byte
		text string
	}{
		"cut":             {good[:60], "ends after"},
		"cluster 0":       {put(good, 28, 4, 0), "clusters of"},
		"cluster huge":    {put(good, 28, 4, 1<<31), "clusters of"},
		"size":            {put(good, 36, 4, 1<<31), "a disk of"},
		"size of the new": {put(put(good, 6, 10, 0), 36, 8, 1<<63), "no magic"},
		"BAT":             {put(put(good, 32, 4, 1<<31), 36, 4, 1<<31), "outside the file"},
		"data in the BAT": {put(put(put(good, 32, 4, 1<<20), 36, 4, 20000), 48, 4, 1), "lies in the BAT"},
		"cluster outside": {put(good, 64, 4, 1<<31), "outside the data"},
		"cluster in BAT":  {put(good, 64, 4, 1), ""},
	} {
		if name == "cluster in BAT" {
			c.b, c.text = put(put(good, 48, 4, 2), 64, 4, 1), "outside the data"
		}
		img, err := openBytes(c.b, formats.Options{})
		if err == nil {
			_, err = img.ReadAt(context.Background(), make([]byte, 100), 0)
			img.Close()
		}
		if !errors.As(err, new(*ondisk.CorruptError)) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
		}
	}
	if _, err := openBytes(put(good, 16, 4, 3), formats.Options{}); !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("%v", err)
	}
	for _, opt := range []formats.Options{{Writable: true}, {Snapshot: "x"}} {
		if _, err := openBytes(good, opt); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
	img, err := openBytes(put(good, 44, 4, 0x746f6e59), formats.Options{})
	if err != nil || !strings.Contains(img.Info().Damaged, "in use") {
		t.Errorf("%v", err)
	}
	img, err = openBytes(put(good, 52, 4, 1), formats.Options{})
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, img, make([]byte, img.Size()))
}

func TestDamagedImages(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	b := old(formattest.Content(3, 300<<10), 7, true)
	formattest.Damage(t, parallels.Format(), b, len(b), rounds, nil)
	formattest.Damage(t, parallels.Format(), b, 400, rounds, nil)
}

func FuzzOpen(f *testing.F) {
	b := old(formattest.Content(3, 20<<10), 7, true)
	f.Add(b)
	b = bytes.Clone(b)
	copy(b, "WithouFreSpacExt")
	clear(b[40:44])
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) { formattest.Hostile(t, parallels.Format(), b, nil) })
}
