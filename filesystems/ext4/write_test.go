package ext4

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// written is a filesystem that a test writes, in memory.
type written struct {
	*FileSystem
	t    testing.TB
	dev  *blocktest.Memory
	side *memorySidecar

	moved    vfs.Ino // TestWriteInline's
	movedAll bool
}

// memorySidecar is a redo.Sidecar in memory.
type memorySidecar struct{ b []byte }

func (s *memorySidecar) Size() (int64, error) { return int64(len(s.b)), nil }
func (s *memorySidecar) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.b).ReadAt(p, off)
}
func (s *memorySidecar) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(s.b) {
		s.b = append(s.b, make([]byte, need-len(s.b))...)
	}
	return copy(s.b[off:], p), nil
}
func (s *memorySidecar) Sync(context.Context) error { return nil }
func (s *memorySidecar) Remove() error              { s.b = nil; return nil }
func (s *memorySidecar) String() string             { return "the sidecar" }

var testTime = vfs.Time{Sec: 1_700_000_000, Nsec: 5}

// mkfs makes an ext4 image with the options of mke2fs and opens it for writing.
func mkfs(t testing.TB, size string, options ...string) *written {
	t.Helper()
	return openWritten(t, blocktest.NewMemory(mkfsBytes(t, size, options...)), &memorySidecar{})
}

