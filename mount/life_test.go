package mount

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
)

// TestPanic has a driver panic: the request fails, the mount lives.
func TestPanic(t *testing.T) {
	var log strings.Builder
	s := mounted(t, namespace(t, panicking{sample()}, nil), Options{Log: textLog(&log)})
	for range 2 {
		if _, err := os.ReadFile(filepath.Join(s.Dir(), "big")); !errors.Is(err, unix.EIO) {
			t.Errorf("read: %v", err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(s.Dir(), "etc/hostname")); string(b) != "guest\n" || err != nil {
		t.Errorf("after a panic: %q, %v", b, err)
	}
	unmount(t, s)
	if got := log.String(); strings.Count(got, "a mistake of ours") != 1 || !strings.Contains(got, "panicking") {
		t.Errorf("the log: %s", got)
	}
}

// TestRounds leaves nothing behind: no goroutine, descriptor or mount.
func TestRounds(t *testing.T) {
	images.NeedFUSE(t)
	rounds := 20
	if os.Getenv("GUESTCTL_LONG") != "" {
		rounds = 1000
	}
	ns, dir := namespace(t, sample(), nil), t.TempDir()
	count := func() (goroutines, descriptors, mounts int) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		table, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(fds), strings.Count(string(table), dir)
	}
	round := func() {
		s, err := Mount(t.Context(), dir, ns, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.ReadFile(filepath.Join(dir, "etc/hostname")); err != nil {
			t.Error(err)
		}
		if _, err := os.ReadDir(filepath.Join(dir, "etc")); err != nil {
			t.Error(err)
		}
		unmount(t, s)
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	}
	round()
	g, f, m := count()
	for range rounds {
		round()
	}
	time.Sleep(50 * time.Millisecond)
	if g2, f2, m2 := count(); g2 > g || f2 > f || m2 != 0 || m != 0 {
		t.Errorf("after %d rounds %d goroutines, %d descriptors, %d mounts; before %d, %d, %d", rounds, g2, f2, m2, g, f, m)
	}
}

// TestBusy refuses to unmount what is in use, and detaches it when asked.
func TestBusy(t *testing.T) {
	s := mounted(t, namespace(t, sample(), nil), Options{})
	f, err := os.Open(filepath.Join(s.Dir(), "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var e *Error
	if err := s.Unmount(); !errors.As(err, &e) || e.Reason != Busy || !errors.Is(err, unix.EBUSY) {
		t.Errorf("unmount: %v", err)
	}
	if err := s.Detach(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(s.Dir()); err != nil || len(entries) != 0 {
		t.Errorf("still there: %v, %v", entries, err)
	}
	if _, err := f.ReadAt(make([]byte, 10), 100); err != nil {
		t.Errorf("who uses it may go on: %v", err)
	}
	f.Close()
	if !s.gone(5 * time.Second) {
		t.Error("the server does not end")
	}
}

// TestUnmountedByOther ends the server when somebody else unmounts.
func TestUnmountedByOther(t *testing.T) {
	images.NeedRoot(t)
	s := mounted(t, namespace(t, sample(), nil), Options{})
	output(t, exec.Command("umount", s.Dir()))
	if !s.gone(5 * time.Second) {
		t.Fatal("the server does not end")
	}
	if err := s.Unmount(); err != nil {
		t.Error(err)
	}
}

func TestReasons(t *testing.T) {
	images.NeedFUSE(t)
	ns := namespace(t, sample(), nil)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	taken := mounted(t, ns, Options{})
	for name, c := range map[string]struct {
		dir    string
		opt    Options
		reason Reason
	}{
		"missing":         {filepath.Join(dir, "none"), Options{}, NoDir},
		"a file":          {file, Options{}, NotDir},
		"not empty":       {dir, Options{}, NotEmpty},
		"already mounted": {taken.Dir(), Options{}, AlreadyMounted},
		"a bad option":    {t.TempDir(), Options{Extra: []string{"nonsense=1"}}, BadOption},
	} {
		s, err := Mount(t.Context(), c.dir, ns, c.opt)
		var e *Error
		if !errors.As(err, &e) || e.Reason != c.reason || !strings.Contains(err.Error(), c.dir) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			s.Unmount()
		}
	}
	s, err := Mount(t.Context(), dir, ns, Options{NonEmpty: true})
	if err != nil {
		t.Fatalf("nonempty: %v", err)
	}
	if err := s.Unmount(); err != nil {
		t.Error(err)
	}
}

// startChild starts a mount in a process of its own and waits until it is there.
func startChild(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := out.Read(line); err != nil || string(line) != "ready\n" {
		in.Close()
		cmd.Wait()
		t.Fatalf("the child's mount: %q, %v: %s", line, err, errs.String())
	}
	return func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child: %v: %s", err, errs.String())
		}
	}
}

// TestStale recognises the mount of a daemon that was killed.
func TestStale(t *testing.T) {
	images.NeedFUSE(t)
	dir := t.TempDir()
	cmd := childCommand(t, "mount", dir)
	startChild(t, cmd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	_, err := Mount(t.Context(), dir, namespace(t, sample(), nil), Options{})
	var e *Error
	if !errors.As(err, &e) || e.Reason != Stale {
		t.Errorf("%v", err)
	}
	if err := detach(dir, false); err != nil {
		t.Errorf("cleaning up: %v", err)
	}
}
