package mount

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// maxErrno is the largest number the kernel takes in a reply, fs/fuse/dev.c: it drops a reply with any other, and the
// caller would wait for ever.
const maxErrno = 511

// status is the number the kernel gets for err. What a user cannot see from the number is logged with its whole text.
func (m *fileSystem) status(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	if errno, bare := any(err).(syscall.Errno); bare && (errno == syscall.EOPNOTSUPP || errno == syscall.ESTALE) {
		return fuse.Status(errno) // the answer, and there is no more to tell
	}
	errno := errnoOf(err)
	switch errno {
	case syscall.EIO, syscall.EUCLEAN, syscall.EBADMSG, syscall.EOPNOTSUPP, syscall.ESTALE, syscall.ENOMEM:
		m.faults.log(err.Error())
	}
	return fuse.Status(errno)
}

// errnoOf finds the number in err; EIO where there is none.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	case errors.Is(err, context.DeadlineExceeded):
		return syscall.ETIMEDOUT
	case !errors.As(err, &errno) || errno == 0 || errno > maxErrno:
		return syscall.EIO
	case errno == syscall.ENOSYS:
		// From us it means that the operation is never to be asked for again, on any file.
		return syscall.EOPNOTSUPP
	}
	return errno
}

// maxFaults bounds how many different texts a faultLog remembers.
const maxFaults = 1000

// A faultLog logs each text once: a damaged block is read again and again.
type faultLog struct {
	to   *slog.Logger
	mu   sync.Mutex // guards seen
	seen map[string]bool
}

func newFaultLog(to *slog.Logger) *faultLog {
	return &faultLog{to: to, seen: make(map[string]bool)}
}

func (l *faultLog) log(text string, args ...any) {
	if l.first(text) {
		l.to.Error(text, args...)
	}
}

// first says whether text is new. Past maxFaults texts nothing is new any more, and one line says so.
func (l *faultLog) first(text string) bool {
	l.mu.Lock()
	n := len(l.seen)
	fresh := n <= maxFaults && !l.seen[text]
	if fresh {
		l.seen[text] = true
	}
	l.mu.Unlock()
	if fresh && n == maxFaults {
		l.to.Error("too many different errors: no more are logged for this mount")
		return false
	}
	return fresh
}
