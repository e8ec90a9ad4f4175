package images

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Ordinary is the uid and gid of the ordinary user that a test run by root acts as. Nothing needs to stand in
// /etc/passwd for it.
const Ordinary = 1000

// AsUser makes cmd run as the ordinary user, with a home of its own and none of root's environment. Started by an
// ordinary user it runs as that user.
func AsUser(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		return cmd
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Ordinary, Gid: Ordinary}}
	home := UserDir(t)
	cmd.Env = append(cmd.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME="+home, "USER=guestctl-test", "XDG_RUNTIME_DIR="+home, "LC_ALL=C")
	return cmd
}

// UserDir is a new folder that the ordinary user owns and reaches; it is gone after the test.
func UserDir(t testing.TB) string {
	t.Helper()
	// t.TempDir stands below a folder of mode 0700, which another user cannot pass.
	dir, err := os.MkdirTemp("", "guestctl-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the user's folder: %v", err)
		}
	})
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, Ordinary, Ordinary); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// UserBinary copies a program to where the ordinary user can run it: a checkout below /root is out of his reach.
func UserBinary(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(UserDir(t), filepath.Base(path))
	if err := os.WriteFile(dst, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return dst
}
