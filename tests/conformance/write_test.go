package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// rootOffset is where the root filesystem of a demo guest lies, in e2fsck's words.
const rootOffset = "?offset=1048576"

// clean has e2fsck find nothing in the demo guest's root, not even that it was in use.
func clean(t *testing.T, image string) {
	t.Helper()
	if out, err := exec.Command("e2fsck", "-fn", image+rootOffset).CombinedOutput(); err != nil || strings.Contains(string(out), "recover") {
		t.Errorf("e2fsck -fn: %v: %s", err, out)
	}
	if out, err := exec.Command("dumpe2fs", "-h", image+rootOffset).CombinedOutput(); err != nil || strings.Contains(string(out), "needs_recovery") {
		t.Errorf("dumpe2fs: %v: %s", err, out)
	}
}

// -a without --ro is read-write, and when guestunmount has come back all is in the image.
func TestWrite(t *testing.T) {
	images.NeedTool(t, "e2fsck", "dumpe2fs")
	both(t, func(t *testing.T, who commands.Who) {
		image := guest(t, who)
		for _, args := range [][]string{{"-a", image}, {"--rw", image}, {"-w", "-a", image, "-i"}, {"-o", "rw,noxattr", "-a", image, "-m", "sda1"}} {
			m, r := commands.Start(t, who, args...)
			if r.Stderr != "" {
				t.Errorf("%v says %q", args, r.Stderr)
			}
			commands.Must(t, who, "bash", "-ec", `cd "$1"; mkdir -p etc/new; echo text > etc/new/f; cp -r usr etc/new; ln -s f etc/new/l; ln etc/new/f etc/new/h
				mv etc/new etc/was; rm -r etc/was/usr; echo more >> etc/was/f; chmod 600 etc/was/f; truncate -s 4 etc/was/f; sync etc/was/f`, "bash", m.Dir)
			if got := commands.Must(t, who, "stat", "-c", "%a %h %s %u:%g", m.Dir+"/etc/was/f"); got != "600 2 4 0:0\n" {
				t.Errorf("stat: %q", got)
			}
			commands.Must(t, who, "guestunmount", m.Dir)
			m.Forget()
			clean(t, image)
			if got := commands.Must(t, who, "guestctl", "cat", image+":/etc/was/l"); got != "text" {
				t.Errorf("in the image: %q", got)
			}
			m, _ = commands.Start(t, who, args...)
			commands.Must(t, who, "rm", "-r", m.Dir+"/etc/was")
			m.End(t)
		}
		m, _ := commands.Start(t, who, image)
		if r := commands.Run(t, who, "touch", m.Dir+"/etc/new"); r.Status == 0 {
			t.Error("the short form is not read-only")
		}
	})
}

