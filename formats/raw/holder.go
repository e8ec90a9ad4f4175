package raw

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// inUse is the error for the lock held on f, with the process that holds it
// where the host tells.
func inUse(f *os.File, held *heldLock) error {
	e := &InUseError{Path: f.Name(), Write: held.at < lockUnshared, PID: held.pid}
	if e.PID == 0 {
		e.PID = holder(f, held.at)
	}
	if e.PID != 0 {
		// comm is not shown for a process of which nothing else can be read.
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", e.PID))
		e.Command = strings.TrimSuffix(string(comm), "\n")
	}
	return e
}

// holder finds the process that holds the lock of the byte at on f's file. A
// lock of an open file description names no process, but the kernel shows it
// with every descriptor of that description, in /proc/PID/fdinfo. It is 0
// where no process shows it: another user's, or one on another host.
func holder(f *os.File, at int64) int {
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	want, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0
	}
	self := ""
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { self = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd) })
	}
	for _, fd := range fds {
		var have syscall.Stat_t
		if fd == self || syscall.Stat(fd, &have) != nil || have.Ino != want.Ino || have.Dev != want.Dev {
			continue
		}
		pid, num, _ := strings.Cut(strings.TrimPrefix(fd, "/proc/"), "/fd/")
		info, err := os.ReadFile("/proc/" + pid + "/fdinfo/" + num)
		if err == nil && holdsLock(info, at) {
			n, _ := strconv.Atoi(pid)
			return n
		}
	}
	return 0
}

// holdsLock says whether a /proc/PID/fdinfo text shows a lock of the byte at.
// Its lines read "lock: 1: OFDLCK ADVISORY READ -1 fe:00:123 100 101".
func holdsLock(info []byte, at int64) bool {
	lines := bufio.NewScanner(bytes.NewReader(info))
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if len(w) < 9 || w[0] != "lock:" {
			continue
		}
		first, err := strconv.ParseInt(w[7], 10, 64)
		if err != nil || at < first {
			continue
		}
		last, err := strconv.ParseInt(w[8], 10, 64)
		if w[8] == "EOF" || err == nil && at <= last {
			return true
		}
	}
	return false
}
