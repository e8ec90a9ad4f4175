package mount

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	opt, unknown, err := ParseOptions([]string{"ro,allow_other,uid=7", `gid=8,attr_timeout=1.5,kernel_cache`, `fsname=a\,b,use_ino,x-systemd.automount,noexec`, "", "bogus,frob=1"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(unknown, []string{"bogus", "frob=1"}) {
		t.Errorf("unknown: %q", unknown)
	}
	if !opt.AllowOther || *opt.UID != 7 || *opt.GID != 8 || *opt.AttrTimeout != 1500*time.Millisecond || opt.FSName != "a,b" || !slices.Equal(opt.Extra, []string{"noexec"}) {
		t.Errorf("%+v", opt)
	}
	for _, bad := range []string{"uid=", "uid=-1", "gid=x", "uid=4294967295", "attr_timeout=-1", "attr_timeout=NaN", "attr_timeout=1e300", "suid", "dev", "allow_other=1", "fsname=", "subtype=a/b"} {
		if _, _, err := ParseOptions([]string{bad}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add("allow_other,uid=1")
	f.Add(`a\,b,,=,x-`)
	f.Fuzz(func(t *testing.T, s string) {
		_, unknown, err := ParseOptions([]string{s})
		if err == nil && len(unknown) > len(s) {
			t.Error(unknown)
		}
	})
}
