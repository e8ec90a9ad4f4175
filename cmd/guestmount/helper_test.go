package main

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon"
)

func TestHelperNames(t *testing.T) {
	for name, want := range map[string]bool{"/sbin/mount.guestmount": true, "mount.fuse.guestmount": true, "/usr/bin/guestmount": false, "mount": false} {
		if isHelper(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestFromHelper(t *testing.T) {
	for _, c := range []struct {
		argv, want []string
		fake       bool
	}{
		{argv: []string{"/a.qcow2", "/mnt", "-o", "rw"}, want: []string{"--add=/a.qcow2", "--", "/mnt"}},
		{argv: []string{"/a.qcow2", "/mnt", "-n", "-s", "-v", "-t", "guestmount", "-o", "ro,inspector,noauto,x-systemd.automount,user=alice"},
			want: []string{"--add=/a.qcow2", "--verbose", "--inspector", "--ro", "-o", "noauto", "-o", "x-systemd.automount", "-o", "user=alice", "--", "/mnt"}},
		{argv: []string{"-o", "format=raw,snapshot=b,image=/b.img,mount=sda2,mount=sda1:/boot,allow_other", "/a", "-dir", "-f"}, fake: true},
		{argv: []string{"/a", "/mnt", "-f", "-o", `ro,fsname=x\,y\\z,partitions`}, fake: true,
			want: []string{"--add=/a", "--partitions", "--ro", "-o", `fsname=x\,y\\z`, "--", "/mnt"}},
		{argv: []string{"/a", "/mnt", "--version"}, want: []string{"--version"}},
	} {
		got, fake, err := fromHelper(c.argv)
		if c.want == nil {
			if usage := (*args.UsageError)(nil); !errors.As(err, &usage) {
				t.Errorf("%q: %q, %v", c.argv, got, err)
			}
			continue
		}
		if err != nil || fake != c.fake {
			t.Errorf("%q: fake %v, error %v", c.argv, fake, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", c.argv, d)
		}
	}
	if _, _, err := fromHelper([]string{"/a", "/mnt", "-N", "/proc/1/ns/mnt"}); err == nil {
		t.Error("-N passes")
	}
	if _, _, err := fromHelper([]string{"/a"}); err == nil {
		t.Error("one name passes")
	}
}

func TestParseHelper(t *testing.T) {
	o, err := parseHelper([]string{"/a", "/mnt", "-o", "rw,format=raw,snapshot=b,image=/b.img,mount=sda2,mount=sda1:/boot:ro,allow_other,_netdev,nofail,user=alice,x-gvfs-show"})
	if err != nil {
		t.Fatal(err)
	}
	want := []daemon.ImageSpec{{Path: "/a", Format: "raw", Snapshot: "b"}, {Path: "/b.img", Format: "raw", Snapshot: "b"}}
	if d := cmp.Diff(want, o.spec.Images); d != "" {
		t.Error(d)
	}
	if len(o.spec.Mounts) != 2 || o.spec.View != daemon.ViewExplicit || !o.mount.AllowOther || o.askedRW || o.askedRO || o.dir != "/mnt" {
		t.Errorf("%+v", o)
	}
	if _, err := parseHelper([]string{"/a", "/mnt", "-o", "nonsense"}); err == nil {
		t.Error("an option that nobody knows passes")
	}
}
