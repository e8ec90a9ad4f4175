package formattest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
)

// Sector keeps sizes to what QEMU can address.
const Sector = 512

// Create has qemu-img make an image; more are further arguments.
func Create(t testing.TB, path, format, options string, size int64, more ...string) {
	t.Helper()
	args := []string{"create", "-f", format}
	if options != "" {
		args = append(args, "-o", options)
	}
	Do(t, filepath.Dir(path), "qemu-img", append(append(args, more...), path, fmt.Sprint(size))...)
}

// IO runs commands of qemu-io on the image.
func IO(t testing.TB, path, format string, cmds ...string) {
	t.Helper()
	args := []string{"-f", format}
	for _, c := range cmds {
		args = append(args, "-c", c)
	}
	if out := Do(t, filepath.Dir(path), "qemu-io", append(args, path)...); strings.Contains(out, "failed") {
		t.Fatalf("qemu-io: %s", out)
	}
}

// Write puts b into the file name of dir.
func Write(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Read is the file at path.
func Read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Content is a disk as guests have it: text, noise and zeros, in stretches
// that keep to no boundary.
func Content(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	b := make([]byte, n)
	for off := 0; off < n; {
		part := b[off:min(n, off+1+r.IntN(300_000))]
		switch r.IntN(3) {
		case 0:
			for i := range part {
				part[i] = "the quick brown fox "[(i+r.IntN(2))%20]
			}
		case 1:
			for i := range part {
				part[i] = byte(r.Uint32())
			}
		}
		off += len(part)
	}
	return b
}

// Scribble is a seeded set of qemu-io commands that every format takes: writes
// at odd places, and of zeros.
func Scribble(seed uint64, size int64, n int) []string {
	r := rand.New(rand.NewPCG(seed, 1))
	var cmds []string
	for range n {
		off := r.Int64N(size/Sector) * Sector
		length := min(size-off, Sector*(1+r.Int64N(300)))
		if r.IntN(5) == 0 {
			cmds = append(cmds, fmt.Sprintf("write -z %d %d", off, length))
		} else {
			cmds = append(cmds, fmt.Sprintf("write -P %d %d %d", 1+r.IntN(255), off, length))
		}
	}
	return cmds
}

// MapAgrees compares what Locate says with qemu-img map: zeros are zeros in
// both, and what lies plainly lies at the same place. Of some formats QEMU
// tells no places.
func MapAgrees(t *testing.T, dev block.Device, path, format string) {
	t.Helper()
	var entries []struct {
		Start, Length int64
		Zero, Data    bool
		Offset        *int64
	}
	d := json.NewDecoder(strings.NewReader(Do(t, filepath.Dir(path), "qemu-img", "map", "--output=json", "-f", format, path)))
	if err := d.Decode(&entries); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		for off := e.Start; off < min(e.Start+e.Length, dev.Size()); {
			run, err := dev.Locate(context.Background(), off, min(e.Start+e.Length, dev.Size())-off)
			switch {
			case err != nil:
				t.Fatalf("Locate %d: %v", off, err)
			case e.Zero && !e.Data && run.Kind != block.Zero:
				t.Fatalf("at %d: %v; qemu-img map says that it is zero", off, run.Kind)
			case e.Data && run.Kind == block.Data && e.Offset != nil && *e.Offset+off-e.Start != run.Off:
				t.Fatalf("at %d: data at %d of the file; qemu-img map says %+v", off, run.Off, e)
			case e.Data && e.Offset != nil && run.Kind == block.Opaque:
				t.Fatalf("at %d: opaque; qemu-img map says %+v", off, e)
			}
			off += run.Len
		}
	}
}

// Agree opens the image at path and checks it against qemu-img: Run with the
// disk that it converts, and MapAgrees.
func Agree(t *testing.T, path, format string) {
	t.Helper()
	want := Convert(t, path, format)
	Run(t, Case{Path: path, Format: format, Want: want})
	chain := NewChain(t)
	img, err := chain.Open(context.Background(), path, "", Case{}.Options)
	if err != nil {
		t.Fatal(err)
	}
	MapAgrees(t, img, path, format)
	if err := chain.Close(); err != nil {
		t.Error(err)
	}
}

// Same says whether two disks are equal but for zeros at the end of one.
func Same(a, b []byte) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return bytes.Equal(a, b[:len(a)]) && len(bytes.Trim(b[len(a):], "\x00")) == 0
}
