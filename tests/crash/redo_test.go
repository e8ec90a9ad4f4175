package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4"
	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// sideBytes is the room for a log beside the volumes here.
const sideBytes = 1 << 20

// mkfsPlain makes a small image without a journal, with room for a sidecar
// behind it. size is that of the volume.
func mkfsPlain(t testing.TB, options ...string) (image []byte, size int64) {
	t.Helper()
	images.NeedTool(t, "mke2fs", "e2fsck")
	path := filepath.Join(t.TempDir(), "plain.img")
	args := append([]string{"-q", "-F", "-b", "1024", "-N", "256"}, options...)
	if out, err := exec.Command("mke2fs", append(args, path, "2M")...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, make([]byte, sideBytes)...), int64(len(b))
}

// recordPlain is record for such an image.
func recordPlain(t testing.TB, driver vfs.Driver, image []byte, lost txn.Barrier, seed uint64, steps int, end bool) (*Recorder, *Trace, *Checker) {
	t.Helper()
	rec := NewRecorder(append([]byte(nil), image...), lost)
	run, err := Start(t.Context(), driver, image, rec, seed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range steps {
		if err := run.Step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	trace := run.Trace()
	if err := run.FS.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if end {
		run.synced()
		trace = run.Trace()
	}
	return rec, trace, &Checker{Driver: driver, Trees: run.Trees, Dir: t.TempDir()}
}

// searchPlain is search for such an image. What e2fsck sees is what our own
// recovery left: nobody else replays the log.
func searchPlain(t testing.TB, rec *Recorder, trace *Trace, c *Checker, size int64, seed uint64, nth int) (states int, wrong error) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	s := &twoStates{trace.Image, trace.Ops, rec.parts, size}
	for at := range len(trace.Ops) + 1 {
		first, last := trace.bounds(at)
		for loss := range losses {
			if n := s.Pending(at); loss != Killed && n == 0 || loss == Half && n < 3 {
				continue
			}
			image := s.Build(at, loss, r)
			states++
			where := func(err error) error {
				return fmt.Errorf("crash after write %d of %d, loss %d: %w", at, len(trace.Ops), loss, err)
			}
			rec, err := c.Recover(t.Context(), image, first, last)
			if err != nil {
				return states, where(err)
			}
			if nth == 0 || states%nth != 0 {
				continue
			}
			ops := rec.Ops()
			again := append([]byte(nil), image...)
			for _, op := range ops {
				if !op.Sync {
					apply(again, op)
				}
			}
			if err := c.Silent(t.Context(), again[:size]); err != nil {
				return states, where(err)
			}
			if len(ops) > 0 {
				two := &twoStates{image, ops, rec.parts, size}
				for range 4 {
					cut := two.Build(r.IntN(len(ops)+1), Loss(r.IntN(int(losses))), r)
					if _, err := c.Recover(t.Context(), cut, first, last); err != nil {
						return states, where(fmt.Errorf("recovered again: %w", err))
					}
				}
			}
		}
	}
	return states, nil
}

// plain are the filesystems without a journal.
var plain = map[string][]string{
	"ext2":       {"-t", "ext2"},
	"no journal": {"-t", "ext4", "-O", "^has_journal"},
}

// TestRedo finds no state that is wrong.
func TestRedo(t *testing.T) { redoAll(t, 1) }

// TestRedoLong does so in many more runs.
func TestRedoLong(t *testing.T) {
	images.NeedLong(t)
	redoAll(t, 40)
}

func redoAll(t *testing.T, runs uint64) {
	for name, options := range plain {
		t.Run(name, func(t *testing.T) {
			image, size := mkfsPlain(t, options...)
			total := 0
			for seed := range runs {
				rec, trace, c := recordPlain(t, WithSidecar(ext4.Driver(), size), image, "", seed, 60, seed%2 == 0)
				n, err := searchPlain(t, rec, trace, c, size, seed, 25)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				total += n
			}
			t.Logf("%d states", total)
		})
	}
}

// TestRedoBarriers: each barrier is needed, and the search notices its loss.
func TestRedoBarriers(t *testing.T) {
	image, size := mkfsPlain(t, plain["ext2"]...)
	for _, barrier := range []txn.Barrier{txn.BarrierActivate, txn.BarrierLog, txn.BarrierCommit, txn.BarrierHome, txn.BarrierTail, txn.BarrierClosed} {
		t.Run(string(barrier), func(t *testing.T) {
			for seed := range uint64(12) {
				rec, trace, c := recordPlain(t, WithSidecar(ext4.Driver(), size), image, barrier, seed, 50, true)
				if n, err := searchPlain(t, rec, trace, c, size, seed, 0); err != nil {
					t.Logf("seed %d, state %d: %.200v", seed, n, err)
					return
				}
			}
			t.Error("no state shows that the barrier is lost")
		})
	}
}

// TestRedoRecovered: a recovery that is cut short anywhere is recovered again;
// without its barrier what it brought home is lost while the log is empty.
func TestRedoRecovered(t *testing.T) {
	image, size := mkfsPlain(t, plain["ext2"]...)
	rec, trace, c := recordPlain(t, WithSidecar(ext4.Driver(), size), image, "", 3, 60, false)
	at := len(trace.Ops)
	first, last := trace.bounds(at)
	dirty := (&twoStates{trace.Image, trace.Ops, rec.parts, size}).Build(at, Killed, rand.New(rand.NewPCG(1, 1)))
	for _, lost := range []txn.Barrier{"", txn.BarrierRecovered} {
		rec := NewRecorder(append([]byte(nil), dirty...), lost)
		if err := c.recoverOn(t.Context(), rec, first, last); err != nil {
			t.Fatal(err)
		}
		var wrong error
		r, s := rand.New(rand.NewPCG(2, 2)), &twoStates{dirty, rec.Ops(), rec.parts, size}
		for at := range len(rec.Ops()) + 1 {
			for loss := range losses {
				if _, err := c.Recover(t.Context(), s.Build(at, loss, r), first, last); err != nil {
					wrong = fmt.Errorf("write %d, loss %d: %w", at, loss, err)
				}
			}
		}
		if (wrong != nil) != (lost != "") {
			t.Errorf("barrier lost: %q: %.300v", lost, wrong)
		}
	}
}

// TestRedoFailure: whichever write to the volume or to the log beside it fails,
// nothing that was durable is lost, and what is there can be recovered.
func TestRedoFailure(t *testing.T) {
	image, size := mkfsPlain(t, plain["ext2"]...)
	driver := WithSidecar(ext4.Driver(), size)
	step := int64(5)
	if os.Getenv("GUESTCTL_LONG") != "" {
		step = 1
	}
	for n := int64(0); ; n += step {
		f := &failing{Recorder: NewRecorder(append([]byte(nil), image...), "")}
		f.left.Store(n)
		on := vfs.Driver{Open: func(ctx context.Context, _ []block.Device, opt vfs.Options) (vfs.FileSystem, error) {
			return driver.Open(ctx, []block.Device{f}, opt)
		}}
		run, err := Start(t.Context(), on, image, f.Recorder, 5)
		if err != nil {
			t.Fatalf("write %d: %v", n, err)
		}
		for range 60 {
			if err := run.Step(); err != nil {
				if !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.EROFS) {
					t.Fatalf("write %d: %v", n, err)
				}
				break
			}
		}
		trace := run.Trace()
		if err := run.FS.Close(t.Context()); err != nil && !errors.Is(err, syscall.EIO) {
			t.Errorf("write %d: close: %v", n, err)
		}
		if f.left.Load() >= 0 {
			return // no write failed any more
		}
		c := &Checker{Driver: driver, Trees: run.Trees, Dir: t.TempDir()}
		first, last := trace.bounds(len(trace.Ops))
		after := append([]byte(nil), image...)
		for _, op := range f.Ops() {
			if !op.Sync {
				apply(after, op)
			}
		}
		if _, err := c.Recover(t.Context(), after, first, max(last, len(run.Trees))); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
	}
}
