package qcow2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/qcow2"
)

const (
	hostileTime = 10 * time.Second
	errTooBig   = syscall.EFBIG
)

// TestEveryFailure fails each change of the host once, for a moment or for
// good: errors come out, and what was durable stays so.
func TestEveryFailure(t *testing.T) {
	ctx := context.Background()
	for i, c := range []writeCase{
		{options: "compat=1.1,cluster_size=512", cluster: 512, base: "raw", baseSize: 60 << 10, snapshot: true},
		{options: "compat=0.10,cluster_size=4096", cluster: 4096, packed: true, snapshot: true},
		{options: "extended_l2=on,cluster_size=16384", cluster: 16384, base: "raw", baseSize: 60 << 10},
	} {
		t.Run(c.options, func(t *testing.T) {
			t.Parallel()
			h := record(t, c, 128<<10, 30, uint64(60+i))
			dir := t.TempDir()
			step := 4
			if long() {
				step = 1
			}
			for nth := 1; nth <= len(h.ops); nth += step {
				for _, sticky := range []bool{false, true} {
					m := blocktest.NewMemory(slices.Clone(h.image))
					f := blocktest.NewFaultyWriter(m)
					f.FailChange(int64(nth), sticky, nil)
					img, err := h.open(f, formats.Options{Writable: true})
					if err != nil {
						t.Fatal(err)
					}
					w := img.(block.Writer)
					durable, want := slices.Clone(h.first), slices.Clone(h.first)
					touched := make([]bool, len(want))
					failed, syncFailed := false, false
					for _, s := range h.steps[:len(h.steps)-1] {
						if s.b == nil {
							if err = w.Sync(ctx); err == nil {
								copy(durable, want)
								clear(touched)
								if syncFailed && sticky {
									t.Fatalf("change %d: Sync succeeds after one that failed", nth)
								}
							} else {
								syncFailed = true
							}
						} else {
							_, err = w.WriteAt(ctx, s.b, int64(s.off))
							for i := range s.b {
								touched[s.off+i] = true
							}
							if err == nil {
								copy(want[s.off:], s.b)
							} else {
								got := whole(t, w)
								copy(want[s.off:], got[s.off:s.off+len(s.b)])
							}
						}
						failed = failed || err != nil
						differs(t, fmt.Sprintf("after change %d failed", nth), whole(t, w), want)
					}
					if err := img.Close(); err == nil {
						copy(durable, want)
						clear(touched)
						if sticky && failed {
							t.Fatalf("change %d: Close succeeds", nth)
						}
					}
					b := m.Bytes()
					again, err := h.open(m, formats.Options{Writable: true})
					if err != nil {
						t.Fatalf("change %d: %v", nth, err)
					}
					got := whole(t, again)
					for i := range got {
						if !touched[i] && got[i] != durable[i] {
							t.Fatalf("change %d failed: byte %d is %#x and was durable as %#x", nth, i, got[i], durable[i])
						}
					}
					if err := again.Close(); err != nil {
						t.Fatal(err)
					}
					if nth%40 == 1 && sticky {
						path := writeRaw(t, dir, "disk.qcow2", b)
						writeRaw(t, dir, "base.raw", h.base)
						if dirty(b) {
							qemuIO(t, path, "read 0 512")
						}
						out, err := exec.Command("qemu-img", "check", "-f", "qcow2", path).CombinedOutput()
						if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() != 3 {
							t.Fatalf("change %d: %s", nth, out)
						}
					}
				}
			}
		})
	}
}

// TestRefusedImagesAreNotWritten opens damaged images for writing.
func TestRefusedImagesAreNotWritten(t *testing.T) {
	good := image(t, "compat=1.1,cluster_size=4096")
	r := rand.New(rand.NewPCG(3, 3))
	refused := 0
	for round := range 400 {
		bad := slices.Clone(good)
		if round%2 == 0 {
			bad[79] |= 1 // dirty: all tables are looked at
		}
		for range 1 + r.IntN(4) {
			at := r.IntN(len(bad))
			if r.IntN(2) == 0 {
				at = r.IntN(120)
			}
			bad[at] = byte(r.Uint32())
		}
		refused += writeHostile(t, bad)
	}
	if refused < 20 {
		t.Errorf("only %d images were refused", refused)
	}
}

// writeHostile opens whatever b is for writing and, where it opens, writes: 1
// where it was refused.
func writeHostile(t testing.TB, b []byte) int {
	ctx, cancel := context.WithTimeout(context.Background(), hostileTime)
	defer cancel()
	rec := blocktest.NewRecorder(blocktest.NewMemory(slices.Clone(b)))
	images, err := qcow2.Format().Open(ctx, rec, formats.Options{Writable: true, CacheBytes: 1 << 20,
		Related: func(context.Context, string, string) (block.Device, error) {
			return blocktest.NewMemory(make([]byte, 100_000)), nil
		}})
	if n := len(rec.Ops()); n > 0 {
		t.Fatalf("opening wrote %d times, error %v", n, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("opening took more than %v", hostileTime)
	}
	if err != nil {
		return 1
	}
	w := images[0].(block.Writer)
	buf := make([]byte, 5000)
	for i := range int64(4) {
		off := w.Size() / 4 * i
		n := block.Clamp(off, int64(len(buf)), w.Size())
		_, err := w.WriteAt(ctx, buf[:n], off)
		if err == nil {
			err = w.Zero(ctx, off, n)
		}
		if err == nil {
			err = w.Sync(ctx)
		}
		if err != nil && !errors.As(err, new(*ondisk.CorruptError)) && !errors.As(err, new(*ondisk.UnsupportedError)) && !expected(err) {
			t.Fatalf("%T: %v", err, err)
		}
	}
	_ = images[0].Close()
	return 0
}

// expected says whether err is one that invented sizes lead to.
func expected(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrInvalid) || errors.Is(err, errTooBig)
}
