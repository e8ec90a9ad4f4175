package commands

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/tests/images"
)

// limit ends a program that hangs.
const limit = 2 * time.Minute

// Who runs a program.
type Who int

const (
	Self Who = iota // whoever runs the test
	User            // an ordinary user
)

// A Result is what a program that has ended leaves.
type Result struct {
	Stdout, Stderr string
	Status         int // -1 where a signal ended it
	Took           time.Duration
}

// Command makes a command for who; one of our programs where name has no
// slash and is one.
func Command(t testing.TB, who Who, name string, args ...string) *exec.Cmd {
	t.Helper()
	if strings.HasPrefix(name, "guest") && !strings.Contains(name, "/") {
		name = Bin(t, name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	// A daemon that keeps our pipes open must not keep Wait waiting.
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = []string{"GORACE=exitcode=66 log_path=" + filepath.Join(os.Getenv(binVariable), "race")}
	cmd.Dir = os.TempDir()
	if who == User {
		images.AsUser(t, cmd)
		// One for all programs of a test, as a login has it.
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+filepath.Join(os.Getenv(binVariable), "run"))
		return cmd
	}
	cmd.Env = append(os.Environ(), append(cmd.Env, "LC_ALL=C")...)
	return cmd
}

// Run runs a program to its end.
func Run(t testing.TB, who Who, name string, args ...string) Result {
	t.Helper()
	return Finish(t, Command(t, who, name, args...))
}

// Finish runs cmd to its end.
func Finish(t testing.TB, cmd *exec.Cmd) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	start := time.Now()
	err := cmd.Run()
	r := Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), time.Since(start)}
	if errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%v: it ended, but something still has its stdout or stderr open", cmd.Args)
	}
	if strings.Contains(r.Stderr, "goroutine ") {
		t.Fatalf("%v: it panicked:\n%s", cmd.Args, r.Stderr)
	}
	if r.Took >= limit {
		t.Fatalf("%v: not done after %v", cmd.Args, limit)
	}
	return r
}

// Must is Run for what may not fail. It answers stdout.
func Must(t testing.TB, who Who, name string, args ...string) string {
	t.Helper()
	r := Run(t, who, name, args...)
	if r.Status != 0 {
		t.Fatalf("%s %q: exit status %d\n%s%s", name, args, r.Status, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Dir is a new folder that who owns and reaches; it is gone after the test.
func Dir(t testing.TB, who Who) string {
	t.Helper()
	// t.TempDir stands below a folder that another user cannot pass, and its name does not tell whose the mounts are.
	dir, err := os.MkdirTemp("", prefix()+"*")
	if err != nil {
		t.Fatal(err)
	}
	if who == User && os.Geteuid() == 0 {
		if err := os.Chown(dir, images.Ordinary, images.Ordinary); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the test's folder: %v", err)
		}
	})
	return dir
}

// A Mount is a mount that guestmount made.
type Mount struct {
	Dir string
	PID int // of the daemon
	who Who
}

// Start runs guestmount with args, to which the mount point is added, and
// unmounts at the end of the test, if nobody has by then. It answers what
// guestmount said beside.
func Start(t testing.TB, who Who, args ...string) (*Mount, Result) {
	t.Helper()
	images.NeedFUSE(t)
	dir := Dir(t, who)
	pidFile := filepath.Join(dir, "pid")
	m := &Mount{Dir: filepath.Join(dir, "mnt"), who: who}
	if err := os.Mkdir(m.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if who == User && os.Geteuid() == 0 {
		if err := os.Chown(m.Dir, images.Ordinary, images.Ordinary); err != nil {
			t.Fatal(err)
		}
	}
	args = append(args[:len(args):len(args)], "--pid-file", pidFile, m.Dir)
	r := Run(t, who, "guestmount", args...)
	if r.Status != 0 {
		t.Fatalf("guestmount %q: exit status %d\n%s%s", args, r.Status, r.Stdout, r.Stderr)
	}
	t.Cleanup(func() { m.End(t) })
	m.PID = readPID(t, pidFile)
	return m, r
}

// End unmounts, and fails the test where anything is left. A second call does
// nothing.
func (m *Mount) End(t testing.TB) {
	t.Helper()
	if m.PID == 0 {
		return
	}
	pid := m.PID
	m.PID = 0
	r := Run(t, m.who, "guestunmount", m.Dir)
	if r.Status != 0 && r.Status != 3 {
		t.Errorf("guestunmount: exit status %d: %s", r.Status, r.Stderr)
		_ = syscall.Unmount(m.Dir, syscall.MNT_DETACH)
		return
	}
	if r.Status == 0 && Running(pid) {
		t.Errorf("guestunmount returned while the daemon (process %d) still runs", pid)
	}
	Gone(t, pid)
}

// Forget tells that the test has seen to the end itself.
func (m *Mount) Forget() { m.PID = 0 }

// Running says whether there is such a process, a zombie not counted.
func Running(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// Gone waits until there is no such process any more, ten seconds at most.
func Gone(t testing.TB, pid int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); Running(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d still runs after ten seconds", pid)
		}
	}
}

func readPID(t testing.TB, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		t.Fatalf("the pid file holds %q", text)
	}
	return pid
}
