package images

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A BtrfsVariant is one way in which a btrfs filesystem may be laid out.
type BtrfsVariant struct {
	Name    string
	Devices int   // that stand in the image one after the other
	Size    int64 // of each, in bytes
	// Kernel says that Linux reads it with pages of 4 KiB.
	Kernel bool

	env []string // see recipes/btrfs.sh
}

// BtrfsVariants lists the layouts, each an image that Btrfs makes.
func BtrfsVariants() []BtrfsVariant {
	const all = "FILL=odd data tiny small links xattrs reflink nocow flags collide"
	one := func(name, mkfs string, env ...string) BtrfsVariant {
		return BtrfsVariant{name, 1, 512 << 20, true, append([]string{"HOW=kernel", "MKFS=" + mkfs, all}, env...)}
	}
	several := func(name string, devices int, mkfs string) BtrfsVariant {
		return BtrfsVariant{name, devices, 256 << 20, true, []string{"HOW=kernel", "MKFS=" + mkfs, fmt.Sprint("DEVICES=", devices), "SIZE=256M",
			"FILL=few compressible nocow", "MOUNT=compress=zstd:1"}}
	}
	rootdir := func(name, mkfs string) BtrfsVariant {
		return BtrfsVariant{name, 1, 512 << 20, false, []string{"HOW=rootdir", "MKFS=" + mkfs, "FILL=tiny small names compressible"}}
	}
	return []BtrfsVariant{
		one("default", ""),
		one("few", "", "FILL=few", "SIZE=256M"),
		one("fedora", "-L fedora", "LAYOUT=fedora", "FILL=small20000 compressible", "MOUNT=compress=zstd:1"),
		one("opensuse", "", "LAYOUT=opensuse snapshots", "FILL=small few"),
		one("snapshots", "", "LAYOUT=snapshots", "FILL=few"),
		one("balanced", "", "LAYOUT=snapshots", "FILL=small few reflink compressible balance names"),
		one("zlib", "", "FILL=compressible small", "MOUNT=compress-force=zlib"),
		one("lzo", "", "FILL=compressible small", "MOUNT=compress-force=lzo"),
		one("zstd", "", "FILL=compressible small", "MOUNT=compress-force=zstd"),
		one("zstd15", "", "FILL=compressible", "MOUNT=compress-force=zstd:15"),
		one("xxhash", "--csum xxhash", "FILL=few small"),
		one("sha256", "--csum sha256", "FILL=few small"),
		one("blake2", "--csum blake2", "FILL=few small"),
		one("node4k", "-n 4096", "LONGEST_LINK=1023"),
		one("node64k", "-n 65536"),
		one("mixed", "--mixed -n 4096", "FILL=few small"),
		one("old", "-O ^no-holes,^extref,^skinny-metadata -R ^free-space-tree", "FILL=odd data tiny", "LONGEST_LINK=1023"),
		one("single", "-m single -d single", "FILL=few"),
		one("dup", "-m dup -d dup", "FILL=few compressible"),
		one("inline2k", "", "FILL=tiny small compressible", "MOUNT=max_inline=4095,compress-force=lzo"),
		one("names-100000", "", "FILL=names100000"),
		several("raid0", 2, "-m raid0 -d raid0"),
		several("raid1", 2, "-m raid1 -d raid1"),
		several("raid1c3", 3, "-m raid1c3 -d raid1c3"),
		several("raid1c4", 4, "-m raid1c4 -d raid1c4"),
		several("raid10", 4, "-m raid10 -d raid10"),
		several("raid5", 3, "-m raid5 -d raid5"),
		several("raid6", 4, "-m raid6 -d raid6"),
		several("jbod", 3, "-m raid1 -d single"),
		one("source", "", "FILL=tiny small names compressible"),
		rootdir("sector8k", "-s 8192 -n 16384"),
		rootdir("sector16k", "-s 16384 -n 16384"),
		rootdir("sector64k", "-s 65536 -n 65536"),
	}
}

// Btrfs makes the variant of that name: a raw image of all its devices.
func Btrfs(t testing.TB, name string) (Image, BtrfsVariant) {
	t.Helper()
	for _, v := range BtrfsVariants() {
		if v.Name == name {
			r := &recipe{name: "btrfs-" + name, script: "btrfs", ext: "raw", env: v.env,
				tools: []string{"mkfs.btrfs", "btrfs", "losetup", "perl", "setfattr", "setfacl", "setcap", "openssl", "fallocate", "chattr"}}
			return Image{Path: r.make(t), Format: "raw"}, v
		}
	}
	t.Fatalf("no btrfs variant is called %q", name)
	return Image{}, BtrfsVariant{}
}

// KernelBtrfs mounts a filesystem of count devices, which stand in a file one after the other, with the kernel, until the
// test is done. Devices of which without says so are left out.
func KernelBtrfs(t testing.TB, path string, count int, size int64, options string, without ...int) string {
	t.Helper()
	if count == 1 {
		return KernelMount(t, path, 0, 0, "btrfs", options)
	}
	NeedRoot(t)
	NeedTool(t, "mount", "losetup", "btrfs")
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", kernelDir, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	var loops []string
	t.Cleanup(func() {
		Unmount(t, dir)
		for _, l := range loops {
			// The kernel would take a stale device for one of a later copy.
			_ = exec.Command("btrfs", "device", "scan", "--forget", l).Run()
			if out, err := exec.Command("losetup", "--detach", l).CombinedOutput(); err != nil {
				t.Errorf("losetup --detach %s: %v: %s", l, err, out)
			}
		}
	})
	for i := range count {
		skip := false
		for _, w := range without {
			skip = skip || w == i
		}
		if skip {
			continue
		}
		out, err := exec.Command("losetup", "--find", "--show", "--read-only", fmt.Sprint("--offset=", int64(i)*size), fmt.Sprint("--sizelimit=", size), path).Output()
		if err != nil {
			t.Fatalf("losetup: %v", err)
		}
		loops = append(loops, strings.TrimSpace(string(out)))
	}
	for _, l := range loops {
		options += ",device=" + l
	}
	out, err := exec.Command("mount", "-t", "btrfs", "-o", strings.TrimPrefix(options, ","), loops[0], dir).CombinedOutput()
	if err != nil {
		t.Fatalf("the kernel does not mount %s (%s): %v: %s", filepath.Base(path), options, err, strings.TrimSpace(string(out)))
	}
	return dir
}
