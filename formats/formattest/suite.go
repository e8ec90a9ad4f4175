package formattest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A Case is an image and what is in it.
type Case struct {
	Path    string // the image; the files that it names are in its folder
	Format  string // Format.Name; Detect must find it
	Options formats.Options
	Want    []byte // the disk, from another program
}

// Run opens the image of c and checks it against c.Want, with the caches at
// their default and hardly any; that the format is detected, that its files
// are as they were, and that no goroutine is left.
func Run(t *testing.T, c Case) {
	t.Helper()
	before := hash(t, filepath.Dir(c.Path))
	routines := runtime.NumGoroutine()
	for _, cache := range []int64{0, 1 << 20} {
		t.Run(fmt.Sprintf("cache %d", cache), func(t *testing.T) {
			opt := c.Options
			opt.CacheBytes = cache
			chain := NewChain(t)
			img, err := chain.Open(context.Background(), c.Path, "", opt)
			if err != nil {
				t.Fatal(err)
			}
			if i := img.Info(); i.Format != c.Format || i.VirtualSize != int64(len(c.Want)) {
				t.Errorf("Info is %+v, want format %s and %d bytes", i, c.Format, len(c.Want))
			}
			blocktest.Run(t, img, c.Want)
			sequential(t, img, c.Want)
		})
	}
	if left := settle(routines); left > routines {
		t.Errorf("%d goroutines, %d before", left, routines)
	}
	if after := hash(t, filepath.Dir(c.Path)); after != before {
		t.Errorf("reading changed a file:\n%s\n%s", before, after)
	}
}

// sequential reads in order in steps like a kernel's, so that what reads
// ahead does so.
func sequential(t *testing.T, dev block.Device, want []byte) {
	buf := make([]byte, 128<<10)
	for off := int64(0); off < dev.Size(); off += int64(len(buf)) {
		n := block.Clamp(off, int64(len(buf)), dev.Size())
		if err := block.ReadFull(context.Background(), dev, buf[:n], off); err != nil {
			t.Errorf("sequential read at %d: %v", off, err)
			return
		}
		if !bytes.Equal(buf[:n], want[off:off+n]) {
			t.Errorf("sequential read at %d differs", off)
			return
		}
	}
}

// settle waits until no more goroutines run than before, and says how many do.
func settle(before int) int {
	for range 200 {
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// hash is one line for each file of dir.
func hash(t testing.TB, dir string) string {
	t.Helper()
	var all strings.Builder
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if !n.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%x %s\n", sha256.Sum256(b), n.Name())
	}
	return all.String()
}

// damageTime bounds the work on one damaged image.
const damageTime = 10 * time.Second

// Damage opens rounds copies of the image b with bytes changed, among the
// first meta bytes for the most part, or cut short, and reads each whole: no
// panic, no hang, and every error is one of damage, of what is not supported
// or of a file that ends too early. related serves the files that it names.
func Damage(t *testing.T, f formats.Format, b []byte, meta int, rounds int, related func(ctx context.Context, name, format string) (block.Device, error)) {
	t.Helper()
	r := rand.New(rand.NewPCG(11, uint64(len(b))))
	for round := range rounds {
		bad := bytes.Clone(b)
		if round%5 == 0 {
			bad = bad[:r.IntN(len(bad))]
		} else {
			for range 1 + r.IntN(6) {
				i := r.IntN(min(meta, len(bad)))
				switch r.IntN(4) {
				case 0:
					bad[i] ^= 1 << r.IntN(8)
				case 1:
					bad[i] = 0xff
				case 2:
					bad[i] = byte(r.Uint32())
				case 3:
					for j := i; j < min(len(bad), i+8); j++ {
						bad[j] = byte(r.Uint32())
					}
				}
			}
		}
		Hostile(t, f, bad, related)
		if t.Failed() {
			name := filepath.Join(os.TempDir(), "damaged."+f.Name)
			os.WriteFile(name, bad, 0o600)
			t.Fatalf("round %d, kept as %s", round, name)
		}
	}
}

// Hostile opens b with f and reads what it gives, at most 64 MiB of each disk.
// It fails the test for a panic, for an error of an unexpected kind and where
// it takes longer than 10 s.
func Hostile(t testing.TB, f formats.Format, b []byte, related func(ctx context.Context, name, format string) (block.Device, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), damageTime)
	defer cancel()
	src := blocktest.NewMemory(b)
	if err := f.Probe(ctx, src); err != nil {
		if not := (*ondisk.NotThisError)(nil); !errors.As(err, &not) {
			t.Errorf("Probe: %v", err)
		}
		return
	}
	images, err := f.Open(ctx, src, formats.Options{Related: related, CacheBytes: 4 << 20})
	if err != nil {
		checkError(t, "Open", err)
		return
	}
	for _, img := range images {
		const most = 64 << 20
		buf := make([]byte, 256<<10)
		for off := int64(0); off < min(img.Size(), most); off += int64(len(buf)) {
			n := block.Clamp(off, int64(len(buf)), img.Size())
			if err := block.ReadFull(ctx, img, buf[:n], off); err != nil {
				checkError(t, fmt.Sprintf("ReadAt %d", off), err)
			}
			if _, err := img.Locate(ctx, off, n); err != nil {
				checkError(t, fmt.Sprintf("Locate %d", off), err)
			}
		}
		if img.Size() > most {
			if err := block.ReadFull(ctx, img, buf[:1], img.Size()-1); err != nil {
				checkError(t, "ReadAt the end", err)
			}
		}
		if err := img.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// checkError demands that damage has a structure and an offset, and that
// nothing else is reported.
func checkError(t testing.TB, what string, err error) {
	t.Helper()
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s took more than %v", what, damageTime)
		return
	}
	if c := (*ondisk.CorruptError)(nil); errors.As(err, &c) {
		if c.Struct == "" || c.Off < 0 || c.Detail == "" {
			t.Errorf("%s: the error names no place: %v", what, err)
		}
		return
	}
	if u := (*ondisk.UnsupportedError)(nil); errors.As(err, &u) || errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EOPNOTSUPP) {
		return
	}
	t.Errorf("%s: %T is no error of damage: %v", what, err, err)
}
