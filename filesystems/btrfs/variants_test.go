package btrfs_test

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/filesystems/btrfs"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// devices opens the devices that stand in an image file one after the other.
func devices(t testing.TB, path string, count int, size int64) []block.Device {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if count == 1 {
		return []block.Device{f}
	}
	var devs []block.Device
	for i := range count {
		dev, err := block.Section(f, int64(i)*size, size)
		if err != nil {
			t.Fatal(err)
		}
		devs = append(devs, dev)
	}
	return devs
}

func openOn(ctx context.Context, dev block.Device) (vfs.FileSystem, error) {
	return btrfs.Driver().Open(ctx, []block.Device{dev}, vfs.Options{})
}

func open(t testing.TB, devs []block.Device, options string) vfs.FileSystem {
	t.Helper()
	fsys, err := btrfs.Driver().Open(context.Background(), devs, vfs.Options{Mount: options})
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
	case "default", "fedora", "opensuse", "zlib", "lzo", "zstd", "xxhash", "sha256", "blake2", "mixed", "raid1", "raid6", "jbod":
	default:
		images.NeedLong(t)
	}
}

// TestVariants compares the tree of every layout with the kernel's, where it
// mounts it.
func TestVariants(t *testing.T) {
	for _, v := range images.BtrfsVariants() {
		t.Run(v.Name, func(t *testing.T) {
			needOrdinary(t, v.Name)
			img, v := images.Btrfs(t, v.Name)
			options := ""
			if v.Name == "fedora" {
				options = "subvolid=5"
			}
			fsys := open(t, devices(t, img.Path, v.Devices, v.Size), options)
			got := vfstest.FromVFS(t, fsys, maxFile)
			if len(got) < 10 {
				t.Errorf("%d entries", len(got))
			}
			if !v.Kernel {
				// Its sectors are larger than the kernel's pages: what it was made
				// of is what another image was made of that the kernel reads.
				img, v := images.Btrfs(t, "source")
				want := vfstest.FromDir(t, images.KernelBtrfs(t, img.Path, v.Devices, v.Size, "ro"), maxFile)
				const times = vfstest.Atime | vfstest.Mtime | vfstest.Ctime
				report(t, vfstest.Differences(got, want, times|vfstest.DirSize|vfstest.Blocks|vfstest.Nlink|vfstest.InoNumber))
				return
			}
			root := images.KernelBtrfs(t, img.Path, v.Devices, v.Size, "ro,"+options)
			want := vfstest.FromDir(t, root, maxFile)
			t.Logf("%d entries", len(want))
			emptyDirs(got, want)
			nearUsage(t, fsys, root)
			report(t, vfstest.Differences(got, want, 0))
		})
	}
}

// TestConverted reads what btrfs-convert made of an ext4 filesystem, which stands
// in a subvolume as one file whose extents are those of the files.
func TestConverted(t *testing.T) {
	images.NeedLong(t)
	images.NeedTool(t, "btrfs-convert", "debugfs", "e2fsck")
	src := images.Ext(t, "ext4")
	path := images.Copy(t, src.Path, t.TempDir())
	// Longer than Linux reads from btrfs.
	run(t, "debugfs", "-w", "-R", "rm /odd/links/longest", path)
	run(t, "e2fsck", "-fy", path)
	run(t, "btrfs-convert", path)
	got := vfstest.FromVFS(t, open(t, devices(t, path, 1, 0), ""), 1<<30)
	want := vfstest.FromDir(t, images.KernelMount(t, path, 0, 0, "btrfs", "ro"), 1<<30)
	t.Logf("%d entries", len(want))
	report(t, vfstest.Differences(got, want, 0))
}

// nearUsage compares Usage with the kernel's statfs, which also takes off a
// reserve.
func nearUsage(t *testing.T, fsys vfs.FileSystem, root string) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		t.Fatal(err)
	}
	got, err := fsys.Usage(t.Context())
	reserve := uint64(32<<20) / uint64(st.Bsize) // it grows with the size of blocks
	if err != nil || got.BlockSize != int(st.Bsize) || got.Blocks != st.Blocks || got.Free < st.Bfree || got.Free-st.Bfree > reserve {
		t.Errorf("Usage is %+v, %v; the kernel says %d blocks, %d free, %d available", got, err, st.Blocks, st.Bfree, st.Bavail)
	}
	t.Logf("%+v; the kernel says %d free, %d available", got, st.Bfree, st.Bavail)
}

// emptyDirs takes what the kernel makes up for the empty directories that stand
// for subvolumes in snapshots for what we do.
func emptyDirs(got, want vfstest.Tree) {
	const number = 2
	for p, w := range want {
		if g := got[p]; w.Ino == number && g.Ino>>63 == 1 {
			w.Ino, w.Mtime, w.Ctime = g.Ino, g.Mtime, g.Ctime
			want[p] = w
		}
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
