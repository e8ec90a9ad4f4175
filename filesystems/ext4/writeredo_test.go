package ext4

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/txn/redo"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
	"github.com/guestctl/guestctl/vfs"
)

// TestRedoReplays: what was durable in the log beside the image is shown, and
// is brought home by the next writer. Nobody else's changes are undone by it.
func TestRedoReplays(t *testing.T) {
	images.NeedRoot(t)
	ctx := context.Background()
	for _, name := range []string{"ext2 1k", "no journal"} {
		t.Run(name, func(t *testing.T) {
			w := mkfs(t, "16M", layouts[name]...)
			m, r := newModel(w), rand.New(rand.NewPCG(2, 9))
			for i := range 150 {
				w.must(m.step(w, r, i))
			}
			w.must(w.Sync(ctx))
			want, image, side := manifestOf(t, w), bytes.Clone(w.dev.Bytes()), bytes.Clone(w.side.b)
			if len(side) == 0 {
				t.Fatal("there is no log beside the image")
			}
			same := func(how string, fs vfs.FileSystem) {
				t.Helper()
				if lines, total := manifest.Diff(want, manifestOf(t, fs), allFields, 5); total > 0 {
					t.Errorf("%s: %d things differ: %q", how, total, lines)
				}
			}
			openBoth := func(b []byte, s []byte, writable bool) (vfs.FileSystem, *blocktest.Memory, *memorySidecar, error) {
				opt, dev := vfs.Options{Writable: writable}, blocktest.NewMemory(bytes.Clone(b))
				var mem *memorySidecar
				if s != nil {
					mem = &memorySidecar{bytes.Clone(s)}
					opt.Sidecar = mem
				}
				fs, err := open(t.Context(), []block.Device{dev}, opt)
				return fs, dev, mem, err
			}

			fs, dev, mem, err := openBoth(image, side, false)
			w.must(err)
			same("read-only", fs)
			if !fs.Info().Replayed || !bytes.Equal(dev.Bytes(), image) || !bytes.Equal(mem.b, side) {
				t.Error("a read-only open has changed something, or does not say what it replayed")
			}
			if fs, dev, mem, err = openBoth(image, side, true); err != nil {
				t.Fatal(err)
			}
			same("recovered", fs)
			w.must(fs.Close(ctx))
			kernelSees(t, dev.Bytes(), fs)
			if len(mem.b) > 0 {
				t.Error("the log is still there")
			}

			if _, _, _, err := openBoth(image, nil, true); !errors.Is(err, syscall.EOPNOTSUPP) {
				t.Errorf("without a place for a log: %v", err)
			}
			if _, _, _, err := openBoth(image, []byte{}, true); !errors.Is(err, syscall.EOPNOTSUPP) {
				t.Errorf("not unmounted, and the log is missing: %v", err)
			}
			// Somebody repairs the image, who knows nothing of the log.
			path := filepath.Join(t.TempDir(), "repaired.img")
			w.must(os.WriteFile(path, image, 0o600))
			if out, err := exec.Command("e2fsck", "-fy", path).CombinedOutput(); exitStatus(err) > 1 {
				t.Fatalf("e2fsck: %v: %s", err, out)
			}
			repaired, err := os.ReadFile(path)
			w.must(err)
			_, dev, mem, err = openBoth(repaired, side, true)
			var foreign *redo.ForeignError
			if !errors.As(err, &foreign) || !errors.Is(err, syscall.EROFS) {
				t.Errorf("a log of before a repair: %v", err)
			}
			if !bytes.Equal(dev.Bytes(), repaired) || !bytes.Equal(mem.b, side) {
				t.Error("the image or the log was changed")
			}
			if _, _, _, err := openBoth(repaired, side, false); err != nil {
				t.Errorf("a log of before a repair, read-only: %v", err)
			}
		})
	}
}

func exitStatus(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}
