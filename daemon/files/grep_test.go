package files

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// grepText prints what Grep finds as grep -rn prints it.
func grepText(t testing.TB, ns *vfs.Namespace, path string, opt GrepOptions) string {
	t.Helper()
	var b strings.Builder
	var p problems
	opt.Recursive, opt.Problem = true, p.add
	err := Grep(t.Context(), ns, path, opt, func(h *Hit) error {
		name := strings.TrimPrefix(h.Path, "/")
		switch {
		case opt.Count:
			fmt.Fprintf(&b, "%s:%d\n", name, h.Count)
		case h.Binary && h.Count > 0:
			fmt.Fprintf(&b, "%s: binary\n", name)
		}
		for _, l := range h.Lines {
			fmt.Fprintf(&b, "%s:%d:%d:%s\n", name, l.Number, l.Off, l.Text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.none(t)
	return b.String()
}

// textTree is a folder of text files of all sizes.
func textTree(t testing.TB) string {
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(5, 5))
	words := []string{"alpha", "beta", "Gamma", "DELTA", "eps-ilon", "zeta42", "x", "", "caf\xc3\xa9", "STRASSE", "task", "password=secret", "a.b", "(z)", "\t"}
	for i := range 60 {
		var b bytes.Buffer
		lines := rnd.IntN(200)
		if i == 59 {
			lines = 60_000 // more than one piece
		}
		for range lines {
			for range rnd.IntN(9) {
				b.WriteString(words[rnd.IntN(len(words))] + " ")
			}
			b.WriteByte('\n')
		}
		if i%3 == 0 {
			b.WriteString("Gamma without an end")
		}
		if i == 40 {
			b.WriteString(strings.Repeat("long line ", 110_000) + "needle\nafter\n")
		}
		if err := os.WriteFile(fmt.Sprintf("%s/f%02d", dir, i), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGrepAgreesWithGrep compares with GNU grep on the tree that made the image.
func TestGrepAgreesWithGrep(t *testing.T) {
	images.NeedTool(t, "grep", "sort")
	dir := textTree(t)
	ns, _ := guest(t, dir)
	for _, c := range []struct {
		patterns []string
		opt      PatternOptions
		grep     GrepOptions
		args     []string
	}{
		{[]string{"Gamma"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"nothing at all"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"a.b"}, PatternOptions{Fixed: true}, GrepOptions{}, []string{"-F"}},
		{[]string{"gamma"}, PatternOptions{Fold: true}, GrepOptions{}, []string{"-i"}},
		{[]string{"PASSword"}, PatternOptions{Fold: true}, GrepOptions{}, []string{"-i"}},
		{[]string{"Ks"}, PatternOptions{Fold: true}, GrepOptions{}, []string{"-i"}},
		{[]string{"^alpha"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"alpha $"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"^$"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"(alpha|beta) +Gamma"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"z[a-z]*[0-9]+ x"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"alpha", "needle"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"alpha\nbeta"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"x"}, PatternOptions{Word: true}, GrepOptions{}, []string{"-w"}},
		{[]string{"x "}, PatternOptions{Line: true}, GrepOptions{}, []string{"-x"}},
		{[]string{"a"}, PatternOptions{}, GrepOptions{Invert: true}, []string{"-v"}},
		{[]string{"nothing at all"}, PatternOptions{}, GrepOptions{Invert: true}, []string{"-v"}},
		{[]string{""}, PatternOptions{}, GrepOptions{Invert: true}, []string{"-v"}},
		{[]string{""}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"beta"}, PatternOptions{}, GrepOptions{Max: 3}, []string{"-m", "3"}},
		{[]string{"beta"}, PatternOptions{}, GrepOptions{Count: true}, []string{"-c"}},
		{[]string{"[^a]x"}, PatternOptions{}, GrepOptions{}, nil},
		{[]string{"caf."}, PatternOptions{}, GrepOptions{}, nil},
	} {
		p, err := ParsePattern(c.patterns, c.opt)
		if err != nil {
			t.Fatal(err)
		}
		c.grep.Pattern = p
		got := sorted(t, grepText(t, ns, "/", c.grep))
		args := append([]string{"-r", "-E", "-n", "-b"}, c.args...)
		if c.opt.Fixed {
			args = append([]string{"-r", "-n", "-b"}, c.args...)
		}
		cmd := exec.Command("grep", append(args, "--", strings.Join(c.patterns, "\n"), ".")...)
		cmd.Dir = dir
		cmd.Env = []string{"LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin"}
		out, _ := cmd.Output()
		want := sorted(t, strings.ReplaceAll("\n"+string(out), "\n./", "\n")[1:])
		if got != want {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			t.Errorf("%q %v: %d bytes, grep prints %d; from byte %d: %.100q, want %.100q", c.patterns, c.args, len(got), len(want), at, got[at:], want[at:])
		}
	}
}

func sorted(t testing.TB, s string) string {
	t.Helper()
	cmd := exec.Command("sort")
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader(s)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestGrepBinary(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/bin", vfstest.Text("a\x00b fox\nfox\n"))
	m.Add("/big", vfstest.Text("a\x00b fox\n"+strings.Repeat("fox and more\n", 200_000)))
	m.Add("/late", vfstest.Text(strings.Repeat("x", binaryWindow)+"\x00 fox\n"))
	ns := memory(m)
	p, err := ParsePattern([]string{"fox"}, PatternOptions{})
	if err != nil {
		t.Fatal(err)
	}
	late := "late:1:0:" + strings.Repeat("x", binaryWindow) + "\x00 fox\n"
	if got := grepText(t, ns, "/", GrepOptions{Pattern: p}); got != "bin: binary\nbig: binary\n"+late {
		t.Errorf("%.200q", got)
	}
	if got := grepText(t, ns, "/", GrepOptions{Pattern: p, NoBinary: true}); got != late {
		t.Errorf("without binary files: %.200q", got)
	}
	if got := grepText(t, ns, "/bin", GrepOptions{Pattern: p, Text: true}); got != "bin:1:0:a\x00b fox\nbin:2:8:fox\n" {
		t.Errorf("as text: %.200q", got)
	}
	if got := grepText(t, ns, "/", GrepOptions{Pattern: p, Count: true}); got != "bin:2\nbig:200001\nlate:1\n" {
		t.Errorf("counted: %.200q", got)
	}
	if got := grepText(t, ns, "/big", GrepOptions{Pattern: p, Text: true}); strings.Count(got, "\n") != 200_001 {
		t.Errorf("many lines: %d", strings.Count(got, "\n"))
	}
}

func TestGrepOfDamage(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/good", vfstest.Text("fox\n"))
	m.Add("/bad", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Mapped, Data: "fox\n"}, {Data: "lost", Err: syscall.EUCLEAN}}})
	m.Add("/badbig", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Mapped, Data: strings.Repeat("fox\n", 1<<19)}, {Data: "lost", Err: syscall.EIO}}})
	m.Add("/line", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: maxLine + 3<<20}}})
	pattern, err := ParsePattern([]string{"fox"}, PatternOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var p problems
	found := map[string]int64{}
	err = Grep(t.Context(), memory(m), "/", GrepOptions{Pattern: pattern, Recursive: true, Text: true, Problem: p.add}, func(h *Hit) error {
		found[h.Path] = h.Count
		return nil
	})
	if err != nil || found["/good"] != 1 || found["/badbig"] != 1<<19 {
		t.Errorf("%v, %v", err, found)
	}
	all := errors.Join(p.list...)
	if len(p.list) != 3 || !errors.Is(all, syscall.EUCLEAN) || !errors.Is(all, syscall.EIO) || !errors.Is(all, syscall.EFBIG) {
		t.Errorf("problems: %v", p.list)
	}
}

