package service

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Held is the lock of a socket's path: one daemon has it at a time.
type Held struct {
	path string
	lock *os.File
	lent bool
}

// Lend says that the socket is another's, who removes it: systemd.
func (h *Held) Lend() { h.lent = true }

// HoldSocket locks the path of a socket, so that what is there is known to be
// left by a daemon that is gone. It makes the folder.
func HoldSocket(path string) (*Held, error) {
	dir := filepath.Dir(path)
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o755 // others come to the socket, which has a mode of its own
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another daemon serves %s; choose another --socket, or stop it", path)
		}
		return nil, err
	}
	return &Held{path: path, lock: f}, nil
}

// Listen makes the socket, for the group where root runs the daemon and there
// is such a group. What a killed daemon left in its place is removed.
func (h *Held) Listen(group string) (net.Listener, error) {
	if st, err := os.Lstat(h.path); err == nil {
		if st.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("%s is in the way: it is no socket", h.path)
		}
		if err := os.Remove(h.path); err != nil {
			return nil, err
		}
	}
	// Nobody gets in before its mode and group are right.
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 && group != "" {
		if gid, ok := groupID(group); ok {
			if err := os.Lchown(h.path, 0, gid); err != nil {
				l.Close()
				return nil, err
			}
		}
	}
	if err := os.Chmod(h.path, 0o660); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// groupID is the number of a group, which may be given by name or number.
func groupID(group string) (int, bool) {
	if g, err := user.LookupGroup(group); err == nil {
		group = g.Gid
	}
	gid, err := strconv.Atoi(group)
	return gid, err == nil && gid >= 0
}

// Release removes the socket and lets go of the lock. The lock's file stays:
// another may have opened it already.
func (h *Held) Release() {
	if !h.lent {
		os.Remove(h.path)
	}
	h.lock.Close()
}
