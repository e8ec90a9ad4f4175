package mount

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"

	"github.com/guestctl/guestctl/filesystems/ext4"
	"github.com/guestctl/guestctl/formats/block"
	rawfile "github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
	"github.com/guestctl/guestctl/vfs"
)

// A writeLab is an ext4 image that is mounted for writing.
type writeLab struct {
	*Server
	t     testing.TB
	image string
	file  *rawfile.File
	fs    vfs.FileSystem
	tree  *vfs.Tree
}

// mkext4 makes an image as mke2fs has it by default.
func mkext4(t testing.TB, size string, options ...string) string {
	t.Helper()
	images.NeedTool(t, "mke2fs", "e2fsck")
	path := filepath.Join(t.TempDir(), "ext4.img")
	args := append([]string{"-q", "-F", "-t", "ext4"}, options...)
	if out, err := exec.Command("mke2fs", append(args, path, size)...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	return path
}

// mountWritable mounts an image for writing. finish ends it.
func mountWritable(t testing.TB, image string, opt Options) *writeLab {
	t.Helper()
	images.NeedFUSE(t)
	f, err := rawfile.OpenFile(image, rawfile.Options{Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Writer()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	fs, err := ext4.Driver().Open(t.Context(), []block.Device{w}, vfs.Options{Writable: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	lab := &writeLab{t: t, image: image, file: f, fs: fs, tree: vfs.NewTree("sda1", fs)}
	if opt.Log == nil {
		opt.Log = log
	}
	opt.Writable = true
	if lab.Server, err = Mount(t.Context(), t.TempDir(), vfs.NewNamespace(lab.tree), opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.finish)
	return lab
}

func (l *writeLab) at(name string) string { return filepath.Join(l.Dir(), name) }

// finish unmounts; the image must be without a fault then, and the kernel must see what we showed.
func (l *writeLab) finish() {
	if l.file == nil {
		return
	}
	l.t.Helper()
	want := l.manifest(l.Dir())
	unmount(l.t, l.Server)
	if err := errors.Join(l.fs.Close(context.Background()), l.file.Close()); err != nil {
		l.t.Errorf("close: %v", err)
	}
	l.file = nil
	fsck(l.t, l.image)
	if os.Geteuid() != 0 || l.t.Failed() {
		return
	}
	kernel := images.KernelMount(l.t, l.image, 0, 0, "ext4", "ro")
	if lines, total := manifest.Diff(want, l.manifest(kernel), manifest.All, 10); total > 0 {
		l.t.Errorf("the kernel sees %d things otherwise: %q", total, lines)
	}
	images.Unmount(l.t, kernel)
}

func (l *writeLab) manifest(dir string) manifest.Manifest {
	m, err := manifest.Walk(context.Background(), dir, manifest.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

func fsck(t testing.TB, image string) {
	t.Helper()
	if out, err := exec.Command("e2fsck", "-fn", image).CombinedOutput(); err != nil {
		t.Errorf("e2fsck -fn: %v: %s", err, out)
	}
}

// TestPosix: what go-fuse expects of any filesystem. FcntlFlockLocksFile takes a lock twice from one process and fails on
// the kernel's own ext4 too.
func TestPosix(t *testing.T) {
	l := mountWritable(t, mkext4(t, "64M"), Options{})
	for name, test := range posixtest.All {
		t.Run(name, func(t *testing.T) {
			if name == "FcntlFlockLocksFile" {
				t.Skip("the kernel's ext4 fails it too")
			}
			dir := l.at(name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			test(t, dir)
		})
	}
}
