package images

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Lack ends the test that cannot run here: it is skipped with the reason, or fails where CI=true, since there nothing
// may be missing.
func Lack(t testing.TB, format string, args ...any) {
	t.Helper()
	reason := fmt.Sprintf(format, args...)
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true, so this test may not be skipped: %s", reason)
	}
	t.Skip(reason)
}

// NeedRoot lacks root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lack(t, "needs root")
	}
}

// NeedTool lacks any of the named programs. `make test`, run as root on a Debian-like system, installs them all.
func NeedTool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Lack(t, "needs the program %s, which `make test` as root installs", name)
		}
	}
}

// NeedLong skips a test which is too long for `make test`; `make test-long` sets GUESTCTL_LONG=1.
func NeedLong(t testing.TB) {
	t.Helper()
	if os.Getenv("GUESTCTL_LONG") == "" {
		t.Skip("long: run by `make test-long`, or with GUESTCTL_LONG=1")
	}
}

// NeedFUSE lacks a usable /dev/fuse. As root it gives the device the mode 0666 that every distribution's udev rules
// give it (systemd's 50-udev-default.rules), because a container or a bare virtual machine without udev leaves it at
// 0600; ordinary users could mount nothing otherwise.
func NeedFUSE(t testing.TB) {
	t.Helper()
	NeedTool(t, "fusermount3")
	st, err := os.Stat("/dev/fuse")
	if err != nil {
		Lack(t, "needs /dev/fuse: %v", err)
	}
	if st.Mode().Perm() != 0o666 && os.Geteuid() == 0 {
		if err := os.Chmod("/dev/fuse", 0o666); err != nil {
			Lack(t, "cannot open /dev/fuse to ordinary users: %v", err)
		}
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		Lack(t, "needs /dev/fuse: %v", err)
	}
	f.Close()
}
