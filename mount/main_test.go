package mount

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// childEnv makes the test binary do one thing in a process of its own: what a mount shows must be looked at from
// outside, and some tests need a mount of another user or one that dies.
const childEnv = "GUESTCTL_MOUNT_TEST_CHILD"

func TestMain(m *testing.M) {
	if op := os.Getenv(childEnv); op != "" {
		if err := child(op, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(op string, args []string) error {
	switch op {
	case "walk": // DIR: its manifest as JSON
		m, err := manifest.Walk(context.Background(), args[0], manifest.Options{})
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(m)
	case "read": // FILE...: each one's bytes, one after the other, by read(2)
		buf := make([]byte, 64<<10)
		for _, name := range args {
			fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
			if err != nil {
				return fmt.Errorf("open %s: %w", name, err)
			}
			for {
				n, err := unix.Read(fd, buf)
				if err != nil {
					return fmt.Errorf("read %s: %w", name, err)
				}
				if n == 0 {
					break
				}
				os.Stdout.Write(buf[:n])
			}
			unix.Close(fd)
		}
		return nil
	case "mount": // DIR [OPTIONS]: a sample, until stdin ends
		opt, unknown, err := ParseOptions(args[1:])
		if err != nil || len(unknown) > 0 {
			return fmt.Errorf("%v, unknown %q", err, unknown)
		}
		s, err := Mount(context.Background(), args[0], vfs.NewNamespace(vfs.NewTree("sda1", sample())), opt)
		if e := (*Error)(nil); errors.As(err, &e) {
			return fmt.Errorf("reason %d: %w", e.Reason, err)
		}
		if err != nil {
			return err
		}
		fmt.Println("ready")
		io.Copy(io.Discard, os.Stdin)
		return s.Unmount()
	}
	return fmt.Errorf("no operation %q", op)
}

// childCommand is the test binary as a child that does op.
func childCommand(t testing.TB, op string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+op)
	return cmd
}

// output runs a command and gives what it says.
func output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(cmd.Args, " "), err, errs.String())
	}
	return out.String()
}

// namespace shows file systems: the first at /, the others in its folders.
func namespace(t testing.TB, root vfs.FileSystem, at map[string]vfs.FileSystem) *vfs.Namespace {
	t.Helper()
	ns := vfs.NewNamespace(vfs.NewTree("sda1", root))
	for p, fs := range at {
		if err := ns.Attach(t.Context(), p, vfs.NewTree(p, fs)); err != nil {
			t.Fatal(err)
		}
	}
	return ns
}

// mounted mounts ns until the test ends.
func mounted(t testing.TB, ns *vfs.Namespace, opt Options) *Server {
	t.Helper()
	images.NeedFUSE(t)
	if opt.Log == nil {
		opt.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := Mount(t.Context(), t.TempDir(), ns, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmount(t, s) })
	return s
}

// unmount waits where a process in a mount namespace of its own, such as a recipe of tests/images that another test runs,
// has a copy of the mount for as long as it lives.
func unmount(t testing.TB, s *Server) {
	t.Helper()
	err := s.Unmount()
	var e *Error
	if errors.As(err, &e) && e.Reason == Held && s.gone(5*time.Minute) {
		err = nil
	}
	if err != nil {
		t.Errorf("unmount: %v", err)
		s.Detach()
	}
}

// pattern is n bytes that tell their file and position.
func pattern(seed string, n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%s:%d\n", seed, i)
	}
	return b.String()[:n]
}

// sample is a small tree with every kind of file.
func sample() *vfstest.Memory {
	m := vfstest.NewMemory()
	when := vfs.Time{Sec: 1_700_000_000, Nsec: 123_456_789}
	m.Add("/etc/hostname", vfstest.Spec{Mtime: when, Pieces: vfstest.Text("guest\n").Pieces})
	m.Add("/etc/shadow", vfstest.Spec{Mode: unix.S_IFREG, Pieces: vfstest.Text("secret\n").Pieces})
	m.Add("/etc/old", vfstest.Spec{Mtime: vfs.Time{Sec: -86400, Nsec: 1}, UID: 1000, GID: 1001, Pieces: vfstest.Text("x").Pieces})
	m.Add("/etc/future", vfstest.Spec{Mtime: vfs.Time{Sec: 1 << 33}})
	m.Add("/etc/empty", vfstest.Spec{})
	m.Add("/bin/run", vfstest.Spec{Mode: 0o755, Pieces: vfstest.Text("#!/bin/sh\n").Pieces})
	m.Link("/bin/run", "/bin/run2")
	m.Add("/link", vfstest.Symlink("etc/hostname"))
	m.Add("/absolute", vfstest.Symlink("/etc/hostname"))
	m.Add("/dangling", vfstest.Symlink("nowhere"))
	m.Add("/dev/null", vfstest.Spec{Mode: unix.S_IFCHR | 0o666, Rdev: 1<<8 | 3})
	m.Add("/dev/wide", vfstest.Spec{Mode: unix.S_IFBLK | 0o660, Rdev: 0x12345<<12&0xfff00000 | 0xabc<<8 | 0x45})
	m.Add("/dev/pipe", vfstest.Spec{Mode: unix.S_IFIFO | 0o600})
	m.Add("/dev/sock", vfstest.Spec{Mode: unix.S_IFSOCK | 0o600})
	m.Add("/holes", vfstest.Spec{Pieces: []vfstest.Piece{
		{Kind: vfs.Hole, Len: 1 << 20}, {Kind: vfs.Mapped, Data: pattern("holes", 70_000)}, {Kind: vfs.Hole, Len: 123_456},
		{Kind: vfs.Encoded, Data: pattern("encoded", 50_000)}, {Kind: vfs.Inline, Data: "inline"}, {Kind: vfs.Hole, Len: 5}}})
	m.Add("/big", vfstest.Text(pattern("big", 3<<20+17)))
	m.Add("/xattrs", vfstest.Spec{Xattrs: map[string]string{"user.a": "1", "user.long": pattern("long", 4000),
		"trusted.t": "t", "security.other": "cap", "user.empty": ""}})
	m.Add("/deep/"+strings.Repeat("d/", 100)+"bottom", vfstest.Text("bottom\n"))
	m.Add("/not\xffutf8", vfstest.Text("bytes\n"))
	m.Add("/"+strings.Repeat("n", 255), vfstest.Text("long\n"))
	return m
}
