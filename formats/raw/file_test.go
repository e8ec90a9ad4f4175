package raw

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
)

func tempFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func open(t *testing.T, path string, opt Options) *File {
	t.Helper()
	f, err := OpenFile(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestOpenRefusesWhatHasNoBytes(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		dir: syscall.EISDIR, fifo: syscall.ENOTBLK, "/dev/null": syscall.ENOTBLK, filepath.Join(dir, "none"): os.ErrNotExist,
	} {
		f, err := OpenFile(path, Options{})
		if f != nil || !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		if pe := (*os.PathError)(nil); !errors.As(err, &pe) {
			t.Errorf("%s: %T is no *os.PathError", path, err)
		}
	}
}

func TestLocateFindsHolesAndRemembersThem(t *testing.T) {
	ctx := context.Background()
	path := tempFile(t, nil)
	const mib = 1 << 20
	h, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	data := random(mib)
	for _, off := range []int64{2 * mib, 20 * mib} {
		if _, err := h.WriteAt(data, off); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Truncate(64 * mib); err != nil {
		t.Fatal(err)
	}
	h.Sync()
	h.Close()
	f := open(t, path, Options{})
	if !f.sparse.Load() {
		t.Skip("the filesystem of the temporary directory keeps no holes")
	}
	for _, c := range []struct {
		off, n int64
		kind   block.Kind
		len    int64
	}{
		{0, 64 * mib, block.Zero, 2 * mib},
		{2 * mib, 64 * mib, block.Data, mib},
		{2*mib + 5, 100, block.Data, 100},
		{3 * mib, 64 * mib, block.Zero, 17 * mib},
		{20*mib + 1, 64 * mib, block.Data, mib - 1},
		{21 * mib, 1 << 40, block.Zero, 43 * mib},
		{64*mib - 1, 5, block.Zero, 1},
	} {
		for range 2 {
			r, err := f.Locate(ctx, c.off, c.n)
			if err != nil || r.Kind != c.kind || r.Len != c.len {
				t.Errorf("Locate(%d, %d) = %v %d, %v; want %v %d", c.off, c.n, r.Kind, r.Len, err, c.kind, c.len)
			}
			if r.Kind == block.Data && (r.Off != c.off || r.File != f.Host()) {
				t.Errorf("Locate(%d) lies at %d", c.off, r.Off)
			}
		}
	}
	if _, err := f.Locate(ctx, 64*mib, 1); err != io.EOF {
		t.Errorf("Locate at the end: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { f.Locate(ctx, 2*mib, 4096) }); n != 0 {
		t.Errorf("a remembered run costs %v allocations", n)
	}
}

func TestForceShareTrustsNoHole(t *testing.T) {
	path := tempFile(t, nil)
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	f := open(t, path, Options{Lock: ForceShare})
	if r, err := f.Locate(context.Background(), 0, 1<<20); err != nil || r.Kind != block.Data || r.Len != 1<<20 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestWriterPunchesAndForgets(t *testing.T) {
	ctx := context.Background()
	const mib = 1 << 20
	path := tempFile(t, random(2*mib))
	if err := os.Truncate(path, 8*mib); err != nil {
		t.Fatal(err)
	}
	f := open(t, path, Options{Writable: true})
	w, err := f.Writer()
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := f.Locate(ctx, 4*mib, mib); f.sparse.Load() && r.Kind != block.Zero {
		t.Errorf("the hole is %v", r.Kind)
	}
	want := random(4096)
	if n, err := w.WriteAt(ctx, want, 4*mib); n != 4096 || err != nil {
		t.Fatal(n, err)
	}
	if err := w.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if r, _ := f.Locate(ctx, 4*mib, 4096); r.Kind != block.Data {
		t.Errorf("what was written is %v", r.Kind)
	}
	got := make([]byte, 4096)
	if err := block.ReadFull(ctx, f, got, 4*mib); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read back: %v", err)
	}
	if err := w.Zero(ctx, 4096, mib); err != nil {
		t.Fatal(err)
	}
	if err := block.ReadFull(ctx, f, got, mib); err != nil || !bytes.Equal(got, make([]byte, 4096)) {
		t.Errorf("zeroed bytes are not zero: %v", err)
	}
	if _, err := w.WriteAt(ctx, got, 8*mib-1); err != io.ErrShortWrite {
		t.Errorf("writing over the end: %v", err)
	}
	if _, err := open(t, path, Options{Lock: ForceShare}).Writer(); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a reader writes: %v", err)
	}
}

func TestShortenedFileIsAnErrorNotASignal(t *testing.T) {
	path := tempFile(t, random(1<<20))
	f := open(t, path, Options{})
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	n, err := f.ReadAt(context.Background(), make([]byte, 4096), 0)
	if n != 1000 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestPrefetchEndsWithClose(t *testing.T) {
	path := tempFile(t, random(1<<20))
	for range 50 {
		f, err := OpenFile(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range int64(20) {
					f.Prefetch(i*50000-1000, 1<<40)
				}
			})
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if len(f.slots) != 0 {
			t.Fatal("a prefetch outlived Close")
		}
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Fatal(err)
		}
	}
}

func TestCancelledReadDoesNothing(t *testing.T) {
	f := open(t, tempFile(t, random(4096)), Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if n, err := f.ReadAt(ctx, make([]byte, 10), 0); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d, %v", n, err)
	}
}
