package btrfs_test

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/guestctl/guestctl/filesystems/btrfs"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// edit changes bytes of blocks as an input of a fuzz target says, five bytes a
// change: which block, where in it, and the new value. Most of a leaf is in
// its head and its tail.
func edit(t testing.TB, o *block.Overlay, list []int64, edits []byte, sealed bool) {
	b := make([]byte, nodeSize)
	for n := 0; len(edits) >= 5 && n < 32; n, edits = n+1, edits[5:] {
		off := list[int(edits[0])%len(list)]
		if err := block.ReadFull(t.Context(), o, b, off); err != nil {
			t.Fatal(err)
		}
		at := int(binary.BigEndian.Uint16(edits[1:])) % len(b)
		if edits[3]&1 != 0 {
			at %= 256
		}
		b[at] = edits[4]
		if sealed {
			seal(b)
		}
		if _, err := o.WriteAt(t.Context(), b, off); err != nil {
			t.Fatal(err)
		}
	}
}

func tryOpen(t *testing.T, dev block.Device, opt vfs.Options, budget int) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if fs, err := btrfs.Driver().Open(ctx, []block.Device{dev}, opt); err == nil {
		walk(ctx, fs, fs.Root(), 0, &budget, ignore)
		if u, err := fs.Usage(ctx); err == nil && u.Free > u.Blocks {
			t.Errorf("%+v", u)
		}
		_, _ = fs.(vfs.Subvolumer).Subvolumes(ctx)
	}
	if ctx.Err() != nil {
		t.Error("it took too long")
	}
}

// FuzzTrees changes bytes in the tree blocks of a filesystem that the kernel
// wrote, makes the checksums right, then opens and walks it.
func FuzzTrees(f *testing.F) {
	img, _ := images.Btrfs(f, "single")
	dev := devices(f, img.Path, 1, 0)[0]
	list := treeBlocks(f, dev, vfs.Options{})
	for i := range 60 {
		f.Add([]byte{byte(i), byte(i * 3), byte(i * 7), byte(i), byte(i * 31)})
		f.Add([]byte{byte(i), 0, byte(96 + i), 1, 0xff, byte(i), 0, byte(101 + i*5), 1, byte(i)})
	}
	f.Fuzz(func(t *testing.T, edits []byte) {
		o, err := block.NewOverlay(dev, 4096, 16<<20)
		if err != nil {
			t.Fatal(err)
		}
		edit(t, o, list, edits, true)
		tryOpen(t, o, vfs.Options{}, 150)
	})
}

// FuzzSuper changes bytes of the superblock, the array of chunks included.
func FuzzSuper(f *testing.F) {
	img, _ := images.Btrfs(f, "single")
	dev := devices(f, img.Path, 1, 0)[0]
	for i := range 60 {
		f.Add(uint16(32+i*4), []byte{byte(i), 0xff, byte(i * 3)})
		f.Add(uint16(811+i*3), []byte{0xff, byte(i)})
	}
	f.Fuzz(func(t *testing.T, at uint16, change []byte) {
		o, err := block.NewOverlay(dev, 4096, 16<<20)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		if err := block.ReadFull(t.Context(), dev, b, superAt); err != nil {
			t.Fatal(err)
		}
		copy(b[32+int(at)%(len(b)-32):], change)
		seal(b)
		if _, err := o.WriteAt(t.Context(), b, superAt); err != nil {
			t.Fatal(err)
		}
		tryOpen(t, o, vfs.Options{}, 50)
	})
}

// FuzzLog changes bytes of the tree blocks of a dirty filesystem, those of its
// log among them, and replays it.
func FuzzLog(f *testing.F) {
	images.NeedRoot(f)
	path := dirtyImage(f, 5, 60, "", "-m", "single")
	dev := devices(f, path, 1, 0)[0]
	with, without := treeBlocks(f, dev, vfs.Options{}), treeBlocks(f, dev, vfs.Options{NoRecovery: true})
	list := slices.DeleteFunc(with, func(off int64) bool { return slices.Contains(without, off) })
	if len(list) == 0 {
		f.Fatal("the log has no blocks")
	}
	for i := range 60 {
		f.Add([]byte{byte(i), byte(i * 3), byte(i * 7), byte(i), byte(i * 31)})
		f.Add([]byte{byte(i), 0, byte(96 + i), 1, 0xff, byte(i), 0, byte(101 + i*5), 1, byte(i)})
	}
	f.Fuzz(func(t *testing.T, edits []byte) {
		o, err := block.NewOverlay(dev, 4096, 16<<20)
		if err != nil {
			t.Fatal(err)
		}
		edit(t, o, list, edits, true)
		tryOpen(t, o, vfs.Options{}, 100)
	})
}
