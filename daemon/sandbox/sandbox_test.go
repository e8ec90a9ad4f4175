package sandbox

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/daemon/api"
)

// The tests start their own program again, which enters the sandbox and says
// what it still can.
const modeVariable = "SANDBOX_TEST_MODE"

func TestMain(m *testing.M) {
	mode := os.Getenv(modeVariable)
	if mode == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(withoutVariable) != "" {
		if err := loseLandlock(); err != nil {
			panic(err)
		}
	}
	s, err := Enter(mode, 2<<30)
	r := report{Sandbox: s, Can: map[string]string{}}
	if err != nil {
		r.Error = err.Error()
	} else {
		tryAll(&r)
	}
	json.NewEncoder(os.Stdout).Encode(r)
}

type report struct {
	Sandbox api.Sandbox
	Error   string
	Can     map[string]string // what was tried, and "yes" or why not
}

// harmless is what is tried outside too.
var harmless = []string{"open /etc/passwd", "write a file", "remove a file", "look at a file", "connect", "signal others", "executable memory", "threads"}

// tryAll tries what a parser that was taken over would.
func tryAll(r *report) {
	dir := os.Getenv("SANDBOX_TEST_DIR")
	parent := os.Getppid()
	for what, try := range map[string]func() error{
		"open /etc/passwd": func() error { return opened(os.Open("/etc/passwd")) },
		"open by openat2": func() error {
			return fd(unix.Openat2(unix.AT_FDCWD, "/etc/passwd", &unix.OpenHow{Flags: unix.O_RDONLY}))
		},
		"write a file":   func() error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o600) },
		"remove a file":  func() error { return os.Remove(filepath.Join(dir, "kept")) },
		"list a folder":  func() error { _, err := os.ReadDir("/"); return err },
		"look at a file": func() error { _, err := os.Stat("/etc/passwd"); return err },
		"change folder":  func() error { return os.Chdir("/tmp") },
		"connect":        func() error { _, err := net.Dial("unix", filepath.Join(dir, "socket")); return err },
		"connect by TCP": func() error { _, err := net.Dial("tcp", "127.0.0.1:1"); return err },
		"make a socket":  func() error { return fd(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) },
		"exec":           func() error { return exec.Command("/bin/true").Run() },
		"exec in place":  func() error { return syscall.Exec("/bin/false", []string{"false"}, nil) },
		"fork":           func() error { return errno(unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)) },
		"trace":          func() error { return unix.PtraceAttach(parent) },
		"read memory of others": func() error {
			_, err := unix.ProcessVMReadv(parent, nil, nil, 0)
			return err
		},
		"signal others": func() error { return syscall.Kill(parent, 0) },
		"executable memory": func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		},
		"mount":           func() error { return unix.Mount("none", dir, "tmpfs", 0, "") },
		"namespaces":      func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"a kernel module": func() error { return errno(unix.RawSyscall(unix.SYS_INIT_MODULE, 0, 0, 0)) },
		"bpf":             func() error { return errno(unix.RawSyscall(unix.SYS_BPF, 0, 0, 0)) },
		"io_uring":        func() error { return errno(unix.RawSyscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)) },
		"raise its limit": func() error { return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 1 << 40, Max: 1 << 40}) },
		"an ioctl":        func() error { _, err := unix.IoctlGetInt(0, unix.TIOCGSID); return err },
		"lift the filter": func() error {
			return errno(unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&unix.SockFprog{}))))
		},
		// What a worker does. It must go on.
		"read what is open": func() error { _, err := os.Stdin.ReadAt(make([]byte, 4), 0); return err },
		"lock what is open": func() error {
			return unix.FcntlFlock(os.Stdin.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: 100, Len: 1})
		},
		"threads": func() error {
			done := make(chan bool)
			for range 8 {
				go func() { runtime.LockOSThread(); done <- true }()
			}
			for range 8 {
				<-done
			}
			runtime.GC()
			return nil
		},
	} {
		if r.Sandbox.Mode == Off && !slices.Contains(harmless, what) {
			continue
		}
		r.Can[what] = "yes"
		if err := try(); err != nil {
			r.Can[what] = err.Error()
		}
	}
}

func opened(f *os.File, err error) error {
	if err == nil {
		f.Close()
	}
	return err
}

func fd(n int, err error) error {
	if err == nil {
		unix.Close(n)
	}
	return err
}

