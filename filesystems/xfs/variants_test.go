package xfs_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/guestctl/guestctl/filesystems/xfs"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// device opens an image file.
func device(t testing.TB, path string) block.Device {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func openOn(ctx context.Context, dev block.Device) (vfs.FileSystem, error) {
	return xfs.Driver().Open(ctx, []block.Device{dev}, vfs.Options{})
}

func open(t testing.TB, dev block.Device) vfs.FileSystem {
	t.Helper()
	fsys, err := openOn(context.Background(), dev)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// maxFile bounds what is hashed of one file.
const maxFile = 16 << 20

// needOrdinary skips the layouts that `make test` has no time to make.
func needOrdinary(t testing.TB, variant string) {
	t.Helper()
	switch variant {
	case "default", "few", "1k", "dir64k", "plain-v5", "v4", "v4-few", "v4-ci", "64k", "names-100000":
	default:
		images.NeedLong(t)
	}
}

// TestVariants compares the tree of every layout with the kernel's, where it
// mounts it.
func TestVariants(t *testing.T) {
	for _, v := range images.XFSVariants() {
		t.Run(v.Name, func(t *testing.T) {
			needOrdinary(t, v.Name)
			img := images.XFS(t, v.Name)
			got := vfstest.FromVFS(t, open(t, device(t, img.Path)), maxFile)
			if len(got) < 100 {
				t.Errorf("%d entries", len(got))
			}
			if !v.Kernel {
				return
			}
			root := images.KernelRoot(t, img, "xfs")
			want := vfstest.FromDir(t, root, maxFile)
			report(t, vfstest.Differences(got, want, 0))
		})
	}
}

// report shows the first differences.
func report(t *testing.T, lines []string) {
	t.Helper()
	for i, line := range lines {
		if i == 20 {
			t.Fatalf("and %d more differences", len(lines)-i)
		}
		if len(line) > 600 {
			line = line[:600] + "..."
		}
		t.Error(line)
	}
}

// TestDebian compares 20,000 files of a Debian, and some that share blocks with
// others, with what the kernel reads from the same filesystem.
func TestDebian(t *testing.T) {
	for _, name := range []string{"xfs", "xfs-rmapbt", "xfs-dir64k"} {
		t.Run(name, func(t *testing.T) {
			if name != "xfs" {
				images.NeedLong(t)
			}
			img := images.DebianOn(t, name)
			got := vfstest.FromVFS(t, open(t, device(t, img.Path)), 0)
			want := vfstest.FromDir(t, images.KernelRoot(t, img, "xfs"), 0)
			if len(want) < 20_000 {
				t.Errorf("%d entries", len(want))
			}
			t.Logf("%d entries", len(want))
			report(t, vfstest.Differences(got, want, 0))
		})
	}
}

// TestDebianWhole reads a Debian root that the kernel copied onto XFS.
func TestDebianWhole(t *testing.T) {
	images.NeedLong(t)
	images.NeedRoot(t)
	src := images.KernelRoot(t, images.Debian(t), "ext4")
	for name, options := range map[string][]string{
		"default":                nil,
		"directories of 64 KiB":  {"-n", "size=65536"},
		"1 KiB, reverse mapping": {"-b", "size=1024", "-m", "rmapbt=1"},
	} {
		t.Run(name, func(t *testing.T) {
			path := makeXFS(t, 4<<30, options...)
			mnt := images.KernelMount(t, path, 0, 0, "xfs", "")
			// /srv holds names and devices that only ext4 can.
			run(t, "bash", "-ec", `cd "$0"; for d in *; do [ "$d" = srv ] || cp -a "$d" "$1/"; done`, src, mnt)
			run(t, "cp", "-a", "--reflink=always", filepath.Join(mnt, "etc"), filepath.Join(mnt, "etc-clone"))
			images.Unmount(t, mnt)
			got := vfstest.FromVFS(t, open(t, device(t, path)), 0)
			want := vfstest.FromDir(t, images.KernelMount(t, path, 0, 0, "xfs", "ro"), 0)
			if len(want) < 10_000 {
				t.Errorf("%d entries", len(want))
			}
			t.Logf("%d entries", len(want))
			report(t, vfstest.Differences(got, want, 0))
		})
	}
}
