package daemon_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/tests/images"
)

// fedora makes a btrfs on two devices as Fedora's installer lays it out, with snapshots and a container's layer, and gives
// the two images.
func fedora(t *testing.T) (a, b string) {
	t.Helper()
	images.NeedRoot(t)
	images.NeedTool(t, "mkfs.btrfs", "btrfs", "losetup", "mount")
	dir := t.TempDir()
	run(t, "bash", "-euc", `cd "$0"
		truncate -s 256M a b
		mkfs.btrfs -q -U 11111111-2222-3333-4444-555555555555 -d raid1 -m raid1 a b
		la= lb= mounted=
		trap '[ -z "$mounted" ] || umount mnt; for l in $la $lb; do losetup -d $l; done' EXIT
		la=$(losetup -f --show a); lb=$(losetup -f --show b)
		mkdir mnt
		mount -t btrfs -o device=$la,device=$lb $la mnt; mounted=1
		for v in root home; do btrfs -q subvolume create mnt/$v; done
		mkdir -p mnt/root/etc mnt/root/usr/bin mnt/root/home mnt/root/data mnt/home/ann mnt/root/var/lib/layers
		ln -s usr/bin mnt/root/bin
		echo 'PRETTY_NAME="Fedora Linux 43 (Workstation Edition)"
ID=fedora
VERSION_ID=43' >mnt/root/etc/os-release
		echo 'UUID=11111111-2222-3333-4444-555555555555 / btrfs subvol=root,compress=zstd:1 0 0
UUID=11111111-2222-3333-4444-555555555555 /home btrfs subvol=/home,subvolid=257 0 0
UUID=11111111-2222-3333-4444-555555555555 /data btrfs subvol=gone 0 0
UUID=11111111-2222-3333-4444-555555555555 /mnt btrfs subvolid=5 0 0' >mnt/root/etc/fstab
		mkdir mnt/root/mnt
		echo ann >mnt/home/ann/name
		btrfs -q subvolume snapshot -r mnt/root mnt/root/var/lib/layers/one
		btrfs -q subvolume snapshot mnt/root mnt/root/var/lib/layers/two
		btrfs -q subvolume snapshot -r mnt/root mnt/before`, dir)
	return filepath.Join(dir, "a"), filepath.Join(dir, "b")
}

// TestSubvolumes shows a guest whose root and home are subvolumes of one filesystem on two disks.
func TestSubvolumes(t *testing.T) {
	a, b := fedora(t)
	g := open(t, daemon.Spec{Images: imagesOf(a, b)})
	if s := g.Summary(); !strings.Contains(s, "Fedora Linux 43") || !strings.Contains(s, "sda/root on /") || !strings.Contains(s, "sda/home on /home") {
		t.Errorf("%s", s)
	}
	if got := read(t, g, "/home/ann/name"); got != "ann\n" {
		t.Errorf("in home: %q", got)
	}
	if got := read(t, g, "/mnt/home/ann/name"); got != "ann\n" {
		t.Errorf("in the top level: %q", got)
	}
	hasWarning(t, g, `"/data"`, "names a subvolume that sda does not have")
	for _, w := range g.Warnings() {
		if strings.Contains(w.Error(), "sdb") {
			t.Errorf("a warning of the second device: %v", w)
		}
	}
	report, err := g.Inspect(t.Context())
	if err != nil || len(report.Systems) != 1 || report.Systems[0].Root != "sda/root" {
		t.Errorf("%+v, %v", report, err)
	}

	// By hand, and a subvolume that is not there.
	g = open(t, daemon.Spec{Images: imagesOf(a, b), View: daemon.ViewExplicit, Mounts: []daemon.MountSpec{
		{Device: "/dev/sda", Path: "/", Options: "ro,subvol=root"}, {Device: "/dev/sda", Path: "/home", Options: "subvolid=257"},
		{Device: "/dev/sda", Path: "/data"}}})
	if got := read(t, g, "/home/ann/name") + read(t, g, "/data/home/ann/name"); got != "ann\nann\n" {
		t.Errorf("by hand: %q", got)
	}
	err = try(daemon.Spec{Images: imagesOf(a, b), View: daemon.ViewExplicit, Mounts: []daemon.MountSpec{{Device: "/dev/sda", Path: "/", Options: "subvol=nothing"}}})
	if err == nil || !strings.Contains(err.Error(), `no subvolume`) || !strings.Contains(err.Error(), "home") {
		t.Errorf("a subvolume that is not there: %v", err)
	}

	// One device of two: the mirror has all of it.
	g = open(t, daemon.Spec{Images: imagesOf(a)})
	if got := read(t, g, "/home/ann/name"); got != "ann\n" {
		t.Errorf("without the second device: %q", got)
	}
}