func errno(_, _ uintptr, e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

// run runs this program in the sandbox.
func run(t *testing.T, mode string, with func(*exec.Cmd)) report {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"kept", "image"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("bytes"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	image, err := os.Open(filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), modeVariable+"="+mode, "SANDBOX_TEST_DIR="+dir)
	cmd.Stdin = image
	if with != nil {
		with(cmd)
	}
	out, err := cmd.Output()
	exit := (*exec.ExitError)(nil)
	if errors.As(err, &exit) {
		t.Fatalf("%v: %s%s", err, out, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); (err == nil) != (r.Can["write a file"] == "yes") {
		t.Errorf("it says of writing a file %q, and the file: %v", r.Can["write a file"], err)
	}
	return r
}

// needed is what must go on inside.
var needed = []string{"read what is open", "lock what is open", "threads"}

func TestNothingIsReachedFromInside(t *testing.T) {
	r := run(t, Auto, nil)
	if r.Error != "" || !r.Sandbox.Seccomp || !r.Sandbox.NoNewPrivileges || r.Sandbox.Capabilities != "none" || r.Sandbox.Memory != 2<<30 && len(r.Sandbox.Missing) == 0 {
		t.Fatalf("in force is %+v, %s", r.Sandbox, r.Error)
	}
	for what, said := range r.Can {
		want := false
		for _, n := range needed {
			want = want || n == what
		}
		if (said == "yes") != want {
			t.Errorf("%s: %s", what, said)
		}
	}
	if len(r.Can) < 20 {
		t.Errorf("only %d things were tried", len(r.Can))
	}
}

// Without it the same is possible, so that the test above is not void.
func TestOffIsOff(t *testing.T) {
	r := run(t, Off, nil)
	for _, what := range harmless {
		if r.Can[what] != "yes" {
			t.Errorf("%s: %s", what, r.Can[what])
		}
	}
	if r.Sandbox.Seccomp || r.Sandbox.Landlock != 0 {
		t.Errorf("in force is %+v", r.Sandbox)
	}
}

// A host without part of it: Require refuses, Auto says what is missing and
// goes on with the rest.
func TestMissing(t *testing.T) {
	full := run(t, Require, nil)
	if full.Error != "" {
		t.Logf("this host does not have all of it: %s", full.Error)
	}
	// Within a filter that answers ENOSYS to Landlock, as older kernels do.
	for mode, wantError := range map[string]bool{Require: true, Auto: false} {
		r := run(t, mode, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, withoutVariable+"=1") })
		if (r.Error != "") != wantError {
			t.Errorf("%s: error %q", mode, r.Error)
		}
		if !strings.Contains(strings.Join(r.Sandbox.Missing, ";"), "Landlock: ") || r.Sandbox.Landlock != 0 || !r.Sandbox.Seccomp {
			t.Errorf("%s: in force is %+v", mode, r.Sandbox)
		}
		if !wantError && (r.Can["open /etc/passwd"] == "yes" || r.Can["read what is open"] != "yes") {
			t.Errorf("%s: %v", mode, r.Can)
		}
	}
}

// withoutVariable has the started program lose Landlock first.
const withoutVariable = "SANDBOX_TEST_WITHOUT_LANDLOCK"

// loseLandlock has the kernel answer as one that has none.
func loseLandlock() error {
	var p assembler
	p.load(offNumber)
	for _, nr := range []uint32{unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_RESTRICT_SELF} {
		p.jump(unix.BPF_JEQ, nr, 0, 1)
		p.ret(deny(unix.ENOSYS))
	}
	p.ret(allow)
	return install(p)
}

// The list has no system call twice, and none that takes a path or makes a
// process.
func TestList(t *testing.T) {
	seen := map[uint32]bool{}
	for _, nr := range append(plain[:], archPlain[:]...) {
		if seen[nr] {
			t.Errorf("system call %d stands there twice", nr)
		}
		seen[nr] = true
	}
	for _, nr := range []uint32{unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_EXECVE, unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_PTRACE, unix.SYS_CLONE, unix.SYS_MMAP, unix.SYS_IOCTL} {
		if seen[nr] {
			t.Errorf("system call %d is allowed whatever its arguments", nr)
		}
	}
	p, err := program(1)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range p {
		if f.Code&7 == unix.BPF_JMP && (i+1+int(f.Jt) >= len(p) || i+1+int(f.Jf) >= len(p)) {
			t.Errorf("instruction %d leads out of the program", i)
		}
	}
}
