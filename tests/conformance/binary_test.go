package conformance

import (
	"debug/buildinfo"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// go-diskfs, which makes the demo image, is in guestctl alone, and what only tests may use is in none.
func TestWhatIsLinked(t *testing.T) {
	for name, forbidden := range map[string][]string{
		"guestmount":   {"github.com/diskfs/", "github.com/dsoprea/"},
		"guestunmount": {"github.com/diskfs/", "github.com/dsoprea/", "github.com/hanwen/"},
		"guestctl":     {"github.com/dsoprea/", "github.com/hanwen/"},
	} {
		info, err := buildinfo.ReadFile(commands.Bin(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, dep := range info.Deps {
			for _, f := range forbidden {
				if strings.HasPrefix(dep.Path, f) {
					t.Errorf("%s links %s", name, dep.Path)
				}
			}
		}
	}
}

// From exec to the first stat that succeeds; make bench measures it exactly, this notices when it is far off.
func TestReadyInTime(t *testing.T) {
	images.NeedFUSE(t)
	image := guest(t, commands.Self)
	best := time.Hour
	for range 10 {
		mnt := commands.Dir(t, commands.Self)
		cmd := commands.Command(t, commands.Self, "guestmount", image, mnt)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // no goroutines that copy
		start := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(mnt+"/etc", &st); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
		commands.Must(t, commands.Self, "guestunmount", mnt)
	}
	t.Logf("ready after %v at best", best)
	if limit := 60 * time.Millisecond; best > limit && !commands.Race {
		t.Errorf("ready after %v at best, want less than %v even on a busy machine", best, limit)
	}
}
