package xfs_test

import (
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/appliance"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// fillVersion4 is a script that works on /mnt: all forms of directories,
// attributes and maps, some of it removed again.
const fillVersion4 = `
work() {
	cd /mnt
	perl -e 'use strict; my $tag = shift; mkdir "d-$tag" or die $!; chdir "d-$tag" or die $!;
		for my $n (3, 30, 200, 1500) { mkdir $n or die; for my $i (1 .. $n) { open my $f, ">", sprintf("%d/name-%d-%s", $n, $i, "x" x ($i % 60)) or die $!; print $f "file $i\n" }
			for my $i (1 .. $n) { unlink sprintf("%d/name-%d-%s", $n, $i, "x" x ($i % 60)) if $i % 5 == 0 } }
		open my $f, ">", "fragments" or die $!; for my $i (0 .. 500) { sysseek $f, $i * 12288, 0; syswrite $f, "fragment $i" x 20 } close $f;
		open $f, ">", "plain" or die $!; print $f "plain contents $_\n" for 1 .. 5000; close $f;
		rename "plain", "renamed" or die $!; link "renamed", "linked" or die $!;
		symlink "short", "short-link" or die; symlink "t" x 900, "long-link" or die;
		truncate "fragments", 5000000; open $f, ">", "sparse"; sysseek $f, 5 << 30, 0; syswrite $f, "end"; close $f' "$1"
	for size in 1 100 250 1000 3000 20000 65536; do
		echo $size >"d-$1/attr-$size"
		setfattr -n user.value -v "$(head -c $size /dev/zero | tr '\0' v)" "d-$1/attr-$size"
		setfattr -n trusted.second -v "second $size" "d-$1/attr-$size"
	done
	echo many >"d-$1/attrs"
	perl -e 'for my $i (1 .. 300) { my ($k, $v) = ("user.attribute-number-$i", "value $i"); syscall(188, $ARGV[0], $k, $v, length $v, 0) == 0 or die "$k: $!" }' "d-$1/attrs"
	setfacl -m u:1000:rw,g:2000:r "d-$1/renamed"
	mknod "d-$1/null" c 1 3
	mkfifo "d-$1/fifo"
	fallocate -l 1000000 "d-$1/unwritten"
	rm -r "d-$1/200"
	cd /
}
`

// fromManifest is a tree that the walker in the appliance wrote down.
func fromManifest(m manifest.Manifest) vfstest.Tree {
	tree := vfstest.Tree{}
	for _, e := range m {
		p := "/" + e.Path
		if e.Path == "." {
			p = "/"
		}
		f := vfstest.File{Mode: e.Mode, Nlink: e.Nlink, UID: e.UID, GID: e.GID, Size: e.Size, Target: e.Target, Xattrs: e.Xattrs, Ino: e.Ino,
			Mtime: vfs.Time{Sec: e.Mtime.Unix(), Nsec: uint32(e.Mtime.Nanosecond())}, Ctime: vfs.Time{Sec: e.Ctime.Unix(), Nsec: uint32(e.Ctime.Nanosecond())},
			Rdev: unix.Minor(e.Rdev)&0xff | unix.Major(e.Rdev)<<8 | unix.Minor(e.Rdev)&^0xff<<12}
		if e.Mode&unix.S_IFMT == unix.S_IFREG && e.Size < manifest.Sparse {
			f.SHA256 = hex.EncodeToString(e.Sum[:])
		}
		tree[p] = f
	}
	return tree
}

// manifests are the trees of several disks, each mounted in one machine. What
// the mounts write is thrown away.
func manifests(t *testing.T, disks []appliance.Disk) (all []manifest.Manifest) {
	t.Helper()
	walker := filepath.Join(t.TempDir(), "walk")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", walker, "github.com/guestctl/guestctl/tests/appliance/walk")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the walker: %v: %s", err, said)
	}
	program, err := os.ReadFile(walker)
	if err != nil {
		t.Fatal(err)
	}
	const part = 64 << 20 // of the output, a disk each
	script := "modprobe xfs\n"
	for i := range disks {
		script += fmt.Sprintf("mount -t xfs $DISK%d /mnt\n/tmp/walk /mnt >/tmp/manifest\numount /mnt\ndd if=/tmp/manifest of=$OUT bs=1M seek=%d conv=notrunc status=none\n", i+1, i*part>>20)
	}
	out, err := os.Open(appliance.Run(t, disks, script, map[string][]byte{"walk": program}))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for i := range disks {
		var m manifest.Manifest
		if err := gob.NewDecoder(io.NewSectionReader(out, int64(i)*part, part)).Decode(&m); err != nil {
			t.Fatalf("reading the manifest of disk %d: %v", i+1, err)
		}
		all = append(all, m)
	}
	return all
}

// TestVersion4 reads filesystems of version 4 that a Debian kernel wrote in an
// emulated machine, unmounted and not, as that kernel reads them.
func TestVersion4(t *testing.T) {
	images.NeedLong(t)
	const v4 = "crc=0,finobt=0,reflink=0,rmapbt=0"
	cases := []struct {
		name, shutdown string
		options        []string
	}{
		{"clean", "", nil},
		{"dirty", "xfs_io -x -c 'shutdown -f' /mnt", nil},
		{"dirty, not flushed", "xfs_io -x -c shutdown /mnt", nil},
		{"dirty log of version 1", "xfs_io -x -c 'shutdown -f' /mnt", []string{"-l", "version=1"}},
		{"dirty, old", "xfs_io -x -c 'shutdown -f' /mnt", []string{"-i", "attr=1,projid32bit=0,size=256", "-n", "ftype=0", "-l", "lazy-count=0"}},
		{"dirty, small blocks", "xfs_io -x -c 'shutdown -f' /mnt", []string{"-b", "size=1024", "-n", "size=8192"}},
	}
	var disks, snapshots []appliance.Disk
	script := "modprobe xfs\n" + fillVersion4
	for i, c := range cases {
		path := makeXFS(t, 320<<20, append([]string{"-m", v4}, c.options...)...)
		disks = append(disks, appliance.Disk{Path: path, Format: "raw", Writable: true})
		snapshots = append(snapshots, appliance.Disk{Path: path, Format: "raw"})
		script += fmt.Sprintf("mount -t xfs $DISK%d /mnt\nwork before\nsync -f /mnt\nwork after\n%s\numount /mnt\n", i+1, c.shutdown)
	}
	appliance.Run(t, disks, script, nil)
	wants := manifests(t, snapshots)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := fromManifest(wants[i])
			before := fileSum(t, disks[i].Path)
			fsys := open(t, device(t, disks[i].Path))
			got := vfstest.FromVFS(t, fsys, 64<<20)
			if len(got) < 1000 {
				t.Errorf("%d entries", len(got))
			}
			report(t, vfstest.Differences(got, want, vfstest.Blocks|vfstest.Atime))
			if info := fsys.Info(); info.Dirty != (c.shutdown != "") {
				t.Errorf("dirty is %t", info.Dirty)
			}
			if fileSum(t, disks[i].Path) != before {
				t.Error("the image changed")
			}
			if c.shutdown != "" {
				ours := images.Copy(t, disks[i].Path, t.TempDir())
				writeOverlay(t, fsys, ours)
				checkRepair(t, ours, false)
			}
		})
	}
}
