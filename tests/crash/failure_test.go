package crash

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// failing is a Writer whose nth write or barrier fails, and all after it.
type failing struct {
	*Recorder
	left atomic.Int64
}

func (f *failing) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if f.left.Add(-1) < 0 {
		return 0, syscall.EIO
	}
	return f.Recorder.WriteAt(ctx, p, off)
}

func (f *failing) Sync(ctx context.Context) error {
	if f.left.Add(-1) < 0 {
		return syscall.EIO
	}
	return f.Recorder.Sync(ctx)
}

// TestFailure: whichever write fails, the operations after it say so, nothing
// that was durable is lost, and what is on the disk can be recovered.
func TestFailure(t *testing.T) {
	image, journal := mkfs(t)
	for n := int64(0); ; n += 3 {
		f := &failing{Recorder: NewRecorder(append([]byte(nil), image...), "")}
		f.left.Store(n)
		run, err := startOn(t.Context(), image, f, f.Recorder, 5)
		if err != nil {
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("write %d: %v", n, err)
			}
			continue
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
		c := &Checker{Driver: ext4.Driver(), Trees: run.Trees, Dir: t.TempDir()}
		first, last := trace.bounds(len(trace.Ops))
		after := append([]byte(nil), image...)
		for _, op := range f.Ops() {
			apply(after, op)
		}
		if err := Marked(after, journal); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
		if _, err := c.Recover(t.Context(), after, first, max(last, len(run.Trees))); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
	}
}

// startOn is Start on a device that wraps the recorder.
func startOn(ctx context.Context, image []byte, dev block.Writer, rec *Recorder, seed uint64) (*Run, error) {
	driver := vfs.Driver{Name: "ext4", Open: func(ctx context.Context, _ []block.Device, opt vfs.Options) (vfs.FileSystem, error) {
		return ext4.Driver().Open(ctx, []block.Device{dev}, opt)
	}}
	return Start(ctx, driver, image, rec, seed)
}
