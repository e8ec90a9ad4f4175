package images

import (
	"testing"
	"time"
)

// An Image is a finished image in the cache. It is shared: never write to it.
type Image struct {
	Path   string // of the file
	Format string // "raw" or "qcow2"

	// Where the root filesystem lies in the guest's disk, in bytes. RootSize is 0 for an image that is one filesystem and
	// nothing else.
	RootOffset, RootSize int64
}

// What the Debian disk holds, for tests that name it.
const (
	DebianRootUUID     = "6a1b2c3d-0004-4e5f-8a9b-000000000004" // of the filesystem
	DebianRootPartUUID = "6a1b2c3d-0003-4e5f-8a9b-000000000003" // of the partition sda2
	DebianRootLabel    = "debian-root"                          // of the filesystem
	DebianEFIUUID      = "0EF1-0EF1"
	DebianEFIOffset    = 2048 * 512   // of sda1, FAT32
	DebianEFISize      = 131072 * 512 // bytes
	DebianRootOffset   = 133120 * 512 // of sda2, ext4
	DebianRootSize     = (16777182 - 133120 + 1) / 2048 * 2048 * 512
	DebianSmallFiles   = 20000 // in /srv/small, in folders of 200
)

func debianBase() *recipe {
	return &recipe{name: "debian-base", script: "debian-base", ext: "qcow2", limit: 25 * time.Minute,
		tools: []string{"debootstrap", "sfdisk", "mkfs.fat", "mmd", "mcopy", "mke2fs", "qemu-img"}}
}

func debianRaw() *recipe {
	return &recipe{name: "debian", script: "debian", ext: "raw", base: debianBase(), limit: 15 * time.Minute,
		tools: []string{"sfdisk", "perl", "setfattr", "setfacl", "setcap", "openssl", "qemu-img"}}
}

func debianBench() *recipe {
	return &recipe{name: "bench", script: "bench", ext: "raw", base: debianRaw(), limit: 15 * time.Minute,
		tools: []string{"sfdisk", "openssl"}}
}

// debianAs is the disk converted; options are qemu-img convert's.
func debianAs(name, options string) *recipe {
	return &recipe{name: "debian-" + name, script: "convert", ext: "qcow2", base: debianRaw(), env: []string{"OPTIONS=" + options},
		tools: []string{"qemu-img"}, limit: 15 * time.Minute}
}

func debian(t testing.TB, r *recipe, format string) Image {
	t.Helper()
	return Image{Path: r.make(t), Format: format, RootOffset: DebianRootOffset, RootSize: DebianRootSize}
}

// Debian is a real Debian 12 on an 8 GiB raw GPT disk: an EFI system partition (sda1) and an ext4 root (sda2), made by
// debootstrap, with 20,000 small files in /srv/small, one of everything a tree may hold in /srv/odd, files that are hard
// to map in /srv/data and a hash-tree directory in /srv/names. More than 70,000 entries, all written by the kernel.
func Debian(t testing.TB) Image { t.Helper(); return debian(t, debianRaw(), "raw") }

// DebianQcow2 is Debian as qcow2.
func DebianQcow2(t testing.TB) Image { t.Helper(); return debian(t, debianAs("qcow2", ""), "qcow2") }

// DebianZlib is Debian as qcow2 whose clusters are all compressed with zlib.
func DebianZlib(t testing.TB) Image {
	t.Helper()
	return debian(t, debianAs("zlib", "-c -m 8 -W"), "qcow2")
}

// DebianZstd is Debian as qcow2 whose clusters are all compressed with zstd.
func DebianZstd(t testing.TB) Image {
	t.Helper()
	return debian(t, debianAs("zstd", "-c -m 8 -W -o compression_type=zstd"), "qcow2")
}

// DebianOverlay is Debian as compressed qcow2 over a backing qcow2, named relative to it, that was taken before the
// files in /srv were written.
func DebianOverlay(t testing.TB) Image {
	t.Helper()
	base := debianBase()
	path, err := base.path()
	if err != nil {
		t.Fatal(err)
	}
	base.make(t)
	return debian(t, debianAs("overlay", "-c -m 8 -B "+fileName(path)+" -F qcow2"), "qcow2")
}

// Bench is Debian with 2 GiB of random bytes in /srv/big/random.bin.
func Bench(t testing.TB) Image { t.Helper(); return debian(t, debianBench(), "raw") }
