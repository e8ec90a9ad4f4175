package images

import (
	"fmt"
	"testing"
)

// A DirtyVariant is one way to leave a journal, or an orphan list, that must be worked off before the tree is right.
type DirtyVariant struct {
	Name string
	// Truncates says that the kernel's own replay truncates a file and gives it the time of that; compare without times.
	Truncates bool

	env []string // see recipes/dirty.sh
}

// DirtyVariants lists what Dirty makes.
func DirtyVariants() []DirtyVariant {
	v := func(name, mkfs, ops string, env ...string) DirtyVariant {
		return DirtyVariant{name, false, append([]string{"MKFS=" + mkfs, "OPS=" + ops}, env...)}
	}
	const flush = "SHUTDOWN=-f"
	all := []DirtyVariant{
		v("ext4", "-t ext4", "tree tail"),                                    // jbd2 checksums v3, 64-bit tags
		v("ext4-flush", "-t ext4", "tree tail", flush),                       //
		v("ext4-1k", "-t ext4 -b 1024", "tree tail", flush),                  //
		v("ext4-nocsum", "-t ext4 -O ^metadata_csum", "tree tail", flush),    // no checksums, 64-bit tags
		v("ext4-32", "-t ext4 -O ^metadata_csum,^64bit", "tree tail", flush), // no checksums, 32-bit tags
		v("ext4-csum-32", "-t ext4 -O ^64bit", "tree tail", flush),           // v3 without 64bit
		v("ext3", "-t ext3", "tree tail", flush),                             //
		v("ext3-1k", "-t ext3 -b 1024", "tree tail revoke", flush),           //
		v("csum-v1", "-t ext4 -O ^metadata_csum", "tree tail", flush, "MOUNT=journal_checksum"),
		v("async-commit", "-t ext4", "tree tail", flush, "MOUNT=data=writeback,journal_async_commit"),
		v("csum-v2", "-t ext4 -b 4096", "tree", "JOURNAL=-c -v 2"),
		v("csum-v3-debugfs", "-t ext4 -b 4096", "tree", "JOURNAL=-c -v 3"),
		v("revoke", "-t ext4", "tree revoke", flush),
		v("revoke-nocsum", "-t ext4 -O ^metadata_csum", "tree revoke", flush),
		v("escape", "-t ext4", "tree escape", flush, "MOUNT=data=journal"),
		v("escape-ext3", "-t ext3", "escape tree", flush, "MOUNT=data=journal"),
		v("wrap", "-t ext4 -J size=4", "tree wrap", flush),
		v("fast-commit", "-t ext4 -O fast_commit", "tree fast"),
		v("fast-commit-tail", "-t ext4 -O fast_commit", "fast tail"),
		v("fast-commit-flush", "-t ext4 -O fast_commit", "fast tail", flush),
		v("orphans", "-t ext4", "tree", "ORPHANS=first", flush),
		v("orphans-unflushed", "-t ext4", "tree", "ORPHANS=first/002/file-00400.txt"),
		v("orphan-file", "-t ext4 -O orphan_file,metadata_csum_seed", "tree", "ORPHANS=first", flush),
		v("bigalloc", "-t ext4 -O bigalloc -C 65536", "tree tail", flush),
		v("inline", "-t ext4 -O inline_data", "tree tail", flush),
	}
	// A truncation that the power cut: the size is small already, the blocks are there still, and the orphan list knows.
	truncated := v("orphan-truncate", "-t ext4 -b 4096", "tree", "TRUNCATE=yes")
	truncated.Truncates = true
	return append(all, truncated)
}

// Dirty makes the variant of that name: a raw image that is one filesystem, and the kernel's own replay of a copy, which is
// the oracle.
func Dirty(t testing.TB, name string) (dirty, replayed Image) {
	t.Helper()
	for _, v := range DirtyVariants() {
		if v.Name == name {
			r := &recipe{name: "dirty-" + name, script: "dirty", ext: "raw", env: v.env,
				tools: []string{"mke2fs", "debugfs", "dumpe2fs", "xfs_io", "perl", "setfattr", "openssl", "fallocate"}}
			after := &recipe{name: "replayed-" + name, script: "replay", ext: "raw", base: r}
			return Image{Path: r.make(t), Format: "raw"}, Image{Path: after.make(t), Format: "raw"}
		}
	}
	t.Fatalf("no dirty variant is called %q", name)
	return Image{}, Image{}
}

// DirtyDebian is the Debian disk as a snapshot of it while it ran, and the kernel's replay of a copy.
func DirtyDebian(t testing.TB) (dirty, replayed Image) {
	t.Helper()
	r := &recipe{name: "debian-dirty", script: "dirty-debian", ext: "raw", base: debianRaw(), tools: []string{"xfs_io", "sfdisk", "dumpe2fs", "perl"}}
	after := &recipe{name: "debian-replayed", script: "replay", ext: "raw", base: r,
		env: []string{fmt.Sprint("OFFSET=", DebianRootOffset), fmt.Sprint("SIZE=", DebianRootSize)}}
	return debian(t, r, "raw"), debian(t, after, "raw")
}
