package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// fails runs guestmount, which must fail with status 1 and one line that has each of the texts.
func fails(t *testing.T, cmd *exec.Cmd, texts ...string) {
	t.Helper()
	r := commands.Finish(t, cmd)
	if r.Status != 1 || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
	for _, want := range texts {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("%q lacks %q", r.Stderr, want)
		}
	}
}

func TestRemediesForTheMountPoint(t *testing.T) {
	images.NeedFUSE(t)
	both(t, func(t *testing.T, who commands.Who) {
		image := guest(t, who)
		dir := commands.Dir(t, who)
		mount := func(at string) *exec.Cmd { return commands.Command(t, who, "guestmount", image, at) }

		missing := filepath.Join(dir, "missing")
		fails(t, mount(missing), "guestmount: mount ", missing, "make it: mkdir -p "+missing)

		fails(t, mount(image), "the mount point is not a directory", "mkdir -p "+filepath.Join(filepath.Dir(image), "guest"))

		full := filepath.Join(dir, "full")
		if err := os.MkdirAll(full+"/something", 0o755); err != nil {
			t.Fatal(err)
		}
		fails(t, mount(full), "the mount point is not empty", "cover what it holds with -o nonempty")

		m, _ := commands.Start(t, who, image)
		fails(t, mount(m.Dir), "something is mounted there already", "guestunmount "+m.Dir)
	})
}

