package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4"
	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/tests/images"
)

// mkfs makes a small ext4 image; journal is where its journal lies.
func mkfs(t testing.TB, options ...string) (image []byte, journal int64) {
	t.Helper()
	images.NeedTool(t, "mke2fs", "e2fsck", "debugfs")
	path := filepath.Join(t.TempDir(), "ext4.img")
	args := append([]string{"-q", "-F", "-t", "ext4", "-b", "1024", "-N", "256", "-J", "size=1"}, options...)
	if out, err := exec.Command("mke2fs", append(args, path, "4M")...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	out, err := exec.Command("debugfs", "-R", "bmap <8> 0", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, first * 1024
}

// record runs random operations and gives the record. end closes the
// filesystem at the end.
func record(t testing.TB, image []byte, lost txn.Barrier, seed uint64, steps int, end bool) (*Trace, *Checker) {
	t.Helper()
	rec := NewRecorder(append([]byte(nil), image...), lost)
	run, err := Start(t.Context(), ext4.Driver(), image, rec, seed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range steps {
		if err := run.Step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	var trace *Trace
	if end {
		if err := run.FS.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		run.synced()
		trace = run.Trace()
	} else {
		trace = run.Trace()
		if err := run.FS.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return trace, &Checker{Driver: ext4.Driver(), Trees: run.Trees, Dir: t.TempDir()}
}

// search looks at states of a record until one is wrong. Every nth is given to
// e2fsck too, and every nth recovery is cut short.
func search(t testing.TB, trace *Trace, c *Checker, journal int64, seed uint64, nth int) (states int, wrong error) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	s := NewStates(trace.Image, trace.Ops)
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
			if err := Marked(image, journal); err != nil {
				return states, where(err)
			}
			rec, err := c.Recover(t.Context(), image, first, last)
			if err != nil {
				return states, where(err)
			}
			if nth == 0 || states%nth != 0 {
				continue
			}
			if err := c.Fsck(t.Context(), image, first, last); err != nil {
				return states, where(err)
			}
			ops := rec.Ops()
			again := append([]byte(nil), image...)
			for _, op := range ops {
				apply(again, op)
			}
			if err := c.Silent(t.Context(), again); err != nil {
				return states, where(err)
			}
			// The recovery is cut short, once.
			if len(ops) > 0 {
				cut := NewStates(image, ops).Build(r.IntN(len(ops)+1), Loss(r.IntN(int(losses))), r)
				if _, err := c.Recover(t.Context(), cut, first, last); err != nil {
					return states, where(fmt.Errorf("recovered again: %w", err))
				}
			}
		}
	}
	return states, nil
}

var layouts = map[string][]string{
	"default": nil,
	"ext3":    {"-O", "^extents,^metadata_csum,^64bit,^flex_bg,^huge_file,^dir_nlink,^extra_isize"},
	"newer":   {"-O", "orphan_file,metadata_csum_seed"},
}

// TestCrash finds no state that is wrong.
func TestCrash(t *testing.T) { crashAll(t, 1) }

// TestCrashLong does so in many more runs.
func TestCrashLong(t *testing.T) {
	images.NeedLong(t)
	crashAll(t, 40)
}

func crashAll(t *testing.T, runs uint64) {
	for name, options := range layouts {
		t.Run(name, func(t *testing.T) {
			image, journal := mkfs(t, options...)
			total := 0
			for seed := range runs {
				trace, c := record(t, image, "", seed, 70, seed%2 == 0)
				n, err := search(t, trace, c, journal, seed, 40)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				total += n
			}
			t.Logf("%d states", total)
		})
	}
}
