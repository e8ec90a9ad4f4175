package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// oddImage is an ext4 image with what a listing can meet: every type, names and
// targets that are no text, attributes, empty and hidden folders, a name whose
// inode is damaged.
func oddImage(t testing.TB) string {
	t.Helper()
	images.NeedTool(t, "mke2fs", "debugfs", "setfattr")
	tree := t.TempDir()
	at := func(name string) string { return filepath.Join(tree, name) }
	for _, dir := range []string{"a/b/c", "a/empty", "a/.hid/den", "z", "etc", "bin"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"a/one": "one\ntwo\nthree\n", "a/b/binary": "two\x00\x01two\n", "a/b/c/latin": "caf\xe9 two\nlast line", "a/\xff\xfe": "two\n",
		"a/line\nbreak": "", "broken": "two\n", "z/large": strings.Repeat("0123456789abcde\n", 1<<17), "etc/hostname": "odd\n", "etc/os-release": "PRETTY_NAME=Odd\n", "etc/fstab": "", "bin/sh": "", ".hidden": "two\n"} {
		if err := os.WriteFile(at(name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"a/link": "one", "a/dir": "b", "a/nowhere": "/nope", "a/raw": "\xfe\xff", "up": "../../../../etc/hostname"} {
		if err := os.Symlink(target, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]uint32{"z/fifo": unix.S_IFIFO | 0o600, "z/char": unix.S_IFCHR | 0o660, "z/block": unix.S_IFBLK | 0o1777} {
		if err := unix.Mknod(at(name), mode, int(unix.Mkdev(259, 70000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(at("a/one"), at("z/hard")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("setfattr", "-n", "user.note", "-v", "0sAP8=", at("a/one")).CombinedOutput(); err != nil {
		t.Fatalf("setfattr: %v: %s", err, out)
	}
	path := filepath.Join(commands.Dir(t, commands.Self), "odd image.img")
	for _, cmd := range [][]string{{"mke2fs", "-q", "-t", "ext4", "-d", tree, path, "16M"}, {"debugfs", "-w", "-R", "clri /broken", path}} {
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", cmd, err, out)
		}
	}
	return path
}

// changedImage is a qcow2 of the odd image, with the state of the odd image as the snapshot "before" and one word of
// /a/one in capitals since.
func changedImage(t testing.TB, odd string) string {
	t.Helper()
	images.NeedTool(t, "qemu-img", "qemu-io")
	dir := commands.Dir(t, commands.Self)
	path, changed := filepath.Join(dir, "changed.qcow2"), filepath.Join(dir, "changed.raw")
	b, err := os.ReadFile(odd)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(changed, bytes.ReplaceAll(b, []byte("one\ntwo\nthree\n"), []byte("ONE\ntwo\nthree\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	commands.Must(t, commands.Self, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", odd, path)
	commands.Must(t, commands.Self, "qemu-img", "snapshot", "-c", "before", path)
	commands.Must(t, commands.Self, "qemu-io", "-c", "write -s "+changed+" 0 16M", path)
	return path
}

// Every command that can read through a daemon prints the same, on both
// outputs and byte for byte, and ends with the same status.
func TestServiceRoutes(t *testing.T) {
	images.NeedRoot(t) // for devices in the image
	images.NeedTool(t, "curl")
	s := serve(t, commands.Self, nil)
	odd, demo := oddImage(t), guest(t, commands.Self)
	changed, nothing := changedImage(t, odd), commands.Bin(t, "guestctl")
	dir := filepath.Dir(odd)
	// Attached, they are opened once; sda:/ and sda2:/ are others, attached for each command.
	for _, image := range []string{odd, demo, changed} {
		if status, body := s.curl(t, commands.Command(t, commands.Self, "curl", curlArgs(s.socket, "POST", "/v1/images", `{"images":[{"path":"`+image+`"}]}`)...)); status != 200 {
			t.Fatalf("attach: %d %s", status, body)
		}
	}
	lines := [][]string{
		{"filesystems", odd}, {"filesystems", "--json", odd, demo}, {"filesystems", "--json", "odd image.img"}, {"filesystems", "nope.img"},
		{"ls", odd}, {"ls", "-l", odd + ":/a"}, {"ls", "-laR", odd}, {"ls", "-lhR", odd + ":/z"}, {"ls", "-R", odd + ":/a", demo + ":/etc"}, {"ls", "-d", odd + ":/a"},
		{"ls", odd + ":/a/link"}, {"ls", "-l", odd + ":/a/dir"}, {"ls", odd + ":/a/nowhere"}, {"ls", odd + ":/a/empty"}, {"ls", odd + ":/nope", odd + ":/z"},
		{"ls", "--json", "-R", "-a", odd}, {"ls", "--json", odd + ":/a"}, {"ls", odd + ":sda:/a"}, {"ls", "--json", demo + ":sda2:/"}, {"ls", demo + ":sda9:/"},
		{"stat", odd + ":/a/one"}, {"stat", "--json", odd + ":/a/one", odd + ":/z/char", odd + ":/a/raw", odd + ":/up"}, {"stat", "-L", "--json", odd + ":/up"},
		{"stat", odd + ":/broken"}, {"stat", "--json", odd + ":/a/\xff\xfe"}, {"stat", odd + ":/a/one/x"}, {"stat", odd + ":/z/block"},
		{"find", odd}, {"find", "--json", odd}, {"find", "-name", "*e*", "-type", "f,l", odd + ":/a"}, {"find", "-size", "+1k", "-maxdepth", "2", odd},
		{"find", "-iname", "LAT*", "-path", "/a/*", "-mindepth", "1", odd}, {"find", "--print0", odd + ":/a", demo + ":/etc"}, {"find", "-mtime", "-1", odd + ":/a"},
		{"find", "-size", "x", odd},
		{"cat", odd + ":/a/one", odd + ":/z/large", odd + ":/up"}, {"cat", odd + ":/a"}, {"cat", odd + ":/z/fifo"}, {"cat", odd + ":/nope"}, {"cat", odd + ":/broken"},
		{"tar", odd}, {"tar", "--no-xattrs", "--no-sparse", odd + ":/a"}, {"tar", odd + ":/nope"}, {"tar", demo},
		{"checksum", "-r", odd}, {"checksum", "-r", "--json", odd + ":/a"}, {"checksum", "-t", "md5", odd + ":/a/one", odd + ":/a"}, {"checksum", "-t", "none", odd},
		{"grep", "two", odd + ":/a/one"}, {"grep", "-rn", "two", odd + ":/a"}, {"grep", "-r", "--json", "two", odd}, {"grep", "-rc", "two", odd + ":/a"},
		{"grep", "-rc", "--json", "two", odd + ":/a"}, {"grep", "-rl", "two", odd + ":/a"}, {"grep", "-rL", "two", odd + ":/a"}, {"grep", "-rlZ", "two", odd + ":/a"},
		{"grep", "-rl", "--json", "two", odd + ":/a"}, {"grep", "-rL", "--json", "two", odd + ":/a"}, {"grep", "-rq", "two", odd + ":/a"}, {"grep", "-q", "four", odd + ":/a/one"}, {"grep", "-rq", "two", odd + ":sda:/"},
		{"grep", "-rvi", "-e", "TWO", "-e", "one", odd + ":/a"}, {"grep", "-rw", "--include", "o*", "two", odd}, {"grep", "-ra", "-m", "1", "two", odd + ":/a"},
		{"cat", changed + ":/a/one"}, {"cat", changed + "@before:/a/one"}, {"cat", "--snapshot", "before", changed + ":/a/one"}, {"cat", changed + "@before:/a/one", changed + ":/a/one"},
		{"cat", changed + "@none:/a/one"}, {"ls", nothing},
		{"grep", "-rsI", "two", odd}, {"grep", "-F", "(", odd + ":/a/one"}, {"grep", "(", odd + ":/a/one"}, {"grep", "two", odd + ":/a"}, {"grep", "-rx", "two", odd + ":/a", demo + ":/etc"},
	}
	records := 0
	for _, line := range lines {
		run := func(args ...string) commands.Result {
			cmd := commands.Command(t, commands.Self, "guestctl", append(line[:len(line):len(line)], args...)...)
			cmd.Dir = dir
			return commands.Finish(t, cmd)
		}
		here, there := run(), run("--socket", s.socket)
		if here.Stdout != there.Stdout || here.Stderr != there.Stderr || here.Status != there.Status {
			t.Errorf("guestctl %q:\nhere:  %d %.900q\n       %.400q\nthere: %d %.900q\n       %.400q", line, here.Status, here.Stdout, here.Stderr, there.Status, there.Stdout, there.Stderr)
		}
		if strings.Contains(line[1], "@before") && !strings.HasPrefix(there.Stdout, "one\n") {
			t.Errorf("guestctl %q reads another state: %q", line, there.Stdout)
		}
		records += strings.Count(there.Stdout, `{"schema":`)
	}
	if records < 100 {
		t.Errorf("only %d records were compared", records)
	}
	if list := s.images(t); len(list) != 3 {
		t.Errorf("left attached: %+v", list)
	}
}

// Without --socket a command goes through the usual daemon where it has the
// image, else it does not: also where the daemon does not answer.
func TestServiceIsFound(t *testing.T) {
	images.NeedTool(t, "curl")
	s := serve(t, commands.Self, nil)
	image := guest(t, commands.Self)
	requests := func() int {
		out := commands.Must(t, commands.Self, "curl", "-sS", "--unix-socket", s.socket, "http://guestctl/v1/metrics")
		return strings.Count(out, `operation="read",result="ok"} 1`)
	}
	cat := func() {
		t.Helper()
		cmd := commands.Command(t, commands.Self, "guestctl", "cat", image+":/etc/hostname")
		cmd.Env = append(cmd.Env, "GUESTCTL_SOCKET="+s.socket)
		if r := commands.Finish(t, cmd); r.Status != 0 || r.Stdout != "demo-guest\n" || r.Stderr != "" {
			t.Errorf("cat: %+v", r)
		}
	}
	if cat(); requests() != 0 {
		t.Error("an image that the daemon does not have was read through it")
	}
	if status, body := s.curl(t, commands.Command(t, commands.Self, "curl", curlArgs(s.socket, "POST", "/v1/images", `{"images":[{"path":"`+image+`"}]}`)...)); status != 200 {
		t.Fatalf("attach: %d %s", status, body)
	}
	if cat(); requests() != 1 {
		t.Error("an image that the daemon has was not read through it")
	}
	// What a daemon cannot do is done here, and said where one was asked for.
	refused := commands.Run(t, commands.Self, "guestctl", "cat", "--socket", s.socket, "--partial", image+":/etc/hostname")
	if refused.Status != 2 || !strings.Contains(refused.Stderr, "--partial: a daemon takes no keys") {
		t.Errorf("--partial through a daemon: %+v", refused)
	}
	s.stop(t)
	cat()
}
