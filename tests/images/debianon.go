package images

import (
	"testing"
	"time"
)

// DebianOn is a part of the Debian disk, 20,000 small files and more, on another filesystem: a raw image that is one. The
// names are those of DebianOnNames.
func DebianOn(t testing.TB, name string) Image {
	t.Helper()
	return Image{Path: debianOn(t, name).make(t), Format: "raw"}
}

func debianOn(t testing.TB, name string) *recipe {
	t.Helper()
	const more = "WHAT=etc srv/small usr/share/zoneinfo"
	const small = "WHAT=srv/small" // what a filesystem without links, rights and small letters apart from large ones holds
	xfs := func(mkfs string) []string { return []string{"HOW=xfs", "SIZE=1G", "MKFS=" + mkfs, more} }
	envs := map[string][]string{
		"xfs":        xfs(""),
		"xfs-rmapbt": xfs("-m rmapbt=1"),
		"xfs-dir64k": xfs("-n size=65536"),
		"ntfs":       {"HOW=ntfs", "SIZE=1G", "MKFS=-L debian", more},
		"fat32":      {"HOW=fat", "SIZE=600M", "MKFS=-F 32 -s 8 -n DEBIAN", small},
		"exfat":      {"HOW=exfat", "SIZE=600M", "MKFS=-c 4K -L debian", small},
	}
	tools := map[string][]string{
		"HOW=xfs":   {"mkfs.xfs", "xfs_repair"},
		"HOW=ntfs":  {"mkntfs", "ntfs-3g", "ntfsresize", "pgrep"},
		"HOW=fat":   {"mkfs.fat", "mcopy", "fsck.fat"},
		"HOW=exfat": {"mkfs.exfat", "mount.exfat-fuse", "fsck.exfat", "losetup", "pgrep"},
	}
	env := envs[name]
	if env == nil {
		t.Fatalf("Debian is on no filesystem that is called %q", name)
	}
	return &recipe{name: "debian-on-" + name, script: "debian-on", ext: "raw", base: debianRaw(), env: env, tools: tools[env[0]], limit: 15 * time.Minute}
}

// DebianOnNames lists what DebianOn makes.
func DebianOnNames() []string {
	return []string{"xfs", "xfs-rmapbt", "xfs-dir64k", "ntfs", "fat32", "exfat"}
}

// BenchOn is DebianOn "xfs" or "ntfs" with 400 MiB of random bytes in /srv/big/random.bin.
func BenchOn(t testing.TB, name string) Image {
	t.Helper()
	r := &recipe{name: "bench-on-" + name, script: "bench-on", ext: "raw", base: debianOn(t, name), env: []string{"HOW=" + name},
		tools: []string{"openssl", "pgrep"}}
	return Image{Path: r.make(t), Format: "raw"}
}
