package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// readyVariable tells the daemon that it is one, and that its parent waits on
// the descriptor readyFD. The daemon removes it from its environment.
const readyVariable = "GUESTMOUNT_READY"

// readyFD is the descriptor of the pipe in the daemon: the first free one.
const readyFD = 3

// readyPipe is the pipe to the process that started this one as its daemon;
// nil where this is no daemon.
func readyPipe() *os.File {
	if os.Getenv(readyVariable) == "" {
		return nil
	}
	os.Unsetenv(readyVariable)
	var st syscall.Stat_t
	if syscall.Fstat(readyFD, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return nil
	}
	syscall.CloseOnExec(readyFD)
	return os.NewFile(readyFD, "ready")
}

// launch starts the daemon and waits until it has mounted or failed. It
// answers the exit status.
func launch(o *options, stderr io.Writer) int {
	self, err := os.Executable()
	if err != nil {
		self = "/proc/self/exe"
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		fmt.Fprintf(stderr, "guestmount: %v\n", err)
		return exitFailed
	}
	stdin, err := o.passKeys(os.Stdin, null, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "guestmount: %v\n", err)
		return exitFailed
	}
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Fprintf(stderr, "guestmount: %v\n", err)
		return exitFailed
	}
	child, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), readyVariable+"=1"),
		Files: []*os.File{stdin, os.Stdout, os.Stderr, w},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		fmt.Fprintf(stderr, "guestmount: starting the daemon: %v\n", err)
		return exitFailed
	}
	// Ctrl-C reaches this process only, since the daemon has a session of its own: its end closes the pipe, and a daemon
	// that cannot tell its readiness unmounts again.
	var ready [1]byte
	if n, _ := r.Read(ready[:]); n == 1 {
		if err := o.tellReady(); err != nil {
			fmt.Fprintf(stderr, "guestmount: %v\n", err)
			return exitFailed
		}
		return exitDone
	}
	state, err := child.Wait()
	switch status, _ := waitStatus(state); {
	case err != nil:
		fmt.Fprintf(stderr, "guestmount: waiting for the daemon: %v\n", err)
	case status.Signaled():
		fmt.Fprintf(stderr, "guestmount: the daemon was killed by the signal %q before the mount was ready\n", status.Signal())
	case state.ExitCode() > 0:
		return state.ExitCode()
	default:
		fmt.Fprintln(stderr, "guestmount: the mount was taken away before it was ready")
	}
	return exitFailed
}

func waitStatus(s *os.ProcessState) (syscall.WaitStatus, bool) {
	if s == nil {
		return 0, false
	}
	w, ok := s.Sys().(syscall.WaitStatus)
	return w, ok
}

// tellReady writes one byte to --fd and closes it.
func (o *options) tellReady() error {
	if o.fd < 0 {
		return nil
	}
	for {
		_, err := syscall.Write(o.fd, []byte{0})
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("telling --fd=%d that the mount is ready: %w", o.fd, err)
		}
		if o.fd > 2 {
			syscall.Close(o.fd)
		}
		return nil
	}
}
