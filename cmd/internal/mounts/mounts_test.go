package mounts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const sampleTable = `24 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
61 24 0:52 / /mnt/with\040space\134 ro,nosuid,nodev,relatime shared:7 master:2 - fuse.guestmount /tmp/a\040b.img ro,user_id=1000,group_id=1000
62 61 0:53 / /mnt/with\040space\134 ro - fuse guest ro,user_id=0,group_id=0
63 62 0:54 / /mnt/with\040space\134/usr ro - tmpfs tmpfs rw
`

func TestTable(t *testing.T) {
	table, err := parseTable(strings.NewReader(sampleTable))
	if err != nil {
		t.Fatal(err)
	}
	if len(table) != 4 {
		t.Fatalf("%d mounts, want 4", len(table))
	}
	if m := table[1]; m.Source != "/tmp/a b.img" || m.User() != 1000 || m.Type != "fuse.guestmount" {
		t.Errorf("second line read as %+v", m)
	}
	if table[0].User() != -1 {
		t.Errorf("the root has user %d", table[0].User())
	}
	m, ok := On(table, `/mnt/with space\`)
	if !ok || m.Dev != unix.Mkdev(0, 53) {
		t.Errorf("the topmost mount is %+v, %v", m, ok)
	}
	if got := Below(table, `/mnt/with space\`); len(got) != 1 || got[0] != `/mnt/with space\/usr` {
		t.Errorf("below: %q", got)
	}
	if _, ok := On(table, "/mnt"); ok {
		t.Error("nothing is mounted on /mnt")
	}
	if _, err := parseTable(strings.NewReader("nonsense\n")); err == nil {
		t.Error("nonsense is read as a mount table")
	}
}

func TestFindFollowsSymlinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	point := filepath.Join(dir, "real", "point")
	if err := os.MkdirAll(point, 0o755); err != nil {
		t.Fatal(err)
	}
	table := []Mount{{Dev: 7, Point: point}}
	if err := os.Symlink("real", filepath.Join(dir, "parent")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real/point", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"real/point", "real/point/", "parent/point", "link", "real/../real/./point"} {
		m, at, ok, err := Find(table, dir+"/"+name)
		if err != nil || !ok || m.Dev != 7 || at != point {
			t.Errorf("%s: %+v at %s, %v, %v", name, m, at, ok, err)
		}
	}
	if _, _, ok, err := Find(table, dir); ok || err != nil {
		t.Errorf("the folder above: %v, %v", ok, err)
	}
	if _, _, _, err := Find(table, dir+"/missing"); err == nil {
		t.Error("a missing folder is no error")
	}
}

func TestStartTimeReadsOddNames(t *testing.T) {
	start, err := startTime(os.Getpid())
	if err != nil || start == 0 {
		t.Fatalf("start time %d, error %v", start, err)
	}
}

func TestFolderOfAnotherIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	if !mine(dir, os.Geteuid()) {
		t.Error("one's own folder is not used")
	}
	if mine(dir, os.Geteuid()+1) {
		t.Error("another's folder is used")
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if mine(dir, os.Geteuid()) {
		t.Error("a folder that all may write is used")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if mine(link, os.Geteuid()) {
		t.Error("a symlink is used")
	}
}
