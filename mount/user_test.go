package mount

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

func TestAccess(t *testing.T) {
	images.NeedRoot(t)
	s := mounted(t, namespace(t, sample(), nil), Options{})
	for name, want := range map[string]error{"bin/run": nil, "etc/hostname": unix.EACCES, "etc": nil} {
		if err := unix.Access(filepath.Join(s.Dir(), name), unix.X_OK); err != want {
			t.Errorf("execute %s: %v, want %v", name, err, want)
		}
	}
	if err := unix.Access(filepath.Join(s.Dir(), "etc/shadow"), unix.R_OK); err != nil {
		t.Errorf("read a file of mode 0000: %v", err)
	}
	if err := unix.Access(filepath.Join(s.Dir(), "etc/shadow"), unix.W_OK); err != unix.EROFS {
		t.Errorf("write: %v", err)
	}
}

func TestOwnerOverride(t *testing.T) {
	uid, gid := uint32(12), uint32(34)
	s := mounted(t, namespace(t, sample(), nil), Options{UID: &uid, GID: &gid})
	for _, name := range []string{"etc/old", "bin/run", "."} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(s.Dir(), name), &st); err != nil || st.Uid != uid || st.Gid != gid {
			t.Errorf("%s belongs to %d:%d, %v", name, st.Uid, st.Gid, err)
		}
	}
}

// TestOrdinaryUser mounts as uid 1000: everything can be read, 0000 included, and root is kept out.
func TestOrdinaryUser(t *testing.T) {
	images.NeedRoot(t)
	images.NeedFUSE(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := images.UserBinary(t, exe), images.UserDir(t)
	run := func(op string, args ...string) *exec.Cmd {
		cmd := images.AsUser(t, exec.Command(bin, args...))
		cmd.Env = append(cmd.Env, childEnv+"="+op)
		cmd.Dir = "/"
		return cmd
	}
	mnt := filepath.Join(dir, "mnt")
	if err := errors.Join(os.Mkdir(mnt, 0o755), os.Chown(mnt, images.Ordinary, images.Ordinary)); err != nil {
		t.Fatal(err)
	}
	stop := startChild(t, run("mount", mnt))
	if out := output(t, run("read", mnt+"/etc/shadow", mnt+"/etc/old")); out != "secret\nx" {
		t.Errorf("read %q", out)
	}
	if _, err := os.Stat(filepath.Join(mnt, "etc")); !errors.Is(err, unix.EACCES) {
		t.Errorf("root reaches a user's mount: %v", err)
	}
	stop()

	noHelper := run("mount", mnt)
	noHelper.Env = append(slices.DeleteFunc(noHelper.Env, func(s string) bool { return strings.HasPrefix(s, "PATH=") }), "PATH=/nonexistent")
	for name, c := range map[string]struct {
		cmd    *exec.Cmd
		reason Reason
	}{
		"without fusermount3":                  {noHelper, NoHelper},
		"allow_other without user_allow_other": {run("mount", mnt, "allow_other"), OtherDenied},
		"a directory of root":                  {run("mount", t.TempDir()), NoDir},
		"/opt":                                 {run("mount", emptyDir(t)), Denied},
		"a nonsense option":                    {run("mount", mnt, "context=nonsense"), BadOption},
	} {
		if name == "allow_other without user_allow_other" {
			if b, _ := os.ReadFile("/etc/fuse.conf"); slices.Contains(strings.Fields(string(b)), "user_allow_other") && !strings.Contains(string(b), "#user_allow_other") {
				continue
			}
		}
		out, err := c.cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), fmt.Sprintf("reason %d:", c.reason)) {
			t.Errorf("%s: want reason %d, %v: %s", name, c.reason, err, out)
		}
	}
}

// emptyDir is a folder of root's that everybody can see.
func emptyDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "guestctl-root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAllowOther lets others in, by the guest's own modes and ACLs.
func TestAllowOther(t *testing.T) {
	images.NeedRoot(t)
	images.NeedFUSE(t)
	fs := sample()
	// struct posix_acl_xattr_header and entries, linux/posix_acl_xattr.h: user::rw-, user:1000:r--, group::---, mask::r--, other::---.
	acl := "\x02\x00\x00\x00" +
		"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xe8\x03\x00\x00" + "\x04\x00\x00\x00\xff\xff\xff\xff" +
		"\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	fs.Add("/acl", vfstest.Spec{Mode: 0o640, Xattrs: map[string]string{"system.posix_acl_access": acl}, Pieces: vfstest.Text("for 1000\n").Pieces})
	fs.Add("/private", vfstest.Spec{Mode: 0o640, Pieces: vfstest.Text("for root\n").Pieces})
	dir := images.UserDir(t)
	mnt := filepath.Join(dir, "mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := Mount(t.Context(), mnt, namespace(t, fs, nil), Options{AllowOther: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Unmount()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := images.UserBinary(t, exe)
	read := func(name string) (string, error) {
		cmd := images.AsUser(t, exec.Command(bin, filepath.Join(mnt, name)))
		cmd.Env = append(cmd.Env, childEnv+"=read")
		cmd.Dir = "/"
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := read("etc/hostname"); out != "guest\n" || err != nil {
		t.Errorf("a file of mode 0644: %q, %v", out, err)
	}
	if out, err := read("acl"); out != "for 1000\n" || err != nil {
		t.Errorf("a file whose ACL names the user: %q, %v", out, err)
	}
	for _, name := range []string{"private", "etc/shadow"} {
		if out, err := read(name); err == nil || !strings.Contains(out, "permission denied") {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}
