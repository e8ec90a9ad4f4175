package raw

import (
	"context"
	"errors"
	"fmt"
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

var _ block.Grower = Writer{}

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
	if block.Clamp(off, int64(len(p)), w.Size()) < int64(len(p)) {
		return 0, io.ErrShortWrite
	}
	if err := w.whole(); err != nil {
		return 0, err
	}
	got, err := w.f.WriteAt(p, off)
	w.changes.Add(1)
	return got, err
}

// Zero makes n bytes at off read as zeros: with a hole where the host can, else
// with what it has for zeros, else by writing them.
func (w Writer) Zero(ctx context.Context, off, n int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n < 0 || block.Clamp(off, n, w.Size()) < n {
		return io.ErrShortWrite
	}
	if n == 0 {
		return nil
	}
	if err := w.whole(); err != nil {
		return err
	}
	defer w.changes.Add(1)
	for _, mode := range []uint32{
		unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE,
		unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE,
	} {
		err := w.control(func(fd int) error { return unix.Fallocate(fd, mode, off, n) })
		if !cannot(err) {
			return err
		}
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

// cannot says whether fallocate's err is that the host has no such operation.
// A block device with sectors larger than the range is EINVAL.
func cannot(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.ENOSYS, unix.ENODEV, unix.EINVAL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Grow makes the file size bytes long where it is shorter. A block device has
// the length that it has: ENOSPC.
func (w Writer) Grow(ctx context.Context, size int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.growing.Lock()
	defer w.growing.Unlock()
	if size <= w.Size() {
		return nil
	}
	if !w.regular {
		return &os.PathError{Op: "grow", Path: w.f.Name(), Err: syscall.ENOSPC}
	}
	// A file that somebody else made longer holds bytes that are not ours to
	// read as zeros, and ftruncate could cut it.
	if err := w.exactly(); err != nil {
		return err
	}
	if err := w.control(func(fd int) error { return unix.Ftruncate(fd, size) }); err != nil {
		return &os.PathError{Op: "grow", Path: w.f.Name(), Err: err}
	}
	w.size.Store(size)
	w.changes.Add(1)
	return nil
}

// Sync makes all that was written durable (fdatasync). Once it failed it fails
// for good.
func (w Writer) Sync(context.Context) error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	err := w.whole()
	if err == nil {
		if err = w.control(unix.Fdatasync); err != nil {
			err = &os.PathError{Op: "fdatasync", Path: w.f.Name(), Err: err}
		}
	}
	if err != nil {
		kept := fmt.Errorf("%w (writes may be lost, and no later sync can promise them)", err)
		w.failed.CompareAndSwap(nil, &kept)
	}
	return err
}

// whole is an error where somebody cut the file short.
func (w Writer) whole() error {
	size := w.Size() // before the length: a Grow may come between
	length, err := w.length()
	if err == nil && w.regular && length < size {
		err = fmt.Errorf("%s was cut short to %d bytes while it was open: %w", w.f.Name(), length, io.ErrUnexpectedEOF)
	}
	return err
}

// exactly is an error where the file has another length than Size.
func (w Writer) exactly() error {
	length, err := w.length()
	if err == nil && length != w.Size() {
		err = fmt.Errorf("%s has %d bytes and had %d: another program changes it: %w", w.f.Name(), length, w.Size(), syscall.EBUSY)
	}
	return err
}

// length is that of the file now.
func (w Writer) length() (int64, error) {
	var st unix.Stat_t
	if err := w.control(func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return 0, &os.PathError{Op: "fstat", Path: w.f.Name(), Err: err}
	}
	return st.Size, nil
}

// control does a system call on the file; it starts again when a signal
// interrupts it.
func (w Writer) control(call func(fd int) error) (err error) {
	cerr := w.conn.Control(func(fd uintptr) {
		for {
			if err = call(int(fd)); err != unix.EINTR {
				return
			}
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}
