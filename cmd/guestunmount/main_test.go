package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/cmd/internal/mounts"
)

func TestParse(t *testing.T) {
	o, err := parse(strings.Fields("/mnt --retry=7 -q --fd 4"))
	if err != nil || o.dir != "/mnt" || o.retry != 7 || !o.quiet || o.fd != 4 {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parse([]string{"--no-retry", "--", "-odd"}); err != nil || o.retry != 0 || o.dir != "-odd" || o.fd != -1 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, argv := range []string{"", "a b", "--retry=-1 a", "--retry=99 a", "--fd=x a", "--nope a"} {
		var stdout, stderr bytes.Buffer
		if status := run(strings.Fields(argv), &stdout, &stderr); status != exitError || stderr.Len() == 0 {
			t.Errorf("%q: status %d, %q", argv, status, stderr.String())
		}
	}
}

// This process holds the filesystem it stands in, by its working directory, an open file and a mapped one.
func TestUse(t *testing.T) {
	dir := t.TempDir()
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if got := use("/proc/self", st.Dev); got != "its working directory "+dir {
		t.Errorf("%q", got)
	}
	if got := use("/proc/self", 1<<40); got != "" {
		t.Errorf("of a filesystem that does not exist it uses %q", got)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(exe, &st); err != nil {
		t.Fatal(err)
	}
	if got := mapped("/proc/self/maps", st.Dev); !strings.HasPrefix(got, "it has /") || !strings.HasSuffix(got, " mapped") {
		t.Errorf("%q", got)
	}
}

func TestDismissingIsForThoseWhoSeeAll(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root sees all")
	}
	if seesAll(mounts.Mount{Super: "rw,user_id=1000,allow_other"}) || !seesAll(mounts.Mount{Super: "rw,user_id=1000"}) {
		t.Error("allow_other is not noticed")
	}
}
