package differential

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
)

// Every entry of a real Debian root is through our mount what it is through the kernel's, from each kind of image.
func TestDebian(t *testing.T) {
	images.NeedFUSE(t)
	raw := images.Debian(t)
	want := walk(t, images.KernelRoot(t, raw, "ext4"))
	if len(want) < 20000 {
		t.Fatalf("only %d entries", len(want))
	}
	for _, c := range []struct {
		name string
		make func(testing.TB) images.Image
	}{{"raw", images.Debian}, {"qcow2", images.DebianQcow2}, {"overlay", images.DebianOverlay}, {"zlib", images.DebianZlib}, {"zstd", images.DebianZstd}} {
		t.Run(c.name, func(t *testing.T) {
			if (c.name == "zlib" || c.name == "zstd") && os.Getenv("GUESTCTL_LONG") == "" {
				t.Skip("long: the overlay is compressed too")
			}
			m := root(t, c.make(t))
			same(t, want, walk(t, m.Dir), manifest.All|manifest.Btime)
			limit := 120
			if c.name != "raw" && c.name != "qcow2" {
				limit = 220 // each compressed layer keeps up to 64 MiB of what it decompressed
			}
			small(t, m.PID, limit)
		})
	}
}

// small fails the test where the daemon has grown beyond mib.
func small(t *testing.T, pid, mib int) {
	t.Helper()
	kib := status(t, pid, "VmHWM")
	t.Logf("the daemon's resident memory was %d MiB at its highest", kib>>10)
	if kib > mib<<10 && !commands.Race {
		t.Errorf("that is more than %d MiB", mib)
	}
}

// The guest as it sees itself is its root, with what its fstab says.
func TestDebianInspected(t *testing.T) {
	img := images.DebianQcow2(t)
	m, said := commands.Start(t, commands.Self, "-i", "--ro", "-a", img.Path)
	for _, name := range []string{"etc/os-release", "srv/small/000", "usr/bin/env", ".guest/filesystems.json", ".guest/disks/sda"} {
		if _, err := os.Stat(filepath.Join(m.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	// The EFI system partition that fstab names is there too, or a word says why not.
	if efi, err := os.ReadDir(m.Dir + "/boot/efi"); err != nil || len(efi) == 0 {
		if !strings.Contains(said.Stderr, "/boot/efi") || !strings.Contains(said.Stderr, "vfat") {
			t.Errorf("/boot/efi is empty (%v); said %q", err, said.Stderr)
		}
	}
	names, err := os.ReadDir(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if n.Name() == ".guest" {
			t.Error(".guest is listed")
		}
	}
}

// A snapshot of a running Debian reads as the kernel would show it, and is not written to.
func TestDebianDirty(t *testing.T) {
	dirty, replayed := images.DirtyDebian(t)
	want := walk(t, images.KernelMount(t, replayed.Path, replayed.RootOffset, replayed.RootSize, "ext4", "ro,noload"))
	before := hash(t, dirty.Path)
	m := root(t, dirty)
	same(t, want, walk(t, m.Dir), manifest.All)
	m.End(t)
	if hash(t, dirty.Path) != before {
		t.Error("the image was written to")
	}
}

// Eight that read at once all read the same.
func TestParallelReaders(t *testing.T) {
	m := root(t, images.DebianOverlay(t))
	var wg sync.WaitGroup
	trees := make([]manifest.Manifest, 8)
	for i := range trees {
		wg.Go(func() {
			var err error
			if trees[i], err = manifest.Walk(t.Context(), m.Dir+"/srv/odd", manifest.Options{Workers: 1 + i%3}); err != nil {
				t.Error(err)
				return
			}
			more, err := manifest.Walk(t.Context(), m.Dir+"/usr/bin", manifest.Options{Workers: 2})
			if err != nil {
				t.Error(err)
			}
			trees[i] = append(trees[i], more...)
		})
	}
	wg.Wait()
	for _, tree := range trees[1:] {
		same(t, trees[0], tree, manifest.All|manifest.Ino)
	}
}
