package appliance

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
)

// TestTar takes a tree out as a tar, which is what the appliance is for.
func TestTar(t *testing.T) {
	images.NeedLong(t)
	img := images.Ext(t, "ext4")
	out := Run(t, []Disk{{Path: img.Path, Format: "raw"}}, "mount -o ro $DISK1 /mnt\ntar -C /mnt --xattrs --format=pax -cf $OUT small odd/names\n", nil)
	if empty, err := isZero(out); err != nil || empty {
		t.Fatalf("nothing came out (%v)", err)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found := map[string]int64{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = h.Size
	}
	if len(found) < 620 || found["small/000/file-00001.txt"] < 1024 {
		t.Errorf("%d members, the second file has %d bytes", len(found), found["small/000/file-00001.txt"])
	}
}

// TestManifestAgreesWithTheKernelHere shows that a walk in the appliance is a walk here.
func TestManifestAgreesWithTheKernelHere(t *testing.T) {
	images.NeedLong(t)
	img := images.Ext(t, "ext4")
	want, err := manifest.Walk(t.Context(), images.KernelRoot(t, img, "ext4"), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := Manifest(t, []Disk{{Path: img.Path, Format: "raw"}}, "mount -o ro $DISK1 /mnt")
	if lines, n := manifest.Diff(want, got, manifest.All, 0); n > 0 {
		t.Errorf("%d differences between this kernel and the appliance's:\n%s", n, strings.Join(lines, "\n"))
	}
}

// TestCasefold reads what the kernel here cannot: it must agree with debugfs, and fold.
func TestCasefold(t *testing.T) {
	images.NeedLong(t)
	img := images.Ext(t, "casefold")
	want, err := manifest.Debugfs(t.Context(), img.Path)
	if err != nil {
		t.Fatal(err)
	}
	got := Manifest(t, []Disk{{Path: img.Path, Format: "raw"}},
		"mount -o ro $DISK1 /mnt\ntest \"$(cat /mnt/small/rEADME)\" = 'contents 1'\ntest -e /mnt/large/GROSSE-DATEI-NUMMER-77-äöü")
	if lines, n := manifest.Diff(want, got, manifest.All, 0); n > 0 {
		t.Errorf("%d differences between debugfs and the appliance's kernel:\n%s", n, strings.Join(lines, "\n"))
	}
}

func TestAFailingScriptFails(t *testing.T) {
	if os.Getenv("GUESTCTL_APPLIANCE_FAIL") != "" {
		Run(t, nil, "exit 3", nil)
		return
	}
	images.NeedLong(t)
	// The failure is that of a test of its own, so it is provoked in another process.
	said := runSelf(t, "GUESTCTL_APPLIANCE_FAIL=1", "-test.run=^TestAFailingScriptFails$")
	if !strings.Contains(said, "failed with status 3") {
		t.Errorf("a script that exits with 3 was reported as: %s", said)
	}
}