// A signal ends a mount that is written as well as guestunmount does.
func TestSignalAfterWriting(t *testing.T) {
	images.NeedTool(t, "e2fsck", "dumpe2fs")
	image := guest(t, commands.Self)
	m, _ := commands.Start(t, commands.Self, "-a", image)
	commands.Must(t, commands.Self, "cp", "-a", m.Dir+"/usr", m.Dir+"/srv/usr")
	if err := syscall.Kill(m.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	commands.Gone(t, m.PID)
	m.Forget()
	clean(t, image)
	commands.Must(t, commands.Self, "guestctl", "ls", image+":/srv/usr")
}

// What cannot be written is said in one line, and mounted read-only; where --rw asks for it, that fails, and says what to
// do.
func TestNotWritable(t *testing.T) {
	images.NeedFUSE(t)
	images.NeedTool(t, "qemu-img", "mkfs.fat", "mke2fs")
	image := guest(t, commands.Self)
	dir := commands.Dir(t, commands.Self)
	vmdk, fat, ext2 := image+".vmdk", image+".fat", image+".ext2"
	commands.Must(t, commands.Self, "qemu-img", "convert", "-O", "vmdk", image, vmdk)
	qcow2 := image + ".qcow2"
	commands.Must(t, commands.Self, "qemu-img", "convert", "-O", "qcow2", image, qcow2)
	commands.Must(t, commands.Self, "qemu-img", "snapshot", "-c", "before", qcow2)
	for _, name := range []string{fat, ext2} {
		if err := os.WriteFile(name, make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commands.Must(t, commands.Self, "mkfs.fat", fat)
	commands.Must(t, commands.Self, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "bigalloc,quota", ext2)
	for _, c := range []struct {
		args      []string
		why, help string
	}{
		{[]string{"-a", vmdk}, `image "` + vmdk + `" cannot be written: `, "qemu-img convert -O qcow2 " + vmdk + " copy.qcow2"},
		{[]string{"-a", fat, "-m", "sda"}, "sda (vfat) on / cannot be written: ", "-m /dev/sda:/:ro"},
		{[]string{"-a", image, "-a", fat, "-m", "sda1", "-m", "sdb:/mnt"}, "sdb (vfat) on /mnt cannot be written: ", "-m /dev/sdb:/mnt:ro"},
		{[]string{"-a", ext2, "-m", "sda"}, "sda (ext4) on / cannot be written: ", "-m /dev/sda:/:ro"},
		{[]string{"--snapshot", "before", "-a", qcow2}, `snapshot "before" of image "` + qcow2 + `" cannot be written: `, "leave --snapshot out"},
		{[]string{"-a", image, "--norecovery"}, "what is shown without its journal cannot be written", "--norecovery"},
		{[]string{"-a", image, "--force-share"}, `image "` + image + `" cannot be written: `, "--ro"},
		{[]string{"-a", image, "-m", "sda1", "-m", "sda1:/mnt"}, "sda1 (ext4) on /mnt cannot be written: it is shown in two places", "-m"},
	} {
		m, r := commands.Start(t, commands.Self, c.args...)
		if strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, "mounting read-only: "+c.why) {
			t.Errorf("%v says %q", c.args, r.Stderr)
		}
		if r := commands.Run(t, commands.Self, "touch", m.Dir+"/new"); !strings.Contains(r.Stderr, "Read-only") {
			t.Errorf("%v: touch: %+v", c.args, r)
		}
		m.End(t)
		fails(t, commands.Command(t, commands.Self, "guestmount", append([]string{"--rw", dir}, c.args...)...), c.why, c.help)
	}
	// The remedy for one filesystem of several works: the others are written.
	m, r := commands.Start(t, commands.Self, "--rw", "-a", image, "-a", fat, "-m", "sda1", "-m", "sdb:/mnt:ro")
	if r.Stderr != "" {
		t.Errorf("-m with ro says %q", r.Stderr)
	}
	commands.Must(t, commands.Self, "touch", m.Dir+"/new")
	for _, what := range [][]string{{"touch", m.Dir + "/mnt/new"}, {"mkdir", m.Dir + "/mnt/d"}, {"rmdir", m.Dir + "/mnt"}, {"mv", m.Dir + "/new", m.Dir + "/.guest"}} {
		if r := commands.Run(t, commands.Self, what[0], what[1:]...); r.Status == 0 {
			t.Errorf("%v succeeds", what)
		}
	}
	m.End(t)
}

// An image that this user may not write is mounted read-only, and --rw says who can allow it.
func TestImageNotWritable(t *testing.T) {
	images.NeedRoot(t)
	images.NeedFUSE(t)
	images.NeedTool(t, "setfacl")
	image := guest(t, commands.User)
	dir := commands.Dir(t, commands.User)
	if err := os.Chown(image, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(image, 0o644); err != nil {
		t.Fatal(err)
	}
	m, r := commands.Start(t, commands.User, "-a", image)
	if !strings.Contains(r.Stderr, `mounting read-only: image "`+image+`" cannot be written: permission denied`) {
		t.Errorf("-a says %q", r.Stderr)
	}
	m.End(t)
	fails(t, commands.Command(t, commands.User, "guestmount", "--rw", image, dir), "permission denied", "setfacl -m u:", ":rw "+image)
	commands.Must(t, commands.Self, "setfacl", "-m", "u:1000:rw", image)
	m, _ = commands.Start(t, commands.User, "--rw", "-a", image)
	commands.Must(t, commands.User, "touch", m.Dir+"/new")
	m.End(t)
}

// A block device is written, but not under the host's own mount.
func TestWriteDevice(t *testing.T) {
	images.NeedRoot(t)
	images.NeedFUSE(t)
	images.NeedTool(t, "losetup", "mount", "e2fsck", "mke2fs")
	image := filepath.Join(commands.Dir(t, commands.Self), "disk.img")
	if err := os.WriteFile(image, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	commands.Must(t, commands.Self, "mke2fs", "-q", "-F", "-t", "ext4", image)
	device := strings.TrimSpace(commands.Must(t, commands.Self, "losetup", "--find", "--show", image))
	defer commands.Must(t, commands.Self, "losetup", "--detach", device)
	dir := commands.Dir(t, commands.Self)
	commands.Must(t, commands.Self, "mount", device, dir)
	fails(t, commands.Command(t, commands.Self, "guestmount", "--rw", "-a", device, "-m", "sda", commands.Dir(t, commands.Self)), "this host uses the device", "unmount it first")
	commands.Must(t, commands.Self, "umount", dir)
	m, r := commands.Start(t, commands.Self, "-a", device, "-m", "sda")
	if r.Stderr != "" {
		t.Errorf("says %q", r.Stderr)
	}
	commands.Must(t, commands.Self, "cp", "/bin/sh", m.Dir+"/sh")
	m.End(t)
	commands.Must(t, commands.Self, "mount", device, dir)
	defer commands.Must(t, commands.Self, "umount", dir)
	commands.Must(t, commands.Self, "cmp", "/bin/sh", dir+"/sh")
}

// qcow2 images are written through the same mount.
func TestWriteQcow2(t *testing.T) {
	images.NeedTool(t, "qemu-img", "e2fsck", "dumpe2fs")
	image := guest(t, commands.Self)
	qcow2 := filepath.Join(filepath.Dir(image), "demo.qcow2")
	commands.Must(t, commands.Self, "qemu-img", "convert", "-O", "qcow2", image, qcow2)
	m, r := commands.Start(t, commands.Self, "-a", qcow2)
	if r.Stderr != "" {
		t.Errorf("says %q", r.Stderr)
	}
	commands.Must(t, commands.Self, "bash", "-ec", `cd "$1"; cp -a usr srv/usr; head -c 5000000 /dev/urandom > srv/random; sha256sum srv/random > "$2"; rm -r var`, "bash", m.Dir, image+".sum")
	m.End(t)
	commands.Must(t, commands.Self, "qemu-img", "check", "-q", qcow2)
	commands.Must(t, commands.Self, "qemu-img", "convert", "-O", "raw", qcow2, image)
	clean(t, image)
	m, _ = commands.Start(t, commands.Self, image)
	commands.Must(t, commands.Self, "bash", "-ec", `cd "$1"; sha256sum -c --quiet "$2"`, "bash", m.Dir, image+".sum")
}
