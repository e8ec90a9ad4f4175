package fat_test

import (
	"context"
	"testing"

	"github.com/guestctl/guestctl/filesystems/fat"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// TestDebian compares 20,000 files of a Debian with what mtools copies from the
// same FAT32, and with what exfat-fuse shows of the same exFAT.
func TestDebian(t *testing.T) {
	for _, c := range []struct {
		name   string
		driver vfs.Driver
		oracle func(img string) vfstest.Tree
		ignore vfstest.Field
	}{
		{"fat32", fat.Driver(), func(img string) vfstest.Tree {
			dir := t.TempDir()
			run(t, "mcopy", "-s", "-n", "-m", "-Q", "-i", img, "::/small", dir)
			return vfstest.FromDir(t, dir, 0)
		}, hostOnly | vfstest.Mode},
		{"exfat", fat.ExDriver(), func(img string) (tree vfstest.Tree) {
			exMounted(t, img, "ro", func(dir string) { tree = vfstest.FromDir(t, dir, 0) })
			return tree
		}, hostOnly | vfstest.Mode},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := images.DebianOn(t, c.name)
			want := c.oracle(img.Path)
			if len(want) < 20_000 {
				t.Fatalf("the oracle sees %d entries", len(want))
			}
			fs, err := c.driver.Open(context.Background(), []block.Device{device(t, img.Path)}, vfs.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := vfstest.FromVFS(t, fs, 0)
			t.Logf("%d entries", len(got))
			for i, line := range vfstest.Differences(got, want, c.ignore) {
				if i > 20 {
					t.Fatal("and more")
				}
				t.Error(line)
			}
			checkTimes(t, fs, want)
		})
	}
}
