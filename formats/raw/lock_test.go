package raw

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// tool is the path of a program that the test needs.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed (Debian package qemu-utils)", name)
		}
		t.Skipf("%s is not installed (Debian package qemu-utils)", name)
	}
	return path
}

func makeImage(t *testing.T, format string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk."+format)
	if out, err := exec.Command(tool(t, "qemu-img"), "create", "-f", format, path, "16M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// hold has qemu-io open the image and keep it open until the test ends.
func hold(t *testing.T, path, format string, args ...string) (pid int) {
	t.Helper()
	cmd := exec.Command(tool(t, "qemu-io"), append(append([]string{"-f", format}, args...), path)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	// The answer to a command says that the image is open.
	fmt.Fprintln(in, "length")
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "MiB") {
			return cmd.Process.Pid
		}
	}
	t.Fatal("qemu-io did not open the image")
	return 0
}

func TestRefusesWhatQEMUUses(t *testing.T) {
	for _, format := range []string{"raw", "qcow2"} {
		for _, c := range []struct {
			name           string
			args           []string
			writable, want bool // want: we are let in
			write          bool
		}{
			{"it writes, we read", nil, false, false, true},
			{"it writes, we write", nil, true, false, true},
			{"it reads, we read", []string{"-r"}, false, true, false},
			{"it reads, we write", []string{"-r"}, true, false, false},
		} {
			t.Run(format+" "+c.name, func(t *testing.T) {
				path := makeImage(t, format)
				pid := hold(t, path, format, c.args...)
				f, err := OpenFile(path, Options{Writable: c.writable})
				if err == nil {
					f.Close()
				}
				// qemu-io reads a raw image without forbidding others to write.
				if c.want || format == "raw" && c.args != nil {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				var use *InUseError
				if !errors.As(err, &use) || !errors.Is(err, syscall.EBUSY) {
					t.Fatalf("%v", err)
				}
				if use.PID != pid || use.Command != "qemu-io" || use.Path != path || use.Write != c.write {
					t.Errorf("%+v, want process %d", use, pid)
				}
				if c.write {
					text := err.Error()
					snap, force := strings.Index(text, "virsh snapshot-create-as"), strings.Index(text, "--force-share")
					if !strings.Contains(text, fmt.Sprint(pid)) || snap < 0 || force < snap {
						t.Errorf("the text is %q", text)
					}
				}
				shared, err := OpenFile(path, Options{Lock: ForceShare})
				if err != nil {
					t.Fatal(err)
				}
				shared.Close()
			})
		}
	}
}

func TestQEMUIsRefusedWhileWeHold(t *testing.T) {
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			path := makeImage(t, format)
			qemu := func(args ...string) (string, error) {
				out, err := exec.Command(tool(t, "qemu-io"), append(append([]string{"-f", format}, args...), path)...).CombinedOutput()
				return string(out), err
			}
			f := open(t, path, Options{})
			if out, err := qemu("-c", "write 0 4k"); !strings.Contains(out, "lock") {
				t.Errorf("we read and QEMU writes: %v %s", err, out)
			}
			if out, err := qemu("-r", "-c", "read 0 4k"); err != nil {
				t.Errorf("we read and QEMU may not read: %v %s", err, out)
			}
			other := open(t, path, Options{})
			other.Close()
			if _, err := OpenFile(path, Options{Writable: true}); !errors.Is(err, syscall.EBUSY) {
				t.Errorf("a writer beside our reader: %v", err)
			}
			f.Close()

			w := open(t, path, Options{Writable: true})
			if out, _ := qemu("-r", "-c", "read 0 4k"); format == "qcow2" && !strings.Contains(out, "lock") {
				t.Errorf("we write and QEMU reads: %s", out)
			}
			if out, _ := qemu("-c", "write 0 4k"); !strings.Contains(out, "lock") {
				t.Errorf("we write and QEMU writes: %s", out)
			}
			var use *InUseError
			if _, err := OpenFile(path, Options{}); !errors.As(err, &use) || use.PID != os.Getpid() || !use.Write {
				t.Errorf("a reader beside our writer: %v", err)
			}
			w.Close()
			if out, err := qemu("-c", "write 0 4k"); err != nil {
				t.Errorf("after Close: %v %s", err, out)
			}
		})
	}
}

func TestForeignExclusiveLockIsInUse(t *testing.T) {
	path := tempFile(t, make([]byte, 4096))
	h, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	l := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(h.Fd(), 37 /* F_OFD_SETLK */, &l); err != nil {
		t.Fatal(err)
	}
	var use *InUseError
	if _, err := OpenFile(path, Options{}); !errors.As(err, &use) || use.PID != os.Getpid() {
		t.Errorf("%v", err)
	}
}

func TestUnknownHolderSaysSo(t *testing.T) {
	e := &InUseError{Path: "/vm/a.qcow2", Write: true}
	if text := e.Error(); !strings.Contains(text, "unknown process") || !strings.HasPrefix(text, `"/vm/a.qcow2" is in use`) {
		t.Error(text)
	}
}

func TestHoldsLock(t *testing.T) {
	info := []byte("pos:\t0\nflags:\t0100002\nlock:\t1: OFDLCK ADVISORY  READ  -1 fe:00:123 100 101\n" +
		"lock:\t2: OFDLCK ADVISORY  READ -1 fe:00:123 300 EOF\nlock:\t3: garbage\n")
	for at, want := range map[int64]bool{99: false, 100: true, 101: true, 102: false, 300: true, 1 << 40: true} {
		if holdsLock(info, at) != want {
			t.Errorf("byte %d: %v", at, !want)
		}
	}
}

func TestNoLocksIsAWarning(t *testing.T) {
	for err, want := range map[error]bool{syscall.ENOLCK: true, syscall.EINVAL: true, syscall.EIO: false} {
		if noLocks(err) != want {
			t.Errorf("%v", err)
		}
	}
	// /proc has files but no locks on some kernels; either way the open works.
	var text strings.Builder
	f, err := OpenFile("/proc/self/cmdline", Options{Log: slog.New(slog.NewTextHandler(&text, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