// FuzzPattern compares the search of a text with the expression run on each line.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{"a", "^a", "a$", "^$", "[^a]", `a\sb`, "a|b", "(?i)ab", `\Aa`, `a\z`, "a*", "x?y+", `\bfoo\b`, "(?s)a.b", "k", "\u212a"} {
		f.Add(p, "a\nb\nab\n\nfoo bar\nAB\xff\nK\n", false)
		f.Add(p, "a b\nxy", true)
	}
	f.Fuzz(func(t *testing.T, expr, text string, fold bool) {
		p, err := ParsePattern([]string{expr}, PatternOptions{Fold: fold})
		if err != nil {
			return
		}
		l := p.in([]byte(text))
		from := 0
		for off, line := range lineStarts(text) {
			match := p.re.MatchString(line)
			if match {
				start, end, ok := l.next(from)
				if !ok || start != off || end != off+len(line) {
					t.Fatalf("%q in %q: next(%d) = %d, %d, %t, want %d", expr, text, from, start, end, ok, off)
				}
				from = end + 1
			}
		}
		if start, _, ok := l.next(from); ok {
			t.Fatalf("%q in %q: next(%d) = %d, and there is none", expr, text, from, start)
		}
	})
}

// lineStarts gives the lines of a text and where they begin.
func lineStarts(text string) func(func(int, string) bool) {
	return func(yield func(int, string) bool) {
		off := 0
		for line := range strings.SplitAfterSeq(text, "\n") {
			if line == "" {
				return
			}
			if !yield(off, strings.TrimSuffix(line, "\n")) {
				return
			}
			off += len(line)
		}
	}
}
