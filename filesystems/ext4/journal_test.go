package ext4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2/jbd2test"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
	"github.com/guestctl/guestctl/vfs"
)

func needKernel(t testing.TB) {
	t.Helper()
	images.NeedRoot(t)
	images.NeedTool(t, jbd2test.Tools()...)
}

// openDirty opens the filesystem in the image at path.
func openDirty(t testing.TB, path string, opt vfs.Options) *FileSystem {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if opt.Log == nil {
		opt.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	fs, err := open(t.Context(), []block.Device{f}, opt)
	if err != nil {
		t.Fatal(err)
	}
	return fs.(*FileSystem)
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// manifestOf writes down a whole filesystem, as manifest.Walk does with what
// is mounted.
func manifestOf(t testing.TB, fs vfs.FileSystem) manifest.Manifest {
	t.Helper()
	ctx := t.Context()
	var all manifest.Manifest
	var walk func(ino vfs.Ino, at string)
	walk = func(ino vfs.Ino, at string) {
		n, err := fs.Inode(ctx, ino)
		if err != nil {
			t.Errorf("%q: %v", at, err)
			return
		}
		a := n.Attr()
		e := manifest.Entry{Path: at, Mode: a.Mode, UID: a.UID, GID: a.GID, Nlink: a.Nlink, Size: a.Size, Ino: ino.Num,
			Mtime: time.Unix(a.Mtime.Sec, int64(a.Mtime.Nsec)).UTC(), Ctime: time.Unix(a.Ctime.Sec, int64(a.Ctime.Nsec)).UTC(),
			Btime: time.Unix(a.Btime.Sec, int64(a.Btime.Nsec)).UTC(), Xattrs: map[string]string{}}
		if t := a.Mode & syscall.S_IFMT; t == syscall.S_IFCHR || t == syscall.S_IFBLK {
			minor, major := uint64(a.Rdev&0xFF|a.Rdev>>12&^0xFF), uint64(a.Rdev>>8&0xFFF)
			e.Rdev = minor&0xFF | minor&^0xFF<<12 | major&0xFFF<<8 | major&^0xFFF<<32
		}
		for x, err := range n.Xattrs(ctx) {
			if err != nil {
				t.Errorf("%q: xattrs: %v", at, err)
				break
			}
			v, err := x.Read(ctx)
			if err != nil {
				t.Errorf("%q: xattr %q: %v", at, x.Name, err)
			}
			e.Xattrs[x.Name] = string(v)
		}
		switch a.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			if e.Target, err = n.Readlink(ctx); err != nil {
				t.Errorf("%q: %v", at, err)
			}
		case syscall.S_IFREG:
			if a.Size >= manifest.Sparse {
				t.Errorf("%q: too large for this test", at)
				break
			}
			h := sha256.New()
			if _, err := io.Copy(h, vfs.NewReader(ctx, n)); err != nil {
				t.Errorf("%q: %v", at, err)
			}
			h.Sum(e.Sum[:0])
		}
		all = append(all, e)
		if a.Mode&syscall.S_IFMT != syscall.S_IFDIR {
			return
		}
		for d, err := range n.Entries(ctx, vfs.Cursor{}) {
			if err != nil {
				t.Errorf("%q: %v", at, err)
				break
			}
			found, err := n.Lookup(ctx, d.Name)
			if err != nil || found.Num != d.Ino.Num {
				t.Errorf("%q: lookup of %q gives %v, %v, want %v", at, d.Name, found, err, d.Ino)
			}
			walk(d.Ino, path.Join(at, d.Name))
		}
	}
	walk(fs.Root(), ".")
	sort.Slice(all, func(i, j int) bool { return all[i].Path < all[j].Path })
	first := map[uint64]string{}
	for i := range all {
		if _, ok := first[all[i].Ino]; !ok {
			first[all[i].Ino] = all[i].Path
		}
		all[i].First = first[all[i].Ino]
	}
	return all
}

// sameAsKernel compares what we show of the image with what the kernel shows
// of a copy once it has recovered it, and the image with what it was. The
// kernel's replay of fast commits sets the times of directories to now, and its
// truncation of orphans the file's; those are not compared.
func sameAsKernel(t *testing.T, img string) *FileSystem {
	t.Helper()
	now := time.Now()
	before := fileHash(t, img)
	fs := openDirty(t, img, vfs.Options{})
	got := manifestOf(t, fs)
	cp := images.Copy(t, img, t.TempDir())
	dir := images.KernelMount(t, cp, 0, 0, "ext4", "noatime")
	want, err := manifest.Walk(context.Background(), dir, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	images.Unmount(t, dir)
	ours := make(map[string]*manifest.Entry)
	for i := range got {
		ours[got[i].Path] = &got[i]
	}
	for i := range want {
		// The clock of file times is a little behind.
		if w, g := &want[i], ours[want[i].Path]; g != nil && w.Mtime.After(now.Add(-10*time.Millisecond)) {
			w.Mtime = g.Mtime
		}
	}
	lines, total := manifest.Diff(want, got, manifest.All&^manifest.Ctime, 40)
	for _, l := range lines {
		t.Error(l)
	}
	t.Logf("%d entries, %d differences", len(want), total)
	if fileHash(t, img) != before {
		t.Error("the image has changed")
	}
	return fs
}

func fileHash(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// sh runs a shell script in a folder.
func sh(script string) func(dir string) error {
	return func(dir string) error {
		cmd := exec.Command("bash", "-euc", script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

func fsync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// busy is a day in the life of a filesystem, with transactions in between.
func busy(dir string) error {
	for r := range 5 {
		d := filepath.Join(dir, fmt.Sprintf("round%d", r))
		if err := os.Mkdir(d, 0o2755); err != nil {
			return err
		}
		for i := range 200 {
			b := bytes.Repeat([]byte{byte(i), byte(r), 7}, i*33)
			if err := os.WriteFile(filepath.Join(d, fmt.Sprintf("some file of the round %d", i)), b, 0o644); err != nil {
				return err
			}
		}
		if err := sh(fmt.Sprintf(`
			ln %[1]s/some\ file\ of\ the\ round\ 3 %[1]s/hard
			ln -s "$(printf 'x%%.0s' {1..90})" %[1]s/long
			ln -s short %[1]s/soft
			mknod %[1]s/null c 1 3
			setfattr -n user.a -v "$(printf 'v%%.0s' {1..300})" %[1]s/hard || true
			chown 12:34 %[1]s/hard; chmod 4711 %[1]s/hard
			fallocate -l 300000 %[1]s/unwritten || true
			truncate -s 1000000 %[1]s/sparse
			sync .
			if [ -d round$((%[2]d - 2)) ]; then rm -rf round$((%[2]d - 2)); mv round$((%[2]d - 1))/hard moved%[2]d; fi
			truncate -s 100 "%[1]s/some file of the round 150"
			sync .
		`, filepath.Base(d), r))(dir); err != nil {
			return err
		}
	}
	return nil
}

func TestJournalAsKernel(t *testing.T) {
	needKernel(t)
	for _, c := range []struct {
		name string
		img  jbd2test.Image
	}{
		{"4KiB", jbd2test.Image{Size: "96M", Mkfs: []string{"-t", "ext4", "-b", "4096"}, Flush: true}},
		{"1KiB, small journal", jbd2test.Image{Size: "96M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-J", "size=1"}}},
		{"ext3", jbd2test.Image{Size: "96M", Mkfs: []string{"-t", "ext3", "-b", "1024"}, Flush: true}},
		{"no metadata_csum", jbd2test.Image{Size: "96M", Mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^64bit"}}},
		{"data=journal", jbd2test.Image{Size: "96M", Mkfs: []string{"-t", "ext4", "-b", "1024"}, Mount: "data=journal", Flush: true}},
		{"inline_data", jbd2test.Image{Size: "96M", Mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "inline_data"}, Flush: true}},
		{"bigalloc", jbd2test.Image{Size: "256M", Mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "bigalloc"}, Flush: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name != "1KiB, small journal" {
				images.NeedLong(t)
			}
			c.img.Work = busy
			if c.img.Mount == "" && !c.img.Flush {
				// Something beyond the last transaction, that recovery must not show.
				c.img.Work = func(dir string) error {
					if err := busy(dir); err != nil {
						return err
					}
					return os.WriteFile(filepath.Join(dir, "lost"), []byte("lost"), 0o600)
				}
			}
			img := c.img.Make(t)
			fs := sameAsKernel(t, img)
			if fs.replay.Transactions == 0 {
				t.Error("nothing was replayed")
			}
		})
	}
}
