package raw

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// Lock says whether an opener takes part in QEMU's image locking.
type Lock uint8

const (
	// LockOn takes QEMU's lock and refuses an image that is in use.
	LockOn Lock = iota
	// ForceShare takes no lock and asks for none: --force-share.
	ForceShare
)

// Options are the choices of opening a host file. The zero value reads, with
// the lock.
type Options struct {
	Writable bool
	Lock     Lock
	Log      *slog.Logger // for the warning that there are no locks; nil: none
}

// A File is a host file or block device.
type File struct {
	f        *os.File
	conn     syscall.RawConn
	size     atomic.Int64
	writable bool
	regular  bool // a file, not a block device

	sparse atomic.Bool // Locate asks the host for holes
	runs   [runSlots]atomic.Pointer[hostRun]
	// changes counts the writes that ended: a run found before one may be wrong.
	changes atomic.Uint64

	growing sync.Mutex            // one Grow at a time
	failed  atomic.Pointer[error] // the first Sync that failed, or that found the file cut short

	closing sync.Mutex // guards closed and, against Close, the start of a prefetch
	closed  bool
	ahead   sync.WaitGroup
	slots   chan struct{} // one token for each running prefetch
}

var (
	_ block.Device     = (*File)(nil)
	_ block.Prefetcher = (*File)(nil)
)

// OpenFile opens the host file or block device at path and locks it. Errors: an
// *os.PathError where the host does not let us, an *InUseError where another
// process uses the image.
func OpenFile(path string, opt Options) (*File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// Asked before opening, since opening a FIFO waits and opening a tape rewinds.
	if err := openable(path, st.Mode()); err != nil {
		return nil, err
	}
	flags := os.O_RDONLY
	if opt.Writable {
		flags = os.O_RDWR
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, err
	}
	return New(f, opt)
}

// New makes a File of an open file and locks it; f.Name is what errors name.
// The File owns f from here on, also where New fails. f must have been opened
// for writing where opt.Writable.
func New(f *os.File, opt Options) (*File, error) {
	file, err := newFile(f, opt)
	if err != nil {
		f.Close()
		return nil, err
	}
	return file, nil
}

func newFile(f *os.File, opt Options) (*File, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := openable(f.Name(), st.Mode()); err != nil {
		return nil, err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	if opt.Lock == LockOn {
		if err := lock(f, conn, opt); err != nil {
			return nil, err
		}
	}
	// The end of a block device is found the same way as that of a file.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	file := &File{f: f, conn: conn, writable: opt.Writable, regular: st.Mode().IsRegular(), slots: make(chan struct{}, prefetchers)}
	file.size.Store(size)
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && st.Mode().IsRegular() && opt.Lock == LockOn {
		file.sparse.Store(sys.Blocks*512 < size)
	}
	return file, nil
}

// openable refuses what has no bytes at offsets.
func openable(path string, mode os.FileMode) error {
	switch {
	case mode.IsRegular(), mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0:
		return nil
	case mode.IsDir():
		return &os.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
	}
	return &os.PathError{Op: "open", Path: path,
		Err: fmt.Errorf("neither a file nor a block device (%s): %w", mode.Type(), syscall.ENOTBLK)}
}

// Name is the path that the file was opened by.
func (f *File) Name() string { return f.f.Name() }

// Host is the open host file, for fstat and for handing it to another
// process. It stays the File's.
func (f *File) Host() *os.File { return f.f }

// Size is the file's size when it was opened, or after the last Grow.
func (f *File) Size() int64 { return f.size.Load() }

// ReadAt reads by io.ReaderAt's rules.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n := block.Clamp(off, int64(len(p)), f.Size())
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	got, err := f.f.ReadAt(p[:n], off)
	switch {
	case err == io.EOF:
		// Size promised these bytes.
		return got, fmt.Errorf("%s was cut short while it was open: %w", f.f.Name(), io.ErrUnexpectedEOF)
	case err != nil:
		return got, err
	case got < len(p):
		return got, io.EOF
	}
	return got, nil
}

// Close waits for the prefetches, gives the locks back and closes the file.
func (f *File) Close() error {
	f.closing.Lock()
	closed := f.closed
	f.closed = true
	f.closing.Unlock()
	if closed {
		return os.ErrClosed
	}
	f.ahead.Wait()
	return f.f.Close()
}