func mkfsBytes(t testing.TB, size string, options ...string) []byte {
	t.Helper()
	images.NeedTool(t, "mke2fs", "e2fsck")
	path := filepath.Join(t.TempDir(), "ext4.img")
	args := append([]string{"-q", "-F"}, options...)
	if !slices.Contains(options, "-t") {
		args = append(args, "-t", "ext4")
	}
	if out, err := exec.Command("mke2fs", append(args, path, size)...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openWritten(t testing.TB, dev *blocktest.Memory, side *memorySidecar) *written {
	t.Helper()
	fs, err := open(t.Context(), []block.Device{dev}, vfs.Options{Writable: true, Sidecar: side})
	if err != nil {
		t.Fatal(err)
	}
	return &written{FileSystem: fs.(*FileSystem), t: t, dev: dev, side: side}
}

// do makes one change.
func (w *written) do(f func(x *tx) error) error {
	w.t.Helper()
	x, err := w.begin(context.Background(), testTime)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := f(x); err != nil {
		x.Abort()
		return err
	}
	return x.Commit(false)
}

func (w *written) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *written) create(dir vfs.Ino, name string, mode uint32) vfs.Ino {
	w.t.Helper()
	var ino vfs.Ino
	w.must(w.do(func(x *tx) (err error) {
		ino, err = x.Create(context.Background(), dir, name, vfs.New{Mode: mode})
		return err
	}))
	return ino
}

func (w *written) write(ino vfs.Ino, off int64, p []byte) {
	w.t.Helper()
	if n, err := vfs.WriteAt(context.Background(), w.FileSystem, ino, p, off, testTime); err != nil || n != len(p) {
		w.t.Fatalf("wrote %d of %d bytes: %v", n, len(p), err)
	}
}

func (w *written) unlink(dir vfs.Ino, name string, isDir bool) {
	w.t.Helper()
	var gone vfs.Ino
	w.must(w.do(func(x *tx) (err error) {
		gone, err = x.Unlink(context.Background(), dir, name, isDir)
		return err
	}))
	w.must(w.Evict(context.Background(), gone, testTime))
}

func (w *written) read(ino vfs.Ino) []byte {
	w.t.Helper()
	n, err := w.Inode(context.Background(), ino)
	w.must(err)
	b := make([]byte, n.Attr().Size)
	if len(b) > 0 {
		if _, err := vfs.ReadAt(context.Background(), n, b, 0); err != nil {
			w.t.Fatal(err)
		}
	}
	return b
}

// fsck closes the filesystem and has e2fsck look at it.
func (w *written) fsck() string {
	w.t.Helper()
	w.must(w.Close(context.Background()))
	if len(w.side.b) > 0 {
		w.t.Error("the log beside the image is still there")
	}
	return fsckBytes(w.t, w.dev.Bytes())
}

func fsckBytes(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "written.img")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("e2fsck", "-fn", path).CombinedOutput()
	if lines := strings.Count(strings.TrimSpace(string(out)), "\n"); err != nil || lines > 6 {
		if keep := os.Getenv("GUESTCTL_KEEP"); keep != "" {
			_ = os.WriteFile(keep, b, 0o600)
		}
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
	return path
}

// layouts are those that the writer is tested on.
var layouts = map[string][]string{
	"default":    nil,
	"newer":      {"-O", "orphan_file,metadata_csum_seed"},
	"1k":         {"-b", "1024"},
	"no csum":    {"-O", "^metadata_csum"},
	"gdt csum":   {"-O", "^metadata_csum,uninit_bg"},
	"no 64bit":   {"-O", "^64bit"},
	"no flex":    {"-O", "^flex_bg"},
	"small ino":  {"-I", "128"},
	"2k 512":     {"-b", "2048", "-I", "512"},
	"no index":   {"-O", "^dir_index"},
	"64k":        {"-b", "65536"},
	"few groups": {"-b", "1024", "-g", "1024"},
	"large dir":  {"-b", "1024", "-O", "large_dir"},
	"ext3":       {"-t", "ext3"},
	"ext3 1k":    {"-t", "ext3", "-b", "1024"},
	"no type":    {"-O", "^filetype"},
	"meta_bg":    {"-b", "1024", "-g", "1024", "-O", "meta_bg,^resize_inode"},
	"meta_bg 32": {"-b", "1024", "-g", "1024", "-O", "meta_bg,^resize_inode,^64bit"},
	"inline":     {"-O", "inline_data"},
	"fast":       {"-O", "fast_commit"},
	"ext2":       {"-t", "ext2"},
	"ext2 1k":    {"-t", "ext2", "-b", "1024"},
	"no journal": {"-O", "^has_journal"},
}

// shortLayouts are those that share least, for make test.
var shortLayouts = map[string]bool{"newer": true, "1k": true, "gdt csum": true, "ext3 1k": true, "no type": true, "few groups": true, "ext2 1k": true}

func TestWriteBasics(t *testing.T) {
	for name, options := range layouts {
		t.Run(name, func(t *testing.T) {
			if !shortLayouts[name] {
				images.NeedLong(t)
			}
			ctx := context.Background()
			size := "24M"
			if name == "64k" {
				size = "160M"
			}
			w := mkfs(t, size, options...)
			root := w.Root()
			dir := w.create(root, "dir", 0o40755)
			var files []vfs.Ino
			for i := range 300 {
				f := w.create(dir, fmt.Sprintf("a-file-with-a-longer-name-%04d", i), 0o100644)
				files = append(files, f)
				if i%10 == 0 {
					w.write(f, 0, bytes.Repeat([]byte{byte(i)}, 1+i*37))
				}
			}
			big := w.create(root, "big", 0o100600)
			content := bytes.Repeat([]byte("0123456789abcdef"), 3<<16)
			w.write(big, 0, content)
			if !bytes.Equal(w.read(big), content) {
				t.Error("the large file reads differently")
			}
			sparse := w.create(root, "sparse", 0o100600)
			for i := range 200 {
				w.write(sparse, int64(i)*3*int64(w.geo.blockSize)+7, []byte("x"))
			}
			w.must(w.Truncate(ctx, big, 100_000, testTime))
			w.must(w.Truncate(ctx, sparse, 250*int64(w.geo.blockSize), testTime))
			w.must(w.do(func(x *tx) error {
				_, err := x.Create(ctx, root, "short", vfs.New{Mode: 0o120777, Target: "dir/x"})
				return err
			}))
			w.must(w.do(func(x *tx) error {
				_, err := x.Create(ctx, root, "long", vfs.New{Mode: 0o120777, Target: strings.Repeat("long/", 50)})
				return err
			}))
			w.must(w.do(func(x *tx) error { return x.Link(ctx, files[3], root, "hard") }))
			w.must(w.do(func(x *tx) error {
				_, err := x.Rename(ctx, root, "dir", root, "renamed", 0)
				return err
			}))
			sub := w.create(dir, "sub", 0o40700)
			w.must(w.do(func(x *tx) error {
				_, err := x.Rename(ctx, dir, "sub", root, "moved", 0)
				return err
			}))
			w.create(sub, "in", 0o20600)
			for i := range 150 {
				w.unlink(dir, fmt.Sprintf("a-file-with-a-longer-name-%04d", i*2), false)
			}
			w.must(w.do(func(x *tx) error {
				gone, err := x.Rename(ctx, dir, "a-file-with-a-longer-name-0001", dir, "a-file-with-a-longer-name-0003", 0)
				_ = gone
				return err
			}))
			for i := range 5 {
				w.must(w.do(func(x *tx) error {
					return x.SetXattr(ctx, files[5], fmt.Sprintf("user.number%d", i), bytes.Repeat([]byte{'v'}, 40*i), 0)
				}))
			}
			w.create(root, "empty", 0o40755)
			w.unlink(root, "empty", true)
			w.unlink(root, "sparse", false)
			path := w.fsck()
			_ = path
		})
	}
}

// newCopy is a copy of the device as it is now.
func newCopy(w *written) *blocktest.Memory { return blocktest.NewMemory(w.dev.Bytes()) }
