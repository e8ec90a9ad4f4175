package ext4

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/vfs"
)

// changeAll makes changes to everything that a damaged image shows. They may
// fail; they must end.
func changeAll(b []byte) {
	ctx := context.Background()
	fs, err := open(ctx, []block.Device{blocktest.NewMemory(b)}, vfs.Options{Writable: true, Sidecar: &memorySidecar{}, CacheBytes: 1 << 20})
	if err != nil {
		return
	}
	w := fs.(*FileSystem)
	defer w.Close(ctx)
	change := func(f func(x *tx) error) {
		x, err := w.begin(ctx, testTime)
		if err != nil {
			return
		}
		if f(x) != nil {
			x.Abort()
			return
		}
		_ = x.Commit(false)
	}
	visit := func(dir vfs.Ino) []vfs.Entry {
		n, err := w.Inode(ctx, dir)
		if err != nil {
			return nil
		}
		var all []vfs.Entry
		for e, err := range n.Entries(ctx, vfs.Cursor{}) {
			if err != nil || len(all) > 100 {
				break
			}
			all = append(all, e)
		}
		return all
	}
	dirs := []vfs.Ino{w.Root()}
	for i := 0; i < len(dirs) && i < 4; i++ {
		dir := dirs[i]
		for k, e := range visit(dir) {
			switch k % 6 {
			case 0:
				_, _ = vfs.WriteAt(ctx, w, e.Ino, make([]byte, 5000), 700, testTime)
				_, _ = vfs.WriteAt(ctx, w, e.Ino, make([]byte, 100), math.MaxInt64-50, testTime)
			case 1:
				_ = w.Truncate(ctx, e.Ino, 1500, testTime)
			case 2:
				var gone vfs.Ino
				change(func(x *tx) (err error) { gone, err = x.Unlink(ctx, dir, e.Name, false); return err })
				_ = w.Evict(ctx, gone, testTime)
			case 3:
				change(func(x *tx) error { return x.SetXattr(ctx, e.Ino, "user.fuzz", make([]byte, 300), 0) })
			case 4:
				change(func(x *tx) error { _, err := x.Rename(ctx, dir, e.Name, w.Root(), e.Name+"2", 0); return err })
			case 5:
				_ = w.Fallocate(ctx, e.Ino, 1000, 9000, vfs.FallocateKeepSize|vfs.FallocatePunchHole, testTime)
			}
			dirs = append(dirs, e.Ino)
		}
		for k := range 30 {
			change(func(x *tx) error {
				_, err := x.Create(ctx, dir, fmt.Sprintf("a new name, longer than others, %d", k), vfs.New{Mode: 0o100644 + uint32(k%2)*0o340111})
				return err
			})
		}
		change(func(x *tx) error { _, err := x.Unlink(ctx, dir, "dir", true); return err })
	}
	_ = w.Sync(ctx)
}

// writeSeeds are small images that are damaged and then written.
func writeSeeds(t testing.TB) [][]byte {
	var seeds [][]byte
	for _, options := range [][]string{
		{"-t", "ext4", "-O", "^metadata_csum,^resize_inode,^has_journal"},
		{"-t", "ext4", "-O", "^metadata_csum,^resize_inode,^has_journal,inline_data", "-I", "256"},
		{"-t", "ext2", "-I", "128"},
		{"-t", "ext3"},
	} {
		seeds = append(seeds, smallImage(t, options...))
	}
	return seeds
}

// FuzzWriteImage changes a small image, one piece of which was replaced.
func FuzzWriteImage(f *testing.F) {
	seeds := writeSeeds(f)
	for i := range seeds {
		f.Add(uint8(i), uint32(superOffset+0x18), []byte{9, 0, 0, 0})
		f.Add(uint8(i), uint32(0x28000), bytes.Repeat([]byte{0xff}, 64))
	}
	f.Fuzz(func(_ *testing.T, which uint8, at uint32, b []byte) {
		img := bytes.Clone(seeds[int(which)%len(seeds)])
		copy(img[int(at)%len(img):], b)
		changeAll(img)
	})
}

// TestWriteDamaged changes images with damage in their structures: no panic,
// and an end. An image without damage has no fault after the same changes.
func TestWriteDamaged(t *testing.T) {
	seeds := writeSeeds(t)
	rounds := 60
	if os.Getenv("GUESTCTL_LONG") != "" {
		rounds = 5000
	}
	r := rand.New(rand.NewPCG(11, 12))
	for i := range rounds {
		img := bytes.Clone(seeds[i%len(seeds)])
		for range 1 + r.IntN(4) { // among the metadata, at the start
			at := superOffset + r.IntN(1+r.IntN(120<<10))
			switch r.IntN(3) {
			case 0:
				img[at] = byte(r.Uint32())
			case 1:
				img[at] ^= 1 << r.IntN(8)
			case 2:
				copy(img[at:], bytes.Repeat([]byte{byte(r.IntN(2) * 255)}, 1+r.IntN(16)))
			}
		}
		changeAll(img)
	}
	for _, seed := range seeds {
		clean := bytes.Clone(seed)
		changeAll(clean)
		fsckBytes(t, clean)
	}
}
