package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
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

// packagedImage is an image of a Debian with two packages of dpkg and one of Python.
func packagedImage(t testing.TB, dir string) string {
	t.Helper()
	tree := t.TempDir()
	for name, text := range map[string]string{"etc/os-release": "ID=debian\nVERSION_ID=12\nPRETTY_NAME=Packaged\n", "etc/debian_version": "12.0\n", "etc/fstab": "", "bin/sh": "",
		"var/lib/dpkg/status": "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1\nDescription: shell\n\nPackage: apt\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.6\nDescription: caf\xe9\n\n",
		"usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "packaged.img")
	commands.Must(t, commands.Self, "mke2fs", "-q", "-t", "ext4", "-d", tree, path, "8M")
	return path
}

// tear copies an image with some bits turned.
func tear(t testing.TB, from, to string, bits map[int64]byte) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	for at, bit := range bits {
		b[at] ^= bit
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// covered fails where a command has --socket and is in no line, or has --json
// and is in none with it; cp, whose output is files, is tried by itself.
func covered(t *testing.T, lines [][]string) {
	t.Helper()
	for name := range strings.FieldsSeq(routedCommands(t)) {
		help := commands.Must(t, commands.Self, "guestctl", name, "--help")
		asked, json := false, false
		for _, line := range lines {
			asked = asked || line[0] == name
			json = json || line[0] == name && slices.Contains(line, "--json")
		}
		if !asked && name != "cp" || !json && strings.Contains(help, "--json") {
			t.Errorf("%s is not compared: at all %v, with --json %v", name, asked, json)
		}
	}
}

// inProcess are the commands that read or write an image in this process alone: no daemon writes, and the details of an
// inspection are not asked of one.
var inProcess = []string{"mkdir", "rm", "mv", "ln", "chmod", "touch", "truncate", "write", "users", "services", "network", "registry"}

// routedCommands are those that read an image and know --socket. All that read
// an image do, but for inProcess.
func routedCommands(t *testing.T) (names string) {
	t.Helper()
	for line := range strings.Lines(commands.Must(t, commands.Self, "guestctl", "--help")) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		name = strings.TrimSuffix(name, ",")
		r := commands.Run(t, commands.Self, "guestctl", name, "--help")
		if name == "" || r.Status != 0 || !strings.HasPrefix(line, "     ") || !strings.Contains(r.Stdout, "--force-share") || name == "mount" {
			continue
		}
		if has := strings.Contains(r.Stdout, "--socket"); has == slices.Contains(inProcess, name) {
			t.Errorf("%s reads through a daemon: %v", name, has)
			continue
		}
		if slices.Contains(inProcess, name) {
			continue
		}
		names += " " + name
	}
	if len(strings.Fields(names)) < 13 {
		t.Fatalf("the help names%s", names)
	}
	return names
}

// What cp copies through a daemon is what it copies here, and so is what it says.
func TestServiceCopies(t *testing.T) {
	images.NeedRoot(t)
	s := serve(t, commands.Self, nil)
	odd := oddImage(t)
	for _, line := range [][]string{{":/"}, {":/a"}, {":/a/one"}, {":/a/dir"}, {":/a/dir/"}, {":/z"}, {":/broken"}, {":/nope"}, {":/z/hard", ":/a/link"}} {
		var trees [2]manifest.Manifest
		var results [2]commands.Result
		for i, socket := range []string{"", s.socket} {
			to := commands.Dir(t, commands.Self)
			args := []string{"cp"}
			for _, place := range line {
				args = append(args, odd+place)
			}
			if args = append(args, to); socket != "" {
				args = append(args, "--socket", socket)
			}
			results[i] = commands.Run(t, commands.Self, "guestctl", args...)
			results[i].Took = 0
			var err error
			if trees[i], err = manifest.Walk(t.Context(), to, manifest.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		if results[0] != results[1] {
			t.Errorf("cp %q: here %+v, there %+v", line, results[0], results[1])
		}
		if len(trees[0]) < 2 && results[0].Status == 0 {
			t.Errorf("cp %q: the test is void: nothing was copied", line)
		}
		different, _ := manifest.Diff(trees[0][1:], trees[1][1:], manifest.All&^(manifest.Ctime|manifest.Btime|manifest.Ino), 20) // [0] is the test's folder
		for _, d := range different {
			t.Errorf("cp %q: %s", line, d)
		}
	}
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
	damaged, torn := filepath.Join(dir, "damaged.img"), filepath.Join(dir, "torn.qcow2")
	packaged := packagedImage(t, dir)
	tear(t, demo, damaged, map[int64]byte{512 + 60: 1, 1<<20 + 1024: 1}) // the GPT's header, the superblock of the first filesystem
	tear(t, changed, torn, map[int64]byte{40: 0xff})                     // the place of the L1 table
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
		{"inspect", odd}, {"inspect", "--json", odd, demo}, {"inspect", "--xml", demo}, {"inspect", "--json", odd + ":sda:/"}, {"inspect", "nope.img"},
		{"packages", odd}, {"packages", "--json", odd, demo}, {"packages", "--json", "--languages", packaged}, {"packages", packaged}, {"packages", "--filter", "b*", "--json", packaged},
		{"df", odd, demo, changed}, {"df", "--json", odd, demo}, {"df", "-ia", demo}, {"df", "--json", demo + ":sda2"}, {"df", demo + ":sda9"}, {"df", "nope.img", odd, nothing},
		{"check", odd}, {"check", "--json", odd, demo, changed}, {"check", "--data", "--json", demo + ":sda2"}, {"check", demo + ":sda9"}, {"check", "nope.img"}, {"check", nothing},
		{"check", "--json", damaged, odd}, {"check", damaged}, {"df", damaged}, {"ls", damaged}, {"check", "-q", torn}, {"check", "--json", torn}, {"df", "--json", torn, odd}, {"inspect", torn},
		{"diff", odd, odd}, {"diff", odd + ":/a", odd + ":/z"}, {"diff", "--json", odd + ":/a", odd + ":/z"}, {"diff", "--json", changed + "@before", changed}, {"diff", changed, odd + ":/"},
		{"diff", "--brief", odd + ":/a", odd + ":/z"}, {"diff", "--no-times", "--json", odd + ":/a", demo + ":/etc"}, {"diff", "--dir-times", odd + ":/", odd + ":sda:/"}, {"diff", odd, "nope.img"}, {"diff", "nope.img", odd},
		{"diff", odd + ":/nope", odd}, {"diff", odd, odd + ":/nope"}, {"diff", odd, nothing}, {"diff", demo + ":sda2:/", demo},
		{"grep", "-rsI", "two", odd}, {"grep", "-F", "(", odd + ":/a/one"}, {"grep", "(", odd + ":/a/one"}, {"grep", "two", odd + ":/a"}, {"grep", "-rx", "two", odd + ":/a", demo + ":/etc"},
	}
	covered(t, lines)
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
	if records < 150 {
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
	if r := commands.Run(t, commands.Self, "guestctl", "cat", "--socket", s.socket, "--partial", image+":/etc/hostname"); r.Status != 0 || r.Stdout != "demo-guest\n" {
		t.Errorf("--partial through a daemon: %+v", r)
	}
	s.stop(t)
	cat()
}
