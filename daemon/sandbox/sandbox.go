package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"

	"github.com/guestctl/guestctl/daemon/api"
)

// The modes: fail where anything is missing, do what this host has, or nothing.
const (
	Require = "require"
	Auto    = "auto"
	Off     = "off"
)

// Enter locks this process in, all its threads, for good. memory bounds what it
// may have, in bytes; 0 is no bound. It answers what is in force; with Require
// it is an error where something is missing.
func Enter(mode string, memory int64) (api.Sandbox, error) {
	s := api.Sandbox{Mode: mode, Missing: []string{}}
	if mode == Off {
		return s, nil
	}
	// The zone's file cannot be read later.
	_, _ = time.Now().Zone()
	for _, part := range []struct {
		name string
		do   func(*api.Sandbox) error
	}{
		{"limits", func(s *api.Sandbox) error { return limit(s, memory) }},
		{"capabilities", dropCapabilities},
		{"Landlock", restrict},
		{"seccomp", filter},
	} {
		if err := part.do(&s); err != nil {
			s.Missing = append(s.Missing, fmt.Sprintf("%s: %v", part.name, err))
		}
	}
	if mode == Require && len(s.Missing) > 0 {
		return s, fmt.Errorf("the sandbox is required and this host does not have all of it: %s", strings.Join(s.Missing, "; "))
	}
	return s, nil
}

// limit bounds memory, where the process does not have more already (under the
// race detector it has), and forbids core dumps, which would hold keys.
func limit(s *api.Sandbox, memory int64) error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	if memory == 0 {
		return nil
	}
	has, err := dataBytes()
	if err != nil {
		return err
	}
	if has >= memory {
		return fmt.Errorf("a limit of %d bytes, of which %d are used already", memory, has)
	}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(memory), Max: uint64(memory)}); err != nil {
		return err
	}
	s.Memory = memory
	return nil
}

// dataBytes is what RLIMIT_DATA counts.
func dataBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var n [6]int64
	if _, err := fmt.Sscan(string(text), &n[0], &n[1], &n[2], &n[3], &n[4], &n[5]); err != nil {
		return 0, err
	}
	return n[5] * int64(os.Getpagesize()), nil
}

// dropCapabilities empties every set of every thread.
func dropCapabilities(s *api.Sandbox) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if _, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return errno
	}
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	s.Capabilities, s.NoNewPrivileges = "none", true
	return nil
}

// restrict allows nothing that Landlock knows.
func restrict(s *api.Sandbox) error {
	version, err := landlocksys.LandlockGetABIVersion()
	if err != nil {
		return err
	}
	if version < 1 {
		return fmt.Errorf("the kernel has no Landlock")
	}
	if err := landlock.V8.BestEffort().Restrict(); err != nil {
		return err
	}
	s.Landlock = version
	return nil
}

// filter allows the system calls of the list, on every thread.
func filter(s *api.Sandbox) error {
	program, err := program(os.Getpid())
	if err != nil {
		return err
	}
	if err := install(program); err != nil {
		return err
	}
	s.Seccomp = true
	return nil
}

// install puts a filter on every thread.
func install(program []unix.SockFilter) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	list := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	odd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&list)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return errno
	}
	if odd != 0 {
		return fmt.Errorf("thread %d has a filter of its own", odd)
	}
	return nil
}
