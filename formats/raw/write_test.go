package raw

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/formats/block"
)

func writer(t *testing.T, path string) Writer {
	t.Helper()
	w, err := open(t, path, Options{Writable: true}).Writer()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestOnlyGrowChangesTheLength(t *testing.T) {
	ctx := context.Background()
	path := tempFile(t, random(100_000))
	w := writer(t, path)
	length := func(want int64) {
		t.Helper()
		if st, err := os.Stat(path); err != nil || st.Size() != want || w.Size() != want {
			t.Fatalf("%d bytes, Size %d, want %d, %v", st.Size(), w.Size(), want, err)
		}
	}
	if n, err := w.WriteAt(ctx, make([]byte, 2), 99_999); n != 0 || err != io.ErrShortWrite {
		t.Errorf("%d, %v", n, err)
	}
	for _, c := range [][2]int64{{99_999, 2}, {0, 100_001}, {-1, 1}, {5, -1}, {1 << 62, 1 << 62}} {
		if err := w.Zero(ctx, c[0], c[1]); err != io.ErrShortWrite {
			t.Errorf("Zero(%v): %v", c, err)
		}
	}
	if err := w.Zero(ctx, 0, 100_000); err != nil {
		t.Error(err)
	}
	if err := w.Zero(ctx, 100_000, 0); err != nil {
		t.Error(err)
	}
	length(100_000)
	if err := w.Grow(ctx, 50); err != nil {
		t.Error(err)
	}
	length(100_000)
	if err := w.Grow(ctx, 300_000); err != nil {
		t.Error(err)
	}
	length(300_000)
	got := make([]byte, 300_000)
	if err := block.ReadFull(ctx, w, got, 0); err != nil || !bytes.Equal(got, make([]byte, 300_000)) {
		t.Errorf("the new bytes: %v", err)
	}
	if r, err := w.Locate(ctx, 200_000, 100_000); err != nil || r.Kind == block.Opaque || r.Len != 100_000 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := w.WriteAt(ctx, random(10), 299_990); err != nil {
		t.Error(err)
	}
	if err := w.Sync(ctx); err != nil {
		t.Error(err)
	}
	length(300_000)
}

func TestFileCutShortIsNotMadeLongAgain(t *testing.T) {
	ctx := context.Background()
	path := tempFile(t, random(1<<20))
	w := writer(t, path)
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt(ctx, random(10), 1<<19); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("WriteAt: %v", err)
	}
	if err := w.Zero(ctx, 0, 1<<19); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Zero: %v", err)
	}
	if err := w.Grow(ctx, 2<<20); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("Grow: %v", err)
	}
	if err := w.Sync(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Sync: %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 1000 {
		t.Fatalf("%d bytes, %v", st.Size(), err)
	}
	// A failure is remembered, whatever the host says afterwards.
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a second Sync: %v", err)
	}
}

func TestGrownByAnotherIsNotTruncated(t *testing.T) {
	path := tempFile(t, random(4096))
	w := writer(t, path)
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.Grow(context.Background(), 8192); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("%v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 1<<20 {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
}

// A sealed memfd takes no writes, which stands for a host that fails.
func TestWriteErrorsAreTheHosts(t *testing.T) {
	ctx := context.Background()
	fd, err := unix.MemfdCreate("disk", unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Skip(err)
	}
	m := os.NewFile(uintptr(fd), "disk")
	if err := m.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	f, err := New(m, Options{Writable: true, Lock: ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := f.Writer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt(ctx, []byte{1}, 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("WriteAt: %v", err)
	}
	if err := w.Zero(ctx, 0, 4096); !errors.Is(err, syscall.EPERM) {
		t.Errorf("Zero: %v", err)
	}
	if err := w.Grow(ctx, 2<<20); !errors.Is(err, syscall.EPERM) || w.Size() != 1<<20 {
		t.Errorf("Grow: %v, %d bytes", err, w.Size())
	}
}
