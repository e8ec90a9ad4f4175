package raw

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/formats/block"
)

// zeroPiece is how many zeros are written at once where the host cannot
// make them by itself.
const zeroPiece = 1 << 20

// A Writer is a File that is open for writing.
type Writer struct{ *File }

var _ block.Writer = Writer{}

// Writer gives the File as a block.Writer; EROFS where it was not opened so.
func (f *File) Writer() (Writer, error) {
	if !f.writable {
		return Writer{}, &os.PathError{Op: "write", Path: f.f.Name(), Err: syscall.EROFS}
	}
	return Writer{f}, nil
}

// WriteAt writes p inside the file; it does not make the file longer.
func (w Writer) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n := block.Clamp(off, int64(len(p)), w.size)
	if n < int64(len(p)) {
		return 0, io.ErrShortWrite
	}
	got, err := w.f.WriteAt(p, off)
	w.changes.Add(1)
	return got, err
}

// Zero makes n bytes at off read as zeros, with a hole where the host can.
func (w Writer) Zero(ctx context.Context, off, n int64) error {
	if block.Clamp(off, n, w.size) < n {
		return io.ErrShortWrite
	}
	if n <= 0 {
		return nil
	}
	err := w.punch(off, n)
	w.changes.Add(1)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	zeros := make([]byte, min(n, zeroPiece))
	for n > 0 {
		got, err := w.WriteAt(ctx, zeros[:min(n, zeroPiece)], off)
		if err != nil {
			return err
		}
		off, n = off+int64(got), n-int64(got)
	}
	return nil
}

func (w Writer) punch(off, n int64) (err error) {
	cerr := w.conn.Control(func(fd uintptr) {
		for {
			err = unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
			if err != unix.EINTR {
				return
			}
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// Sync makes all that was written durable (fdatasync).
func (w Writer) Sync(context.Context) (err error) {
	cerr := w.conn.Control(func(fd uintptr) {
		for {
			if err = unix.Fdatasync(int(fd)); err != unix.EINTR {
				return
			}
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}
