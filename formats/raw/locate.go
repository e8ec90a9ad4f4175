package raw

import (
	"context"
	"errors"
	"io"
	"math"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/formats/block"
)

// The runs that lseek found are remembered by the region of the file in which
// they were asked for: readers at different places do not push each other out.
const (
	runSlots  = 256
	runRegion = 1 << 22 // bytes
)

// hostRun is a stretch [off, end) of the file with one answer.
type hostRun struct {
	off, end int64
	hole     bool
	changes  uint64 // File.changes when it was asked for; it holds for no other
}

// Locate answers Zero for a hole of the host file and Data for the rest.
func (f *File) Locate(_ context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, f.Size()); n == 0 {
		return block.Run{}, io.EOF
	}
	data := block.Run{Kind: block.Data, Len: n, File: f.f, Off: off}
	if !f.sparse.Load() {
		return data, nil
	}
	changes := f.changes.Load()
	slot := &f.runs[off/runRegion%runSlots]
	run := slot.Load()
	if run == nil || run.changes != changes || off < run.off || off >= run.end {
		found, err := f.seekRun(off)
		if err != nil {
			// The host cannot tell (EINVAL, ENOTSUP): data is never wrong.
			f.sparse.Store(false)
			return data, nil
		}
		found.changes = changes
		run = &found
		slot.Store(run)
	}
	n = min(n, run.end-off)
	if run.hole {
		return block.Run{Kind: block.Zero, Len: n}, nil
	}
	data.Len = n
	return data, nil
}

// seekRun asks the host for the run at off, which is inside the file. It moves
// the file's position, which nobody uses.
func (f *File) seekRun(off int64) (run hostRun, err error) {
	cerr := f.conn.Control(func(fd uintptr) {
		var next int64
		if next, err = unix.Seek(int(fd), off, unix.SEEK_DATA); err != nil || next > off {
			if errors.Is(err, unix.ENXIO) {
				next, err = math.MaxInt64, nil // no data up to the end
			}
			run = hostRun{off: off, end: next, hole: true}
			return
		}
		if next, err = unix.Seek(int(fd), off, unix.SEEK_HOLE); err == nil && next <= off {
			err = unix.EINVAL
		}
		run = hostRun{off: off, end: next}
	})
	if cerr != nil {
		return run, cerr
	}
	return run, err
}
