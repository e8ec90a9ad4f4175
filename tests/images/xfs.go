package images

import "testing"

// An XFSVariant is one way in which an XFS filesystem may be laid out.
type XFSVariant struct {
	Name string
	// Kernel says that Linux reads it where its build has no version 4 and its pages have 4 KiB.
	Kernel bool

	env []string // see recipes/xfs.sh
}

// XFSVariants lists the layouts, each an image that XFS makes.
func XFSVariants() []XFSVariant {
	const all = "FILL=odd data tiny small dirs xattrs extents flags"
	kernel := func(name, mkfs string, env ...string) XFSVariant {
		return XFSVariant{name, true, append([]string{"HOW=kernel", "MKFS=" + mkfs, "LONGEST_LINK=1023", all}, env...)}
	}
	proto := func(name, mkfs string, env ...string) XFSVariant {
		return XFSVariant{name, false, append([]string{"HOW=proto", "MKFS=" + mkfs, "LONGEST_LINK=1023", "FILL=odd small dirs", "FLAGS=no"}, env...)}
	}
	const v4 = "-m crc=0,finobt=0,reflink=0,rmapbt=0 "
	return []XFSVariant{
		kernel("default", "", all+" reflink"),
		kernel("few", "", "FILL=few flags"),
		kernel("rmapbt", "-m rmapbt=1", all+" reflink"),
		kernel("1k", "-b size=1024"),
		kernel("2k", "-b size=2048 -i size=512"),
		kernel("dir64k", "-n size=65536", "FILL=odd dirs extents"),
		kernel("dir8k-1k", "-b size=1024 -n size=8192", "FILL=dirs extents links"),
		kernel("inode2k", "-i size=2048"),
		kernel("sector4k", "-s size=4096"),
		kernel("plain-v5", "-m finobt=0,reflink=0,bigtime=0,inobtcount=0 -i sparse=0"),
		kernel("nrext64", "-i nrext64=1"),
		kernel("uuid", "", "FILL=odd small dirs", "UUID=yes"),
		kernel("names-100000", "", "FILL=names100000"),
		kernel("small-ags", "-d agcount=16", "FILL=data extents dirs", "LARGEST=6", "SIZE=2G"),
		proto("v4", v4),
		proto("v4-few", v4, "FILL=few"),
		proto("v4-attr1", v4+"-i attr=1"),
		proto("v4-noftype", v4+"-n ftype=0"),
		proto("v4-projid16", v4+"-i projid32bit=0 -l lazy-count=0"),
		proto("v4-logv1", v4+"-l version=1"),
		proto("v4-ci", v4+"-n version=ci"),
		proto("v4-512", v4+"-b size=512 -n size=4096", "FILL=small dirs"),
		proto("v4-dir32k", v4+"-n size=32768"),
		proto("ci", "-n version=ci"),
		proto("64k", "-b size=65536"),
		proto("32k", "-b size=32768 -s size=32768"),
		proto("16k", "-b size=16384 -n size=65536"),
	}
}

// XFS makes the variant of that name: a raw image that is one filesystem.
func XFS(t testing.TB, name string) Image {
	t.Helper()
	for _, v := range XFSVariants() {
		if v.Name == name {
			r := &recipe{name: "xfs-" + name, script: "xfs", ext: "raw", env: v.env,
				tools: []string{"mkfs.xfs", "xfs_repair", "xfs_db", "xfs_io", "perl", "setfattr", "setfacl", "setcap", "openssl", "fallocate"}}
			return Image{Path: r.make(t), Format: "raw"}
		}
	}
	t.Fatalf("no xfs variant is called %q", name)
	return Image{}
}
