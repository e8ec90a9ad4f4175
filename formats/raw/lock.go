package raw

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The bytes of QEMU's image locks, block/file-posix.c.
const (
	lockUses     = 100 // RAW_LOCK_PERM_BASE: + permission
	lockUnshared = 200 // RAW_LOCK_SHARED_BASE: + permission
)

// The permissions of QEMU's block layer, include/block/block-common.h.
const (
	permConsistentRead = 0
	permWrite          = 1
	permResize         = 3
)

// lockPlan is which lock bytes an opener takes and which must be free. The
// first one that is not free makes the message, so the bytes of a writer stand
// first.
type lockPlan struct{ takes, free []int64 }

func planLock(writable bool) lockPlan {
	if writable {
		return lockPlan{
			takes: []int64{lockUses + permConsistentRead, lockUses + permWrite, lockUses + permResize,
				lockUnshared + permWrite, lockUnshared + permResize},
			free: []int64{lockUses + permWrite, lockUses + permResize,
				lockUnshared + permConsistentRead, lockUnshared + permWrite, lockUnshared + permResize},
		}
	}
	return lockPlan{
		takes: []int64{lockUses + permConsistentRead, lockUnshared + permWrite, lockUnshared + permResize},
		free:  []int64{lockUses + permWrite, lockUses + permResize, lockUnshared + permConsistentRead},
	}
}

// lock takes the locks of opt on f. They end when f's description is closed,
// so that an error needs no unlocking.
func lock(f *os.File, conn syscall.RawConn, opt Options) error {
	plan := planLock(opt.Writable)
	var held *heldLock
	var err error
	cerr := conn.Control(func(fd uintptr) {
		held, err = plan.take(int(fd))
	})
	if err == nil {
		err = cerr
	}
	switch {
	case held != nil:
		return inUse(f, held)
	case err == nil:
		return nil
	case noLocks(err):
		if opt.Log != nil {
			opt.Log.Warn("the filesystem of this image has no locks: a VM that writes it is not noticed, and a VM does not notice us",
				"image", f.Name(), "error", err)
		}
		return nil
	}
	return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
}

// heldLock is a lock of somebody else that stands in the way.
type heldLock struct {
	at  int64 // the byte
	pid int   // 0 for a lock of an open file description, which names none
}

// take takes the locks and then asks. A byte that somebody holds is no error.
func (p lockPlan) take(fd int) (*heldLock, error) {
	for _, at := range p.takes {
		err := ofd(fd, unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: 1})
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			// Somebody has an exclusive lock here: not QEMU, but a lock.
			return lockAt(fd, unix.F_RDLCK, at)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, at := range p.free {
		if held, err := lockAt(fd, unix.F_WRLCK, at); held != nil || err != nil {
			return held, err
		}
	}
	return nil, nil
}

// lockAt is the lock that would keep us from one of kind on the byte at; nil
// where there is none.
func lockAt(fd int, kind int16, at int64) (*heldLock, error) {
	l := unix.Flock_t{Type: kind, Start: at, Len: 1}
	if err := ofd(fd, unix.F_OFD_GETLK, &l); err != nil {
		return nil, err
	}
	if l.Type == unix.F_UNLCK {
		return nil, nil
	}
	return &heldLock{at: at, pid: max(0, int(l.Pid))}, nil
}

// ofd is one lock call; it starts again when a signal interrupts it.
func ofd(fd, cmd int, l *unix.Flock_t) error {
	l.Whence = io.SeekStart
	for {
		err := unix.FcntlFlock(uintptr(fd), cmd, l)
		if err != unix.EINTR {
			return err
		}
	}
}

// noLocks says whether err is that of a filesystem without locks.
func noLocks(err error) bool {
	for _, e := range []error{unix.EINVAL, unix.ENOLCK, unix.ENOSYS, unix.EOPNOTSUPP} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// An InUseError says that another process uses the image in a way that does
// not go together with ours. It unwraps to EBUSY.
type InUseError struct {
	Path    string
	Write   bool   // the other one writes; else it reads and lets nobody write
	PID     int    // 0 where the process is not known
	Command string // its name; "" where not known
	Folder  string // of VMware's locks, which says so; "" where a lock of QEMU's kind does
}

func (e *InUseError) Error() string { return e.Detail() + "; " + e.Remedy() }

// Detail says who uses the image, and how.
func (e *InUseError) Detail() string {
	if e.Folder != "" {
		return fmt.Sprintf("%q is in use by VMware: %q holds its locks", e.Path, e.Folder)
	}
	who := "an unknown process"
	switch {
	case e.PID != 0 && e.Command != "":
		who = fmt.Sprintf("process %d (%q)", e.PID, e.Command)
	case e.PID != 0:
		who = fmt.Sprintf("process %d", e.PID)
	}
	if e.Write {
		return fmt.Sprintf("%q is in use: %s writes to it, such as a running VM", e.Path, who)
	}
	return fmt.Sprintf("%q is in use: %s reads it and lets nobody write", e.Path, who)
}

// Remedy says what to do, the safest first.
func (e *InUseError) Remedy() string {
	if e.Folder != "" {
		return fmt.Sprintf("shut the VM down, or remove %q where no VM uses the disk any more; as a last resort --force-share reads it while it changes, and what is read may be inconsistent", e.Folder)
	}
	if !e.Write {
		return "open it read-only (--ro), or end that process"
	}
	return fmt.Sprintf("shut the VM down, or take a snapshot (virsh snapshot-create-as DOMAIN NAME --disk-only; "+
		"snapshot_blkdev in QEMU's monitor), after which the VM writes to a new file and %q can be read; "+
		"as a last resort --force-share reads it while it changes, and what is read may be inconsistent", e.Path)
}

// Unwrap is EBUSY.
func (e *InUseError) Unwrap() error { return syscall.EBUSY }
