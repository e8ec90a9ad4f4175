package images

import "testing"

// An ExtVariant is one way in which an ext2, ext3 or ext4 filesystem may be laid out.
type ExtVariant struct {
	Name string
	// Kernel says that Linux reads it where its pages have 4 KiB and its build has neither casefolding nor quota. Otherwise
	// manifest.Debugfs is the oracle.
	Kernel bool

	env []string // see recipes/ext.sh
}

// How most are filled.
const everything = "FILL=odd data small names tiny"

// ExtVariants lists the layouts, each an image that Ext makes.
func ExtVariants() []ExtVariant {
	kernel := func(name, mkfs string, env ...string) ExtVariant {
		return ExtVariant{name, true, append([]string{"HOW=kernel", "MKFS=" + mkfs, everything}, env...)}
	}
	return []ExtVariant{
		kernel("ext2", "-t ext2"),
		kernel("ext2-1k", "-t ext2 -b 1024", "LONGEST_LINK=1023"),
		kernel("ext2-rev0", "-t ext2 -r 0 -O none -N 8000 -I 128", "FILL=data small", "FSCK=clean"),
		kernel("ext3", "-t ext3"),
		kernel("ext3-1k", "-t ext3 -b 1024", "LONGEST_LINK=1023"),
		kernel("ext4", "-t ext4"),
		kernel("1k", "-t ext4 -b 1024", "LONGEST_LINK=1023"),
		kernel("2k", "-t ext4 -b 2048", "LONGEST_LINK=2047"),
		kernel("bigalloc", "-t ext4 -O bigalloc -C 65536"),
		kernel("inline", "-t ext4 -O inline_data -I 256"),
		kernel("inline-1024", "-t ext4 -O inline_data -I 1024"),
		kernel("inode-128", "-t ext4 -I 128"),
		kernel("inode-512", "-t ext4 -I 512"),
		kernel("metabg", "-t ext4 -b 1024 -O meta_bg,^resize_inode", "LONGEST_LINK=1023"),
		kernel("metabg-32", "-t ext4 -b 1024 -O meta_bg,^resize_inode,^64bit", "LONGEST_LINK=1023"),
		kernel("nocsum", "-t ext4 -O ^metadata_csum"),
		kernel("gdtcsum", "-t ext4 -O ^metadata_csum,uninit_bg"),
		kernel("nojournal", "-t ext4 -O ^has_journal"),
		kernel("desc32", "-t ext4 -O ^64bit"),
		kernel("noflex", "-t ext4 -O ^flex_bg"),
		kernel("sparse2", "-t ext4 -O sparse_super2,^resize_inode"),
		kernel("nofiletype", "-t ext4 -O ^filetype"),
		kernel("noindex", "-t ext4 -O ^dir_index"),
		kernel("orphanfile", "-t ext4 -O orphan_file,metadata_csum_seed"),
		kernel("hash-legacy", "-t ext4", "BEFORE=ssv def_hash_version legacy", "FILL=names"),
		kernel("hash-tea", "-t ext4", "BEFORE=ssv def_hash_version tea", "FILL=names"),
		kernel("hash-legacy-unsigned", "-t ext4", "BEFORE=ssv def_hash_version legacy\nssv flags 2", "FILL=names"),
		kernel("hash-tea-unsigned", "-t ext4", "BEFORE=ssv def_hash_version tea\nssv flags 2", "FILL=names"),
		kernel("hash-md4-unsigned", "-t ext4", "BEFORE=ssv flags 2", "FILL=names"),
		kernel("names-100000", "-t ext4 -N 140000", "FILL=names100000"),
		kernel("largedir", "-t ext4 -b 1024 -O large_dir", "FILL=links"),
		kernel("eainode", "-t ext4 -O ea_inode", "FILL=odd huge-xattrs"),
		kernel("encrypt", "-t ext4 -O encrypt", "FILL=encrypted small"),
		kernel("sharedblocks", "-t ext4", "AFTER=feature shared_blocks", "FSCK=none"),
		kernel("depth5", "-t ext4 -b 1024", "FILL=deep", "SIZE=64M", "AFTER="+deepTree),
		{"quota", true, []string{"HOW=tree", "MKFS=-t ext4 -O quota,project -E quotatype=usrquota:grpquota:prjquota", everything,
			"AFTER=sif /small/000/file-00001.txt projid 42", "FSCK=repair"}},
		{"mmp", true, []string{"HOW=tree", "MKFS=-t ext4 -O mmp", everything}},
		{"64k", false, []string{"HOW=tree", "MKFS=-t ext4 -b 65536", everything, "LARGEST=1"}},
		{"64k-inline", false, []string{"HOW=tree", "MKFS=-t ext4 -b 65536 -O inline_data", everything, "LARGEST=1"}},
		{"casefold", false, []string{"HOW=casefold", "MKFS=-t ext4 -O casefold -E encoding=utf8", "FSCK=repair", "INDEX=yes"}},
		{"casefold-strict", false, []string{"HOW=casefold", "MKFS=-t ext4 -O casefold -E encoding=utf8,encoding_flags=strict", "FSCK=repair", "INDEX=yes"}},
	}
}

// deepTree makes extent trees of depth 5, which takes ext4 billions of extents, by hand: splitting the root puts it into a
// block of its own under a new root; splitting the node below then gives each level more than one.
const deepTree = `eo /deep
root
down
split
root
split
root
down
split
root
split
root
down
split
root
split
ec
eo /deep-names
root
split
root
split
root
split
root
split
root
split
ec`

// Ext makes the variant of that name: a raw image that is one filesystem.
func Ext(t testing.TB, name string) Image {
	t.Helper()
	for _, v := range ExtVariants() {
		if v.Name == name {
			r := &recipe{name: "ext-" + name, script: "ext", ext: "raw", env: v.env,
				tools: []string{"mke2fs", "debugfs", "e2fsck", "perl", "setfattr", "setfacl", "setcap", "openssl", "fallocate", "xfs_io"}}
			return Image{Path: r.make(t), Format: "raw"}
		}
	}
	t.Fatalf("no ext variant is called %q", name)
	return Image{}
}