func TestCoverWithNonempty(t *testing.T) {
	images.NeedFUSE(t)
	dir := commands.Dir(t, commands.Self)
	if err := os.WriteFile(filepath.Join(dir, "covered"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	commands.Must(t, commands.Self, "guestmount", "-o", "nonempty", guest(t, commands.Self), dir)
	if _, err := os.Stat(dir + "/covered"); err == nil {
		t.Error("the mount does not cover the folder")
	}
	commands.Must(t, commands.Self, "guestunmount", dir)
	if _, err := os.Stat(dir + "/covered"); err != nil {
		t.Error(err)
	}
}

func TestRemediesForTheImage(t *testing.T) {
	images.NeedRoot(t)
	images.NeedFUSE(t)
	image := guest(t, commands.User)
	dir := commands.Dir(t, commands.User)
	mount := func(who commands.Who, args ...string) *exec.Cmd {
		return commands.Command(t, who, "guestmount", append(args, dir)...)
	}

	missing := filepath.Join(filepath.Dir(image), "missing.img")
	fails(t, mount(commands.User, missing), missing, "no such file or directory", "a path on this host")

	// Not readable: whose it is, its mode, and the command that allows it.
	if err := os.Chown(image, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(image, 0o640); err != nil {
		t.Fatal(err)
	}
	fails(t, mount(commands.User, image), "is not readable", "it belongs to root:root with mode -rw-r-----", "its owner or root can allow it: setfacl -m u:", ":r "+image)
	// The command works.
	images.NeedTool(t, "setfacl")
	commands.Must(t, commands.Self, "setfacl", "-m", "u:1000:r", image)
	commands.Must(t, commands.User, "guestmount", image, dir)
	commands.Must(t, commands.User, "guestunmount", dir)

	cut := filepath.Join(dir+"-cut", "cut.img")
	if err := os.MkdirAll(filepath.Dir(cut), 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(filepath.Dir(cut))
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, b[:20<<20], 0o644); err != nil {
		t.Fatal(err)
	}
	// What is there of it is shown, with a warning; where that is nothing, the error says why.
	r := commands.Finish(t, mount(commands.Self, cut))
	if r.Status != 0 || !strings.Contains(r.Stderr, "warning: disk sda: partition sda1") || !strings.Contains(r.Stderr, "the image is truncated") {
		t.Errorf("truncated image: %+v", r)
	}
	commands.Must(t, commands.Self, "guestunmount", dir)
	if err := os.Truncate(cut, 1<<20+2048); err != nil {
		t.Fatal(err)
	}
	fails(t, mount(commands.Self, "-i", cut), "no operating system was found", "sda1 (ext4)", "the image is truncated", "--partitions")
	fails(t, mount(commands.Self, "--ro", "-a", cut, "-m", "sda1"), "sda1 (ext4)", "ext4 group descriptors at byte", "the image is truncated")

	// Nothing at all: an error, not an empty folder, and what to do who wants the bytes.
	program := commands.Bin(t, "guestmount")
	fails(t, mount(commands.Self, program), "there is no filesystem to mount in "+program, "sda: nothing is recognised on it", "--partitions", dir+"/.guest")
	commands.Must(t, commands.Self, "guestmount", "--partitions", program, dir)
	commands.Must(t, commands.Self, "cmp", program, dir+"/.guest/volumes/sda")
	commands.Must(t, commands.Self, "guestunmount", dir)

	// No operating system, and two of them, where exactly one is asked for.
	fails(t, mount(commands.Self, "-i", "--format=raw", "--ro", "-a", commands.Bin(t, "guestmount")), "no operating system was found", "--partitions")
	fails(t, mount(commands.Self, "-i", "--ro", "-a", image, "-a", image), "more than one operating system was found", "sda1", "sdb1", "--partitions")

	// What is recognised but not read is named.
	fat := filepath.Join(filepath.Dir(cut), "fat.img")
	images.NeedTool(t, "mke2fs", "qemu-img")
	commands.Must(t, commands.Self, "qemu-img", "create", "-q", "-f", "qcow", fat, "8M")
	fails(t, mount(commands.Self, "--ro", "-a", fat, "-m", "sda1"), `version 1 (qcow) is not supported`, "qemu-img convert")
	enc := filepath.Join(filepath.Dir(cut), "features.img")
	commands.Must(t, commands.Self, "mke2fs", "-q", "-t", "ext4", "-O", "journal_dev", enc, "8M")
	fails(t, mount(commands.Self, "--ro", "-a", enc, "-m", "sda"), "journal")
	fails(t, mount(commands.Self, "--ro", "-a", image, "-m", "sda9"), "sda9", "sda1", "sda2")
	fails(t, mount(commands.Self, "--ro", "-a", image, "-m", "sda2:/nowhere", "-m", "sda1"), "/nowhere")
	fails(t, mount(commands.Self, "--ro", "-a", image, "-m", "sda2:/boot"), "/")
	fails(t, mount(commands.Self, "--ro", "--snapshot", "before", "-a", image), "before")
}

// An image that a VM writes is refused with who, the snapshot way round and, last, --force-share.
func TestImageInUse(t *testing.T) {
	images.NeedTool(t, "qemu-io")
	images.NeedFUSE(t)
	image := guest(t, commands.Self)
	dir := commands.Dir(t, commands.Self)
	vm := commands.Command(t, commands.Self, "qemu-io", "-f", "raw", image)
	in, err := vm.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := vm.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		r := commands.Run(t, commands.Self, "guestmount", image, dir)
		if r.Status == 0 {
			commands.Must(t, commands.Self, "guestunmount", dir)
		}
		return r.Status != 0
	})
	fails(t, commands.Command(t, commands.Self, "guestmount", image, dir), "is in use", `"qemu-io"`, "virsh snapshot-create-as", "--force-share")
	m, _ := commands.Start(t, commands.Self, "--force-share", image)
	m.End(t)
	in.Close()
	if err := vm.Wait(); err != nil {
		t.Fatal(err)
	}
	// And while we hold it QEMU is refused, until guestunmount has come back.
	m, _ = commands.Start(t, commands.Self, image)
	if r := commands.Run(t, commands.Self, "qemu-io", "-f", "raw", "-c", "write 0 512", image); !strings.Contains(r.Stderr, "Failed to get") {
		t.Errorf("qemu-io: %+v", r)
	}
	m.End(t)
	if r := commands.Run(t, commands.Self, "qemu-io", "-f", "raw", "-c", "read 0 512", image); r.Status != 0 {
		t.Errorf("qemu-io after guestunmount: %+v", r)
	}
}

// isolated runs guestmount as the ordinary user in a mount namespace of its own, after a shell command of root's.
func isolated(t *testing.T, setup, image, dir string, options ...string) *exec.Cmd {
	t.Helper()
	images.NeedRoot(t)
	images.NeedTool(t, "unshare", "setpriv")
	script := setup + ` && exec setpriv --reuid=1000 --regid=1000 --clear-groups -- "$@"`
	cmd := commands.Command(t, commands.Self, "unshare", append([]string{"--mount", "--propagation=private", "sh", "-c", script, "sh",
		commands.Bin(t, "guestmount"), image, dir}, options...)...)
	return cmd
}

func TestRemediesForTheHost(t *testing.T) {
	images.NeedFUSE(t)
	image := guest(t, commands.User)
	dir := commands.Dir(t, commands.User)
	without := []string{"`guestctl ls " + image + ":/`", "`guestctl cp ", "`guestctl tar "}

	// No /dev/fuse: an empty /dev covers it.
	fails(t, isolated(t, "mount -t tmpfs -o mode=755 none /dev && mknod -m 666 /dev/null c 1 3", image, dir),
		append(without, "there is no /dev/fuse", "modprobe fuse", "--device /dev/fuse")...)
	// No fusermount3.
	empty := commands.Dir(t, commands.User)
	cmd := commands.Command(t, commands.User, "guestmount", image, dir)
	cmd.Env = append(cmd.Env, "PATH="+empty)
	fails(t, cmd, append(without, "the program fusermount3 is not installed", "apt install fuse3")...)

	// allow_other, and fuse.conf does not let users.
	r := commands.Finish(t, isolated(t, "mount --bind /dev/null /etc/fuse.conf", image, dir, "-o", "allow_other"))
	if r.Status != 1 || !strings.Contains(r.Stderr, "user_allow_other in /etc/fuse.conf") || !strings.Contains(r.Stderr, "root can add that line") {
		t.Errorf("allow_other: %+v", r)
	}

	// A folder that is somebody else's.
	if os.Geteuid() == 0 {
		others := commands.Dir(t, commands.Self)
		if err := os.Chmod(others, 0o755); err != nil {
			t.Fatal(err)
		}
		fails(t, commands.Command(t, commands.User, "guestmount", image, others), "mount on folders of its own only", "mkdir -p ~/guest")
	}
}

// Whatever root mounts without allow_other no user reaches; with it he does, as far as the guest's modes let him.
func TestAllowOther(t *testing.T) {
	images.NeedRoot(t)
	image := guest(t, commands.Self)
	open := func(m *commands.Mount) {
		t.Helper()
		if err := os.Chmod(filepath.Dir(m.Dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m, _ := commands.Start(t, commands.Self, image)
	open(m)
	if r := commands.Run(t, commands.User, "ls", m.Dir+"/etc"); r.Status == 0 || !strings.Contains(r.Stderr, "Permission denied") {
		t.Errorf("without allow_other: %+v", r)
	}
	m.End(t)
	m, _ = commands.Start(t, commands.Self, "-o", "allow_other", image)
	open(m)
	if got := commands.Must(t, commands.User, "cat", m.Dir+"/etc/hostname"); got != "demo-guest\n" {
		t.Errorf("with allow_other: %q", got)
	}
	// alice is 1000, as the ordinary user is; shadow is root's.
	commands.Must(t, commands.User, "cat", m.Dir+"/home/alice/.ssh/authorized_keys")
	if r := commands.Run(t, commands.User, "cat", m.Dir+"/etc/shadow"); r.Status == 0 || !strings.Contains(r.Stderr, "Permission denied") {
		t.Errorf("the guest's modes do not hold: %+v", r)
	}
}
