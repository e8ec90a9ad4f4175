package split_test

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/guestctl/guestctl/formats/split"
)

// cut writes the pieces of want into dir, by a name for each number.
func cut(t *testing.T, dir, name string, first, n int, want []byte) {
	for i := 0; i*n < len(want); i++ {
		formattest.Write(t, dir, fmt.Sprintf(name, first+i), want[i*n:min(len(want), (i+1)*n)])
	}
}

func TestSplit(t *testing.T) {
	want := formattest.Content(3, 2<<20+700)
	for _, c := range []struct {
		name  string
		first int
		n     int
	}{{"disk.%03d", 1, 700_000}, {"a:b.%d", 0, 1 << 20}, {"x.y.%04d", 1, 300_001}, {"one.%03d", 1, 3 << 20}} {
		dir := t.TempDir()
		cut(t, dir, c.name, c.first, c.n, want)
		img, err := formattest.NewChain(t).Open(context.Background(), filepath.Join(dir, fmt.Sprintf(c.name, c.first)), "split", formats.Options{})
		if err != nil {
			t.Fatal(err)
		}
		blocktest.Run(t, img, want)
		if i := img.Info(); i.Format != "split" || i.VirtualSize != int64(len(want)) {
			t.Errorf("%+v", i)
		}
	}
}

func TestDamageIsNamed(t *testing.T) {
	want := make([]byte, 1000)
	for text, change := range map[string]func(dir string){
		"missing":                   func(dir string) { os.Remove(filepath.Join(dir, "d.002")) },
		"has 100 bytes, the first":  func(dir string) { os.Truncate(filepath.Join(dir, "d.003"), 100) },
		"has 500 bytes, the first ": func(dir string) { os.Truncate(filepath.Join(dir, "d.004"), 500) },
	} {
		dir := t.TempDir()
		cut(t, dir, "d.%03d", 1, 300, want)
		change(dir)
		if _, err := formattest.NewChain(t).Open(context.Background(), filepath.Join(dir, "d.001"), "split", formats.Options{}); !errors.As(err, new(*ondisk.CorruptError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	related := func(context.Context, string, string) (block.Device, error) { return nil, fs.ErrPermission }
	for _, name := range []string{"", "disk", "disk.raw", "disk.002", ".001", "disk.0000001", "disk.-1"} {
		if _, err := split.Format().Open(context.Background(), blocktest.NewMemory(want), formats.Options{Name: name, Related: related}); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, opt := range []formats.Options{{Writable: true}, {Snapshot: "x"}} {
		if _, err := split.Format().Open(context.Background(), blocktest.NewMemory(want), opt); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
	if _, err := split.Format().Open(context.Background(), blocktest.NewMemory(want), formats.Options{Name: "a.001"}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("without Related: %v", err)
	}
	// Files without end.
	all := func(context.Context, string, string) (block.Device, error) { return blocktest.NewMemory(want), nil }
	if _, err := split.Format().Open(context.Background(), blocktest.NewMemory(want), formats.Options{Name: "a.001", Related: all}); !errors.As(err, new(*ondisk.UnsupportedError)) {
		t.Errorf("without end: %v", err)
	}
}

// FuzzName opens whatever the file is called.
func FuzzName(f *testing.F) {
	f.Add("disk.001", 3)
	f.Add("../x.0", 0)
	f.Fuzz(func(t *testing.T, name string, n int) {
		related := func(_ context.Context, name, _ string) (block.Device, error) {
			if n--; n < 0 || n > 20 {
				return nil, fs.ErrNotExist
			}
			return blocktest.NewMemory(make([]byte, 10)), nil
		}
		img, err := split.Format().Open(context.Background(), blocktest.NewMemory(make([]byte, 10)), formats.Options{Name: name, Related: related})
		if err == nil && img[0].Size()%10 != 0 {
			t.Errorf("%q: %d bytes", name, img[0].Size())
		}
	})
}
