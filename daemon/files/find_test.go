package files

import (
	"encoding/json"
	"errors"
	"math"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "any.thing", true}, {"*.txt", "a.txt", true}, {"*.txt", "a.txt~", false},
		{"a*b*c", "aXbYc", true}, {"a*b*c", "aXcYb", false}, {"?", "a", true}, {"?", "", false}, {"?", "\xe9", true}, {"?", "é", true},
		{"[a-c]x", "bx", true}, {"[a-c]x", "dx", false}, {"[!a-c]x", "dx", true}, {"[^a-c]x", "ax", false}, {"[]]", "]", true}, {"[a-]", "-", true},
		{`\*`, "*", true}, {`\*`, "a", false}, {`[\]]`, "]", true}, {"*\xff", "a\xff", true}, {"\xff", "\xfe", false}, {"*/b", "a/b", true},
		{"**a", "bba", true}, {strings.Repeat("*a", 50) + "b", strings.Repeat("a", 200), false},
	} {
		g, err := ParseGlob(c.pattern, false)
		if err != nil || g.Match(c.name) != c.want {
			t.Errorf("%q of %q: not %t, %v", c.name, c.pattern, c.want, err)
		}
	}
	if g, err := ParseGlob("*.TXT", true); err != nil || !g.Match("A.txt") {
		t.Errorf("without case: %v", err)
	}
	for _, bad := range []string{"[", "[a", "[!", `a\`, "[]"} {
		if _, err := ParseGlob(bad, false); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

// TestFindAgreesWithFind compares with find(1) on the tree that made the image.
func TestFindAgreesWithFind(t *testing.T) {
	images.NeedTool(t, "find")
	dir := hostTree(t)
	ns, _ := guest(t, dir)
	glob := func(s string, fold bool) []*Glob {
		g, err := ParseGlob(s, fold)
		if err != nil {
			t.Fatal(err)
		}
		return []*Glob{g}
	}
	size := func(s string) []Range {
		r, err := ParseSize(s)
		if err != nil {
			t.Fatal(err)
		}
		return []Range{r}
	}
	age := func(s string) []Range {
		r, err := ParseAge(s, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return []Range{r}
	}
	for name, c := range map[string]struct {
		opt  FindOptions
		args []string
	}{
		"all":      {FindOptions{MaxDepth: -1}, nil},
		"depth":    {FindOptions{MinDepth: 1, MaxDepth: 2}, []string{"-mindepth", "1", "-maxdepth", "2"}},
		"name":     {FindOptions{MaxDepth: -1, Names: glob("f*[02468]", false)}, []string{"-name", "f*[02468]"}},
		"latin":    {FindOptions{MaxDepth: -1, Names: glob("caf\xe9", false)}, []string{"-name", "caf\xe9"}},
		"iname":    {FindOptions{MaxDepth: -1, Names: glob("A.TXT", true)}, []string{"-iname", "A.TXT"}},
		"type":     {FindOptions{MaxDepth: -1, Types: []uint32{syscall.S_IFLNK, syscall.S_IFIFO}}, []string{"-type", "l,p"}},
		"larger":   {FindOptions{MaxDepth: -1, Types: []uint32{syscall.S_IFREG}, Size: size("+8000")}, []string{"-type", "f", "-size", "+8000c"}},
		"smaller":  {FindOptions{MaxDepth: -1, Types: []uint32{syscall.S_IFREG}, Size: size("-1k")}, []string{"-type", "f", "-size", "-1024c"}},
		"exactly":  {FindOptions{MaxDepth: -1, Size: size("1M")}, []string{"-size", "1048576c"}},
		"old":      {FindOptions{MaxDepth: -1, Mtime: age("+1000")}, []string{"-mtime", "+1000"}},
		"new":      {FindOptions{MaxDepth: -1, Types: []uint32{syscall.S_IFREG}, Mtime: age("-1d")}, []string{"-type", "f", "-mtime", "-1"}},
		"paths":    {FindOptions{MaxDepth: -1, Paths: glob("/names/d*/e*", false)}, []string{"-path", "./names/d*/e*"}},
		"not path": {FindOptions{MaxDepth: -1, Paths: glob("names/*", false)}, []string{"-path", "names/*"}},
	} {
		var p problems
		c.opt.Problem = p.add
		var got []string
		if err := Find(t.Context(), ns, "/", c.opt, func(e *Entry) error {
			if !strings.HasPrefix(e.Path, "/lost+found") {
				got = append(got, "."+strings.TrimSuffix(e.Path, "/"))
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.none(t)
		cmd := exec.Command("find", append([]string{"."}, append(c.args, "-print0")...)...)
		cmd.Dir = dir
		cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if len(out) == 0 {
			want = nil
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d found, find(1) finds %d: %.300q and %.300q", name, len(got), len(want), got, want)
		}
	}
}

func TestParseRanges(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, bad := range []string{"", "+", "x", "1x", "--1", "9999999999G", "-", "+-1", "1kk"} {
		if r, err := ParseSize(bad); err == nil {
			t.Errorf("size %q: %v", bad, r)
		}
		if r, err := ParseAge(bad, now); err == nil {
			t.Errorf("age %q: %v", bad, r)
		}
	}
	if r, err := ParseSize("+1k"); err != nil || r != (Range{1025, math.MaxInt64}) {
		t.Errorf("+1k: %v, %v", r, err)
	}
	for s, want := range map[string]Range{
		"-2h": {now.UnixNano() - 2*3600e9 + 1, math.MaxInt64},
		"+2h": {math.MinInt64, now.UnixNano() - 3*3600e9},
		"2h":  {now.UnixNano() - 3*3600e9 + 1, now.UnixNano() - 2*3600e9},
		"0":   {now.UnixNano() - 24*3600e9 + 1, math.MaxInt64},
	} {
		if r, err := ParseAge(s, now); err != nil || r != want {
			t.Errorf("age %s: %v, %v, want %v", s, r, err, want)
		}
	}
	if _, err := ParseTypes("f,x"); err == nil {
		t.Error("type x passes")
	}
}

func TestList(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/etc/b", vfstest.Text("b"))
	m.Add("/etc/a", vfstest.Text("a"))
	m.Add("/etc/.hidden/x", vfstest.Text("x"))
	m.Add("/etc/sub/y", vfstest.Text("y"))
	m.Add("/link", vfstest.Symlink("etc"))
	m.Add("/bad/gone", vfstest.Spec{Err: syscall.EUCLEAN})
	ns := memory(m)
	list := func(path string, opt ListOptions) (string, *problems) {
		var p problems
		var b strings.Builder
		opt.Problem = p.add
		if err := List(t.Context(), ns, path, opt, func(l *Listing) error {
			if l.Dir != nil {
				b.WriteString(l.Dir.Path + ":")
			}
			for _, e := range l.Entries {
				b.WriteString(e.Name + " ")
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return b.String(), &p
	}
	for _, c := range []struct {
		path string
		opt  ListOptions
		want string
	}{
		{"/etc", ListOptions{}, "/etc:a b sub "},
		{"/etc", ListOptions{All: true}, "/etc:.hidden a b sub "},
		{"/etc", ListOptions{Recursive: true}, "/etc:a b sub /etc/sub:y "},
		{"/etc", ListOptions{Recursive: true, All: true}, "/etc:.hidden a b sub /etc/.hidden:x /etc/sub:y "},
		{"/etc/.hidden", ListOptions{}, "/etc/.hidden:x "},
		{"/etc", ListOptions{Itself: true}, "etc "},
		{"/etc/a", ListOptions{}, "a "},
		{"/link", ListOptions{}, "/etc:a b sub "},
		{"/link", ListOptions{Itself: true}, "link "},
	} {
		got, p := list(c.path, c.opt)
		if got != c.want {
			t.Errorf("%s %+v: %q, want %q", c.path, c.opt, got, c.want)
		}
		p.none(t)
	}
	if got, p := list("/bad", ListOptions{}); got != "/bad:gone " || len(p.list) != 1 {
		t.Errorf("a bad entry: %q, %v", got, p.list)
	}
}

func TestRecord(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/caf\xe9", vfstest.Spec{Mode: 0o4755, UID: 3, Mtime: vfs.Time{Sec: -1, Nsec: 5e8}, Xattrs: map[string]string{"user.x": "\x00y"}})
	m.Add("/link", vfstest.Symlink("<&>\xff"))
	m.Add("/null", vfstest.Spec{Mode: syscall.S_IFCHR | 0o666, Rdev: 0x103})
	ns := memory(m)
	record := func(path string) map[string]any {
		e, err := Resolve(t.Context(), ns, path, false)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(NewRecord(t.Context(), ns, e, true))
		if err != nil {
			t.Fatal(err)
		}
		var r map[string]any
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for path, want := range map[string]map[string]any{
		"/caf\xe9": {"schema": "guestctl.file/1", "path": "/caf\uFFFD", "path_raw": "L2NhZuk=", "type": "file", "mode": "4755", "uid": 3.0,
			"mtime": "1969-12-31T23:59:59.5Z", "volume": "memory", "nlink": 1.0},
		"/link": {"type": "symlink", "target": "<&>\uFFFD", "target_raw": "PCY+/w=="},
		"/null": {"type": "chardev", "device": "1:3"},
	} {
		got := record(path)
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%q: %s is %v, want %v", path, key, got[key], value)
			}
		}
	}
	if x := record("/caf\xe9")["xattrs"].(map[string]any); x["user.x"] != "AHk=" {
		t.Errorf("xattrs: %v", x)
	}
	if XattrText([]byte("system_u:object_r\x00")) != `"system_u:object_r"` || XattrText([]byte{1, 2}) != "0sAQI=" {
		t.Error("XattrText")
	}
}

func TestErrorSaysWhere(t *testing.T) {
	_, err := Resolve(t.Context(), memory(vfstest.NewMemory()), "/no\nwhere", true)
	if !errors.Is(err, syscall.ENOENT) || err.Error() != `cannot find "/no\nwhere": no such file or directory` {
		t.Errorf("%v", err)
	}
}
