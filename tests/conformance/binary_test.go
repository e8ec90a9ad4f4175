package conformance

import (
	"debug/buildinfo"
	"os"
	"path/filepath"
	"strconv"
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

// From exec to the first stat that succeeds, in processor time of the program and its daemon: what others do on the machine
// does not count. make bench measures the time on the clock; this notices when start-up does far more than it should,
// compared with a start that does nothing.
func TestReadyInTime(t *testing.T) {
	images.NeedFUSE(t)
	image := guest(t, commands.Self)
	best, version := time.Hour, time.Hour
	for range 10 {
		bare := commands.Command(t, commands.Self, "guestmount", "--version")
		bare.Stdout = os.Stderr
		if err := bare.Run(); err != nil {
			t.Fatal(err)
		}
		version = min(version, bare.ProcessState.UserTime()+bare.ProcessState.SystemTime())
		mnt, pidFile := commands.Dir(t, commands.Self), filepath.Join(t.TempDir(), "pid")
		cmd := commands.Command(t, commands.Self, "guestmount", "--pid-file", pidFile, image, mnt)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // no goroutines that copy
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(mnt+"/etc", &st); err != nil {
			t.Fatal(err)
		}
		best = min(best, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()+processorTime(t, pidFile))
		commands.Must(t, commands.Self, "guestunmount", mnt)
	}
	t.Logf("ready after %v of processor time at best, --version takes %v", best, version)
	// On a slow machine starting the program at all takes a third of it, twice: once for the daemon.
	if limit := max(60*time.Millisecond, 6*version); best > limit && !commands.Race {
		t.Errorf("ready after %v of processor time at best, want less than %v", best, limit)
	}
}

// processorTime is what all threads of a process have used; its number is in pidFile.
func processorTime(t *testing.T, pidFile string) time.Duration {
	t.Helper()
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/" + strings.TrimSpace(string(pid)) + "/task/*/schedstat")
	if err != nil || len(threads) == 0 {
		t.Fatalf("the daemon %s has no threads: %v", pid, err)
	}
	var sum time.Duration
	for _, name := range threads {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended since
		}
		ns, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	if sum == 0 {
		t.Fatal("no thread of the daemon has used any time: the kernel does not count it")
	}
	return sum
}
