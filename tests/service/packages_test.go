package service

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// run runs a program to its end, and fails the test where it fails.
func run(t testing.TB, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &stderr)
	}
	return string(out)
}

// built are the packages that the tests share, gone with the last of them.
type built struct{ dir, sums string }

func TestMain(m *testing.M) {
	status := m.Run()
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
	os.Exit(status)
}

// shared is filled by the first test that needs it; tests run one by one.
var shared built

// packages builds the packages of this machine's processor, once.
func packages(t testing.TB) (dir, sums string) {
	t.Helper()
	if shared.dir == "" {
		dir, err := os.MkdirTemp("", "guestctl-packages-")
		if err != nil {
			t.Fatal(err)
		}
		shared = built{dir, build(t, dir)}
	}
	return shared.dir, shared.sums
}

// build builds them into dir, and answers their checksums.
func build(t testing.TB, dir string) string {
	t.Helper()
	images.NeedRoot(t)
	images.NeedTool(t, "git", "dpkg-deb")
	arch := strings.TrimSpace(run(t, "", nil, "dpkg", "--print-architecture"))
	return run(t, "../..", []string{"ARCHES=" + arch}, ".ci/package", dir)
}

// debian is a Debian system with systemd, in a folder of the test's own.
func debian(t testing.TB) string {
	t.Helper()
	images.NeedRoot(t)
	images.NeedTool(t, "debootstrap")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(cache, "guestctl", "systemd-root")
	if _, err := os.Stat(base); err != nil {
		if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
			t.Fatal(err)
		}
		making := base + ".making"
		if err := os.RemoveAll(making); err != nil {
			t.Fatal(err)
		}
		run(t, "", nil, "debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,curl,fuse3,procps", "bookworm", making, "http://deb.debian.org/debian")
		if err := os.Rename(making, base); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(t.TempDir(), "root")
	run(t, "", nil, "cp", "-a", base, root)
	return root
}

// deb is the one package whose name begins with name.
func deb(t testing.TB, dir, name, kind string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, name))
	if err != nil || len(list) != 1 {
		t.Fatalf("%s: %q, %v", kind, list, err)
	}
	return list[0]
}

// Twice the same commit is twice the same bytes.
func TestPackagesAreReproducible(t *testing.T) {
	images.NeedLong(t)
	_, first := packages(t)
	second := build(t, t.TempDir())
	if first != second || strings.Count(first, "\n") != 5 {
		t.Errorf("built once:\n%sand again:\n%s", first, second)
	}
}

// tree are the files of a root, but for what dpkg and ldconfig keep for
// themselves.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var list []string
	for line := range strings.Lines(run(t, root, nil, "find", ".", "-xdev", "-printf", "%P %y %m %U:%G %l\n")) {
		line = strings.TrimSuffix(line, "\n")
		if !slices.ContainsFunc([]string{"var/lib/dpkg/", "var/log/", "var/cache/", "etc/group", "etc/gshadow", "etc/.pwd.lock", "tmp "}, func(p string) bool { return strings.HasPrefix(line, p) }) {
			list = append(list, line)
		}
	}
	slices.Sort(list)
	return list
}

// Installed, upgraded, removed and purged, they leave nothing behind.
func TestPackagesInstall(t *testing.T) {
	images.NeedLong(t)
	dir, _ := packages(t)
	root := debian(t)
	in := func(args ...string) string { return run(t, "", nil, "chroot", append([]string{root}, args...)...) }
	before := tree(t, root)
	group := in("cat", "/etc/group")
	for _, name := range []string{"guestctl_*.deb", "guestctl-guestmount_*.deb"} {
		run(t, "", nil, "cp", deb(t, dir, name, "a .deb"), root+"/tmp/")
	}
	in("sh", "-c", "dpkg -i /tmp/guestctl*.deb")
	for _, args := range [][]string{{"guestctl", "--version"}, {"guestctld", "--version"}, {"guestctld", "--check-config"}, {"guestmount", "--version"}, {"guestunmount", "--version"},
		{"getent", "group", "guestctl"}, {"test", "-x", "/sbin/mount.guestmount"}} {
		in(args...)
	}
	if err := os.WriteFile(root+"/etc/guestctl/guestctld.toml", []byte("jobs = 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in("sh", "-c", "dpkg --force-confold -i /tmp/guestctl*.deb </dev/null") // an upgrade
	if text, _ := os.ReadFile(root + "/etc/guestctl/guestctld.toml"); string(text) != "jobs = 7\n" {
		t.Errorf("an upgrade makes the configuration %q", text)
	}
	in("guestctl", "demo", "/tmp/demo.img")
	if out := in("guestctl", "cat", "/tmp/demo.img:/etc/hostname"); out != "demo-guest\n" {
		t.Errorf("etc/hostname holds %q", out)
	}
	in("dpkg", "-r", "guestctl-guestmount", "guestctl")
	if _, err := os.Stat(root + "/etc/guestctl/guestctld.toml"); err != nil {
		t.Errorf("removing takes the configuration: %v", err)
	}
	in("dpkg", "-P", "guestctl-guestmount", "guestctl")
	in("sh", "-c", "rm -f /tmp/*")
	after := tree(t, root)
	for _, line := range after {
		if _, there := slices.BinarySearch(before, line); !there {
			t.Errorf("left behind: %s", line)
		}
	}
	for _, line := range before {
		if _, there := slices.BinarySearch(after, line); !there {
			t.Errorf("gone: %s", line)
		}
	}
	if now := in("cat", "/etc/group"); now != group {
		t.Errorf("groups are left:\n%s", now)
	}
}

// overrides are what lintian says and is right as it is.
var overrides = []string{
	"statically-linked-binary",                               // so that they run everywhere
	"bogus-mail-host", "bogus-mail-host-in-debian-changelog", // who builds a package for others sets the maintainer
	"copyright-without-copyright-notice", "unknown-field", // nfpm's
	"uses-dpkg-database-directly",       // they read the guests'
	"maintainer-script-calls-systemctl", // deb-systemd-helper is Debian's alone; the scripts are rpm's too
	"no-manual-page",                    // the links for mount(8)
}

func TestLintian(t *testing.T) {
	images.NeedLong(t)
	images.NeedTool(t, "lintian")
	dir, _ := packages(t)
	list, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("lintian", append([]string{"--allow-root", "--tag-display-limit", "0", "--profile", "debian"}, list...)...).CombinedOutput() // its status is that of its findings
	for line := range strings.Lines(string(out)) {
		if (strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "W: ")) && !slices.ContainsFunc(overrides, func(tag string) bool { return strings.Contains(line, ": "+tag) }) {
			t.Errorf("lintian: %s", line)
		}
	}
}
