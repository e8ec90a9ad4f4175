package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// differences runs Diff and writes each as "+ path", "- path" or "~ path what".
func differences(t testing.TB, a, b *vfs.Namespace, opt DiffOptions) []string {
	t.Helper()
	var list []string
	opt.Problem = func(side int, err error) { t.Errorf("side %d: %v", side, err) }
	err := Diff(t.Context(), a, "/", b, "/", opt, func(d *Difference) error {
		switch {
		case d.From == nil:
			list = append(list, "+ "+d.Path)
		case d.To == nil:
			list = append(list, "- "+d.Path)
		default:
			list = append(list, "~ "+d.Path+" "+strings.Join(append(d.What, d.Xattrs...), " "))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestDiff changes a tree in every way and compares images of both states.
func TestDiff(t *testing.T) {
	images.NeedRoot(t) // owners and trusted attributes
	dir := hostTree(t)
	before, _ := guest(t, dir)
	var same DiffStats
	if got := differences(t, before, before, DiffOptions{DirTimes: true, Stats: &same}); len(got) > 0 || same.Read.Load() > 0 || same.Shared.Load() < 5<<20 {
		t.Errorf("a tree and itself: %q, %d bytes read, %d not", got, same.Read.Load(), same.Shared.Load())
	}
	// Another image of the same tree, at other places: read and equal.
	var read DiffStats
	again, _ := guest(t, dir)
	if got := differences(t, before, again, DiffOptions{Stats: &read}); len(got) > 0 || read.Read.Load() < 4<<20 {
		t.Errorf("two images of a tree: %q, %d bytes read", got, read.Read.Load())
	}

	at := func(name string) string { return filepath.Join(dir, name) }
	keep := func(name string, change func(path string) error) {
		t.Helper()
		st, err := os.Lstat(at(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := change(at(name)); err != nil {
			t.Fatal(err)
		}
		ts := unix.NsecToTimespec(st.ModTime().UnixNano())
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, at(name), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.Fatal(err)
		}
	}
	poke := func(off int64) func(string) error {
		return func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte{'#'}, off)
			return errors.Join(err, f.Close())
		}
	}
	keep("large/3M", poke(2<<20+77))
	keep("large/sparse", poke(20<<20))
	keep("small/0/f007", func(p string) error { return os.Chmod(p, 0o600) })
	keep("small/1/f008", func(p string) error { return os.Lchown(p, 5, 6) })
	keep("small/2/f009", func(p string) error { return unix.Setxattr(p, "user.new", []byte("x"), 0) })
	keep("text/binary", func(p string) error { return unix.Setxattr(p, "user.test", []byte("y"), 0) })
	keep("names/link", func(p string) error { return errors.Join(os.Remove(p), os.Symlink("../etc/shadow", p)) })
	keep("text/a.txt", func(p string) error { return os.Truncate(p, 100) })
	keep("etc/empty", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755), os.Mkdir(p+"/in", 0o755)) })
	if err := errors.Join(os.Remove(at("large/1M+1")), os.WriteFile(at("large/new"), nil, 0o644), os.Remove(at("names/passwd")),
		os.Chtimes(at("large/1M"), time.Unix(1, 0), time.Unix(1, 0)), os.Remove(at("null")), unix.Mknod(at("null"), unix.S_IFCHR|0o666, 1<<8|5)); err != nil {
		t.Fatal(err)
	}
	keep("null", func(p string) error { return os.Chmod(p, 0o644) })
	after, _ := guest(t, dir)
	got := differences(t, before, after, DiffOptions{NoTimes: true})
	want := []string{"~ /etc/empty type mode", "+ /etc/empty/in", "~ /etc/passwd links", "- /large/1M+1", "~ /large/3M content", "+ /large/new", "~ /large/sparse content",
		"~ /names/link target owner", "- /names/passwd", "~ /null device", "~ /small/0/f007 mode", "~ /small/1/f008 owner", "~ /small/2/f009 xattrs user.new",
		"~ /text/a.txt size content xattrs security.capability", "~ /text/binary xattrs user.test"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := differences(t, before, after, DiffOptions{}); !slices.Contains(got, "~ /large/1M mtime") {
		t.Errorf("with times: %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Diff(ctx, before, "/", after, "/", DiffOptions{}, func(*Difference) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled one: %v", err)
	}
	stop := errors.New("stop")
	if err := Diff(t.Context(), before, "/", after, "/", DiffOptions{}, func(*Difference) error { return stop }); err != stop {
		t.Errorf("a stopped one: %v", err)
	}
}
