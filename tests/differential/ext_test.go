package differential

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
)

// Every layout of ext2, ext3 and ext4 reads as the kernel reads it, or debugfs where this kernel cannot.
func TestExt(t *testing.T) {
	images.NeedFUSE(t)
	for _, v := range images.ExtVariants() {
		t.Run(v.Name, func(t *testing.T) {
			img := images.Ext(t, v.Name)
			var want manifest.Manifest
			fields := manifest.All | manifest.Btime
			if v.Kernel {
				want = walk(t, images.KernelMount(t, img.Path, 0, 0, "ext4", "ro,noload"))
			} else {
				images.NeedTool(t, "debugfs")
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
				defer cancel()
				var err error
				if want, err = manifest.Debugfs(ctx, img.Path); err != nil {
					t.Fatal(err)
				}
				zeros(want)
			}
			m := whole(t, img)
			same(t, want, walk(t, m.Dir), fields)
		})
	}
}

// Filesystems that were not unmounted cleanly read as after the kernel's replay, and the image keeps its bytes.
func TestDirty(t *testing.T) {
	images.NeedFUSE(t)
	for _, v := range images.DirtyVariants() {
		t.Run(v.Name, func(t *testing.T) {
			dirty, replayed := images.Dirty(t, v.Name)
			fields := manifest.All
			if v.Truncates {
				fields &^= manifest.Mtime | manifest.Ctime
			}
			want := walk(t, images.KernelMount(t, replayed.Path, 0, 0, "ext4", "ro,noload"))
			before := hash(t, dirty.Path)
			m := whole(t, dirty)
			got := walk(t, m.Dir)
			if strings.HasPrefix(v.Name, "fast-commit") {
				noFolderTimes(want)
				noFolderTimes(got)
			}
			same(t, want, got, fields)
			m.End(t)
			if hash(t, dirty.Path) != before {
				t.Error("the image was written to")
			}
		})
	}
}

// noFolderTimes leaves the times of folders out: the kernel adds and removes the names of a fast commit as if somebody did
// so at the time of the replay.
func noFolderTimes(m manifest.Manifest) {
	for i := range m {
		if m[i].Mode&unix.S_IFMT == unix.S_IFDIR {
			m[i].Mtime, m[i].Ctime = time.Time{}, time.Time{}
		}
	}
}

// zeros corrects what debugfs 1.47 says of data/all-hole: where mke2fs put that file of 3,000,000 zeros into its inode it
// reads the inode's 60 bytes and stops.
func zeros(m manifest.Manifest) {
	for i := range m {
		if m[i].Path == "data/all-hole" && m[i].Size == 3000000 {
			m[i].Sum = sha256.Sum256(make([]byte, 3000000))
		}
	}
}
