package xfs_test

import (
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// TestSuite puts the driver through the contract of vfs, on those layouts that
// differ in what it asks.
func TestSuite(t *testing.T) {
	for _, v := range images.XFSVariants() {
		long := false
		switch v.Name {
		case "few", "v4-few":
		case "2k", "dir64k", "v4-noftype":
			long = true
		default:
			continue // TestVariants reads it
		}
		t.Run(v.Name, func(t *testing.T) {
			if long {
				images.NeedLong(t)
			}
			img := images.XFS(t, v.Name)
			dev := device(t, img.Path)
			c := vfstest.Case{
				Open:   func(t testing.TB) vfs.FileSystem { return open(t, dev) },
				Device: func(testing.TB) block.Device { return dev }, OpenOn: openOn, DamageRounds: 25, MaxRead: 1 << 20,
			}
			if v.Kernel {
				c.Oracle = vfstest.FromDir(t, images.KernelRoot(t, img, "xfs"), c.MaxRead)
			}
			vfstest.Run(t, c)
		})
	}
}
