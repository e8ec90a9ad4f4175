package daemon_test

import (
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon"
)

// TestParseMount reads the value of -m as libguestfs does.
func TestParseMount(t *testing.T) {
	for s, want := range map[string]daemon.MountSpec{
		"/dev/sda1":                     {Device: "/dev/sda1", Path: "/"},
		"sda1":                          {Device: "sda1", Path: "/"},
		"/dev/sda1:/boot":               {Device: "/dev/sda1", Path: "/boot"},
		"/dev/vg/lv:/:noload":           {Device: "/dev/vg/lv", Path: "/", Options: "noload"},
		"/dev/sda1:/:ro,subvol=a:btrfs": {Device: "/dev/sda1", Path: "/", Options: "ro,subvol=a", FSType: "btrfs"},
		"/dev/sda1::ro":                 {Device: "/dev/sda1", Path: "/", Options: "ro"},
		"/dev/sda1:/a/../b//c/::ext4":   {Device: "/dev/sda1", Path: "/b/c", FSType: "ext4"},
		"/dev/sda1:/../../etc":          {Device: "/dev/sda1", Path: "/etc"},
		"/dev/sda1:/b:context=a:b:c":    {Device: "/dev/sda1", Path: "/b", Options: "context=a", FSType: "b:c"},
		"/dev/sda1:/with space":         {Device: "/dev/sda1", Path: "/with space"},
	} {
		got, err := daemon.ParseMount(s)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v; not %+v", s, got, err, want)
		}
		again, err := daemon.ParseMount(got.String())
		if err != nil || again != got {
			t.Errorf("%q becomes %q, which is %+v, %v", s, got.String(), again, err)
		}
	}
	for s, word := range map[string]string{"": "no device", ":/": "no device", "/dev/sda1:boot": "not absolute", "/dev/sda1:/a\x00b": "zero byte"} {
		if got, err := daemon.ParseMount(s); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is %+v, %v", s, got, err)
		}
	}
}
