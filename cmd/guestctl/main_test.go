package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/cmd/guestctl/demo"
	"github.com/guestctl/guestctl/cmd/internal/args"
)

// guestctl runs a command line.
func guestctl(t testing.TB, argv ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), argv, &out, &errs)
	return status, out.String(), errs.String()
}

// must runs a command line that has to work and say nothing on stderr.
func must(t testing.TB, argv ...string) string {
	t.Helper()
	status, out, errs := guestctl(t, argv...)
	if status != exitDone || errs != "" {
		t.Errorf("guestctl %q: status %d: %s", argv, status, errs)
	}
	return out
}

func demoImage(t testing.TB) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "demo.img")
	if err := demo.Write(image); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestDemo(t *testing.T) {
	image := filepath.Join(t.TempDir(), "demo.img")
	if out := must(t, "demo", image); !strings.Contains(out, "guestctl ls -l "+image+":/") {
		t.Errorf("demo says %q", out)
	}
	if status, _, errs := guestctl(t, "demo", image); status != exitFailed || !strings.Contains(errs, "exists") {
		t.Errorf("a second time: %d, %s", status, errs)
	}
}

func TestFilesystems(t *testing.T) {
	image := demoImage(t)
	if out := must(t, "filesystems", image); !strings.Contains(out, "sda1  ext4") || !strings.Contains(out, "demo-root") {
		t.Errorf("%s", out)
	}
	var r struct {
		Schema      string
		Filesystems []struct{ Name, Type string }
	}
	if err := json.Unmarshal([]byte(must(t, "filesystems", "--json", image)), &r); err != nil || r.Schema != "guestctl.filesystems/1" || len(r.Filesystems) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLs(t *testing.T) {
	image := demoImage(t)
	for _, c := range []struct {
		argv []string
		want string // is in the output
		not  string
	}{
		{[]string{"ls", image}, "\netc\n", "etc/"},
		{[]string{"ls", image + ":/"}, "\netc\n", " "},
		{[]string{"ls", image + ":/etc"}, "passwd\n", "/"},
		{[]string{"ls", "-l", image + ":/etc/passwd"}, "-rw-r--r-- 1 0 0 ", "drw"},
		{[]string{"ls", "-lh", image + ":/"}, " 4.0K ", " 4096 "},
		{[]string{"ls", image + ":/", "-dl"}, "drwxr-xr-x ", "etc"},
		{[]string{"ls", "-lR", image + ":/etc"}, "\n" + "/etc/", "\n\n\n"},
		{[]string{"-v", "ls", image + ":sda1:/etc"}, "passwd\n", "/"},
		{[]string{"ls", image + ":sda2:/", image + ":/home"}, image + ":sda2:/:\n", ""},
	} {
		status, out, errs := guestctl(t, c.argv...)
		if status != exitDone || !strings.Contains("\n"+out, c.want) || c.not != "" && strings.Contains(out, c.not) {
			t.Errorf("%q: %d\n%s%s", c.argv, status, out, errs)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSpace(must(t, "ls", "--json", "-R", image+":/etc")), "\n") {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil || r["schema"] != "guestctl.file/1" || !strings.HasPrefix(r["path"].(string), "/etc/") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestCatAndGrep(t *testing.T) {
	image := demoImage(t)
	passwd := must(t, "cat", image+":/etc/passwd")
	if !strings.HasPrefix(passwd, "root:x:0:0:") {
		t.Errorf("%q", passwd)
	}
	if got := must(t, "cat", image+":/etc/passwd", image+":/etc/passwd"); got != passwd+passwd {
		t.Errorf("twice: %q", got)
	}
	first, _, _ := strings.Cut(passwd, "\n")
	for _, c := range []struct {
		argv   []string
		status int
		out    string
	}{
		{[]string{"grep", "^root:", image + ":/etc/passwd"}, 0, first + "\n"},
		{[]string{"grep", "-n", "^root:", image + ":/etc/passwd"}, 0, "1:" + first + "\n"},
		{[]string{"grep", "^root:", image + ":/etc/passwd", "-Hn"}, 0, "/etc/passwd:1:" + first + "\n"},
		{[]string{"grep", "-rl", "^root:x:0:", image + ":/etc", "--include", "pass*"}, 0, "/etc/passwd\n"},
		{[]string{"grep", "-c", "-e", "^root:", "-e", "nothing", image + ":/etc/passwd"}, 0, "1\n"},
		{[]string{"grep", "-iF", "ROOT:X", image + ":/etc/passwd"}, 0, first + "\n"},
		{[]string{"grep", "-q", "root", image + ":/etc/passwd"}, 0, ""},
		{[]string{"grep", "-L", "root", image + ":/etc/passwd"}, 0, ""},
		{[]string{"grep", "-L", "nothing there", image + ":/etc/passwd"}, 1, "/etc/passwd\n"},
		{[]string{"grep", "nothing there", image + ":/etc/passwd"}, 1, ""},
		{[]string{"grep", "-h", "-m1", "-v", "nothing there", image + ":/etc/passwd"}, 0, first + "\n"},
		{[]string{"grep", "root", image + ":/no/such"}, 2, ""},
		{[]string{"grep", "root", image + ":/etc"}, 2, ""},
		{[]string{"grep", "-s", "root", image + ":/etc"}, 2, ""},
		{[]string{"grep", "(", image + ":/etc/passwd"}, 2, ""},
		{[]string{"grep", "x"}, 2, ""},
		{[]string{"grep", "root", filepath.Dir(image) + "/none:/etc/passwd"}, 2, ""},
	} {
		status, out, errs := guestctl(t, c.argv...)
		if status != c.status || out != c.out || (status == 2) != (errs != "") && c.argv[1] != "-s" {
			t.Errorf("%q: %d %q %q, want %d %q", c.argv, status, out, errs, c.status, c.out)
		}
	}
	var r map[string]any
	if err := json.Unmarshal([]byte(must(t, "grep", "--json", "^root:", image+":/etc/passwd")), &r); err != nil ||
		r["schema"] != "guestctl.match/1" || r["path"] != "/etc/passwd" || r["line"] != 1.0 || r["offset"] != 0.0 || r["text"] != first {
		t.Errorf("%v, %v", r, err)
	}
}

func TestTarAndChecksum(t *testing.T) {
	image := demoImage(t)
	r := tar.NewReader(strings.NewReader(must(t, "tar", image+":/etc")))
	found := false
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		found = found || h.Name == "./passwd"
	}
	if !found {
		t.Error("./passwd is not in the archive")
	}
	file := filepath.Join(t.TempDir(), "etc.tar")
	must(t, "tar", "-f", file, image+":/etc")
	if b, err := os.ReadFile(file); err != nil || string(b) != must(t, "tar", image+":/etc") {
		t.Errorf("-f: %d bytes, %v", len(b), err)
	}
	none := filepath.Join(filepath.Dir(file), "none.tar")
	if status, _, _ := guestctl(t, "tar", "-f", none, image+":/none"); status != exitFailed {
		t.Errorf("a path that is not there: %d", status)
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("an archive that failed is left behind")
	}
	sums := must(t, "checksum", "-r", image+":/etc")
	if !strings.Contains(sums, "  etc/passwd\n") || len(strings.Fields(sums)[0]) != 64 {
		t.Errorf("%s", sums)
	}
	if one := must(t, "checksum", "-t", "md5", image+":/etc/passwd"); len(strings.Fields(one)[0]) != 32 {
		t.Errorf("%s", one)
	}
	if status, _, errs := guestctl(t, "checksum", "-t", "crc", image+":/etc/passwd"); status != exitUsage || !strings.Contains(errs, "sha256") {
		t.Errorf("an unknown checksum: %d, %s", status, errs)
	}
	if status, _, errs := guestctl(t, "checksum", image+":/etc"); status != exitFailed || !strings.Contains(errs, "is a directory") {
		t.Errorf("a directory: %d, %s", status, errs)
	}
}

func TestFindAndStat(t *testing.T) {
	image := demoImage(t)
	if out := must(t, "find", image+":/etc", "-name", "passw?", "-type", "f"); out != "/etc/passwd\n" {
		t.Errorf("%q", out)
	}
	if out := must(t, "find", image+":/etc", "--maxdepth=0", "-print0"); out != "/etc\x00" {
		t.Errorf("%q", out)
	}
	if status, _, errs := guestctl(t, "find", image, "-size", "big"); status != exitUsage || !strings.Contains(errs, `size "big"`) {
		t.Errorf("%d, %s", status, errs)
	}
	if out := must(t, "stat", image+":/bin"); !strings.Contains(out, "Target     usr/bin\n") {
		t.Errorf("%s", out)
	}
	var r map[string]any
	if err := json.Unmarshal([]byte(must(t, "stat", "-L", "--json", image+":/bin")), &r); err != nil || r["type"] != "directory" || r["path"] != "/usr/bin" {
		t.Errorf("%v, %v", r, err)
	}
}

func TestCp(t *testing.T) {
	image := demoImage(t)
	out := t.TempDir()
	must(t, "cp", "-a", image+":/etc", out)
	must(t, "cp", image+":/etc/passwd", image+":/etc/hostname", out)
	for _, name := range []string{"etc/passwd", "passwd"} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(b) != must(t, "cat", image+":/etc/passwd") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for _, argv := range [][]string{
		{"cp", "passwd", image + ":/etc/passwd"},
		{"cp", image + ":/etc/passwd"},
	} {
		if status, _, errs := guestctl(t, argv...); status != exitUsage {
			t.Errorf("%q: %d, %s", argv, status, errs)
		}
	}
	if status, _, errs := guestctl(t, "cp", image+":/etc/passwd", image+":/etc/hosts", out+"/none"); status != exitFailed {
		t.Errorf("several to what is no folder: %d, %s", status, errs)
	}
}

// TestErrors checks what a person reads, and the exit status.
func TestErrors(t *testing.T) {
	image := demoImage(t)
	notes := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(notes, []byte("no image"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		argv   []string
		status int
		want   string
	}{
		{[]string{"cat", image + ":/etc/nope"}, 1, "cannot find " + image + ":/etc/nope: no such file or directory"},
		{[]string{"cat", image + ":/etc"}, 1, "cannot read " + image + ":/etc: is a directory"},
		{[]string{"ls", "/no/image:/etc"}, 1, "there is no image /no/image"},
		{[]string{"ls", "nbd://host/disk:/etc"}, 1, "images behind nbd:// are not read yet"},
		{[]string{"ls", image + ":sda9:/"}, 1, "sda9"},
		{[]string{"ls", "--format=vmdk", image}, 1, "no VMDK image"},
		{[]string{"ls", "--blocksize=100", image}, 2, "512 or 4096"},
		{[]string{"ls", "--nope", image}, 2, "unknown option --nope"},
		{[]string{"ls"}, 2, "ls needs IMAGE"},
		{[]string{"frobnicate", image}, 2, `there is no command "frobnicate"`},
		{[]string{"--format"}, 2, ""},
	} {
		status, out, errs := guestctl(t, c.argv...)
		if status != c.status || !strings.Contains(errs, c.want) || c.status == 1 && !strings.HasPrefix(errs, "guestctl: ") || out != "" && c.status != 0 {
			t.Errorf("%q: %d %q %q, want %d %q", c.argv, status, out, errs, c.status, c.want)
		}
	}
	// One that fails does not keep the others from being done.
	status, out, errs := guestctl(t, "cat", image+":/nope", image+":/etc/hostname")
	if status != exitFailed || out == "" || strings.Count(errs, "\n") != 1 {
		t.Errorf("%d %q %q", status, out, errs)
	}
	if out := must(t, "version"); out != "guestctl unknown\n" {
		t.Errorf("version: %q", out)
	}
	for _, argv := range [][]string{{"--help"}, {"help"}, {}, {"ls", "--help"}, {"grep", "--help"}, {"demo", "--help"}, {"version", "--help"}} {
		if out := must(t, argv...); !strings.Contains(out, "USAGE") {
			t.Errorf("%q: %q", argv, out)
		}
	}
}

func TestParseTarget(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"a.img", "odd:name", "x:/y.img", "sda1", "at@home.img"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		arg  string
		want target
	}{
		{"a.img", target{"a.img", "", "", "/"}},
		{"a.img:/", target{"a.img", "", "", "/"}},
		{"a.img:/etc/x", target{"a.img", "", "", "/etc/x"}},
		{"a.img:/etc:/x", target{"a.img", "", "", "/etc:/x"}},
		{"a.img:sda2:/etc", target{"a.img", "", "sda2", "/etc"}},
		{"a.img:vg-root:/etc:/y", target{"a.img", "", "vg-root", "/etc:/y"}},
		{"a.img:sda2", target{"a.img", "", "sda2", "/"}},
		{"odd:name", target{"odd:name", "", "", "/"}},
		{"odd:name:/etc", target{"odd:name", "", "", "/etc"}},
		{"odd:name:sda1:/etc", target{"odd:name", "", "sda1", "/etc"}},
		{"x:/y.img", target{"x:/y.img", "", "", "/"}},
		{"x:/y.img:/etc", target{"x:/y.img", "", "", "/etc"}},
		{dir + "/a.img:/etc", target{dir + "/a.img", "", "", "/etc"}},
		{"file://" + dir + "/a.img:/etc", target{dir + "/a.img", "", "", "/etc"}},
		{"file://localhost" + dir + "/a.img:sda1:/etc", target{dir + "/a.img", "", "sda1", "/etc"}},
		{"a.img@mon:/etc", target{"a.img", "mon", "", "/etc"}},
		{"a.img@mon", target{"a.img", "mon", "", "/"}},
		{"a.img@a@b:sda2:/x", target{"a.img", "a@b", "sda2", "/x"}},
		{"a.img@12:00:00:/x", target{"a.img", "12:00:00", "", "/x"}},
		{"at@home.img:/etc", target{"at@home.img", "", "", "/etc"}},
		{"at@home.img@1", target{"at@home.img", "1", "", "/"}},
		{"none.img:/etc", target{"none.img", "", "", "/etc"}},
		{"none.img", target{"none.img", "", "", "/"}},
		{"nbd://host:10809/disk:/etc", target{"nbd://host:10809/disk", "", "", "/etc"}},
		{"sda1:/x", target{"sda1", "", "", "/x"}},
	} {
		if got, err := parseTarget(c.arg); got != c.want || err != nil {
			t.Errorf("%q: %+v, %v, want %+v", c.arg, got, err, c.want)
		}
	}
	if _, err := parseTarget(""); err == nil {
		t.Error("nothing names an image")
	}
}

func TestArrange(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	for _, c := range []struct{ argv, want []string }{
		{[]string{"ls", "x", "-lR"}, []string{"ls", "--long", "--recursive", "--", "x"}},
		{[]string{"--format", "raw", "-v", "ls", "x"}, []string{"ls", "--format=raw", "--verbose", "--", "x"}},
		{[]string{"--allow-backing=a,b", "ls", "x", "--allow-backing", "c"}, []string{"ls", "--allow-backing=a,b", "--allow-backing=c", "--", "x"}},
		{[]string{"find", "x", "-name", "-a", "-print0"}, []string{"find", "--name=-a", "--print0", "--", "x"}},
		{[]string{"grep", "-v", "--", "-x", "y"}, []string{"grep", "--invert-match", "--", "-x", "y"}},
		{[]string{"ls", "--", "-l"}, []string{"ls", "--", "-l"}},
		{[]string{"--version"}, []string{"version"}},
		{nil, nil},
	} {
		got, err := arrange(app, c.argv)
		if err != nil || strings.Join(got, "\x00") != strings.Join(c.want, "\x00") {
			t.Errorf("%q: %q, %v, want %q", c.argv, got, err, c.want)
		}
	}
	for _, argv := range [][]string{{"ls", "--nope"}, {"nope"}, {"ls", "--format"}} {
		if _, err := arrange(app, argv); err == nil {
			t.Errorf("%q passes", argv)
		} else if usage := (*args.UsageError)(nil); !errors.As(err, &usage) {
			t.Errorf("%q: %T", argv, err)
		}
	}
}

// TestEveryCommand checks that the commands can be listed and have distinct options.
func TestEveryCommand(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	for _, c := range app.Commands {
		seen := map[string]bool{}
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				if seen[name] {
					t.Errorf("%s has two options %q", c.Name, name)
				}
				seen[name] = true
			}
		}
		if c.Usage == "" || !seen["help"] {
			t.Errorf("%s has no usage or no --help", c.Name)
		}
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{"plain name": "plain name", "caf\xc3\xa9": "café", "a\x1b[31m": `"a\x1b[31m"`, "\xff": `"\xff"`, "a\nb": `"a\nb"`} {
		if got := shown(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1024: "1.0K", 10 << 10: "10K", 1 << 20: "1.0M", 1023 << 20: "1.0G", 5 << 40: "5.0T", 1<<63 - 1: "8.0E"} {
		if got := humanSize(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	for mode, want := range map[uint32]string{0o100644: "-rw-r--r--", 0o041777: "drwxrwxrwt", 0o104755: "-rwsr-xr-x", 0o102640: "-rw-r-S---", 0o120777: "lrwxrwxrwx", 0: "?---------"} {
		if got := modeString(mode); got != want {
			t.Errorf("%#o is %s, want %s", mode, got, want)
		}
	}
}
