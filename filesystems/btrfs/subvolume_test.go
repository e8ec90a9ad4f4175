package btrfs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/btrfs"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// TestSubvolumes compares the list with what the kernel says, and opens each by
// its number and by its path.
func TestSubvolumes(t *testing.T) {
	img, v := images.Btrfs(t, "opensuse")
	devs := devices(t, img.Path, 1, 0)
	fsys := open(t, devs, "")
	list, err := fsys.(vfs.Subvolumer).Subvolumes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	top := images.KernelBtrfs(t, img.Path, v.Devices, v.Size, "ro,subvolid=5")
	lines := strings.Count(run(t, "btrfs", "subvolume", "list", top), "\n")
	if len(list) != lines+1 || len(list) < 7 {
		t.Errorf("%d subvolumes, the kernel has %d and the top level", len(list), lines)
	}
	byPath := map[string]vfs.Subvolume{}
	for _, s := range list {
		t.Logf("%+v", s)
		byPath[s.Path] = s
		id := strings.TrimSpace(run(t, "btrfs", "inspect-internal", "rootid", filepath.Join(top, s.Path)))
		if id != strconv.FormatUint(s.ID, 10) {
			t.Errorf("%s is subvolume %d, the kernel says %s", s.Path, s.ID, id)
		}
		show := run(t, "btrfs", "subvolume", "show", filepath.Join(top, s.Path))
		if s.UUID == "" || !strings.Contains(show, s.UUID) || s.ParentUUID != "" && !strings.Contains(show, s.ParentUUID) {
			t.Errorf("%s has the UUID %q, the parent %q; the kernel says\n%s", s.Path, s.UUID, s.ParentUUID, show)
		}
		if ro := strings.Contains(show, "readonly"); ro != s.ReadOnly && s.ID != 5 {
			t.Errorf("%s: read-only is %t, the kernel says %t", s.Path, s.ReadOnly, ro)
		}
		want := vfstest.FromDir(t, filepath.Join(top, s.Path), maxFile)
		for _, options := range []string{fmt.Sprint("subvolid=", s.ID), "subvol=" + s.Path, fmt.Sprintf("ro,subvol=%s,compress=zstd:1,subvolid=%d", s.Path, s.ID)} {
			got := vfstest.FromVFS(t, open(t, devs, options), maxFile)
			emptyDirs(got, want)
			// What stands for a subvolume elsewhere differs by where one comes from.
			report(t, vfstest.Differences(got, want, 0))
		}
		f, err := fsys.Inode(t.Context(), s.Root)
		if err != nil || f.Ino().Tree != s.Root.Tree || s.Default != (s.Root == fsys.Root()) {
			t.Errorf("%s: its root is %+v, %v", s.Path, s.Root, err)
		}
	}
	if s := byPath["/@/.snapshots/1/snapshot"]; !s.Default || s.ParentUUID != byPath["/@"].UUID {
		t.Errorf("the snapshot: %+v", s)
	}
	if _, err := os.Stat(filepath.Join(top, "@/.snapshots/1/snapshot/small")); err != nil {
		t.Error(err)
	}
	for options, want := range map[string]error{"subvol=/nowhere": syscall.ENOENT, "subvolid=999": syscall.ENOENT, "subvolid=x": syscall.EINVAL,
		"subvol=/@,subvolid=5": syscall.EINVAL, "subvol=/@/.snapshots/1": syscall.EINVAL} {
		if _, err := btrfs.Driver().Open(context.Background(), devs, vfs.Options{Mount: options}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", options, err, want)
		}
	}
}

// TestNumbers shows that inodes of several subvolumes get numbers of their own.
func TestNumbers(t *testing.T) {
	img, _ := images.Btrfs(t, "opensuse")
	fsys := open(t, devices(t, img.Path, 1, 0), "subvolid=5")
	ns := vfs.NewNamespace(vfs.NewTree("sda", fsys))
	seen := map[uint64]string{}
	var visit func(path string, n vfs.Node)
	visit = func(path string, n vfs.Node) {
		f, err := ns.Inode(t.Context(), n)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		isDir := f.Attr().Mode&syscall.S_IFMT == syscall.S_IFDIR
		number := ns.Number(n)
		if other, ok := seen[number]; ok && (isDir || f.Attr().Nlink == 1) {
			t.Fatalf("%s and %s have the number %d", path, other, number)
		}
		seen[number] = path
		if !isDir {
			return
		}
		for e, err := range ns.Entries(t.Context(), n, vfs.Cursor{}) {
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			visit(path+"/"+e.Name, vfs.Node{Tree: n.Tree, Ino: e.Ino})
		}
	}
	visit("", ns.Root())
	if len(seen) < 500 {
		t.Errorf("%d inodes", len(seen))
	}
}
