package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// A daemon that was killed leaves a dead mount; guestunmount cleans it up, in use or not.
func TestKilledDaemon(t *testing.T) {
	both(t, func(t *testing.T, who commands.Who) {
		image := guest(t, who)
		for _, inUse := range []bool{false, true} {
			m, _ := commands.Start(t, who, image)
			if inUse {
				f, err := os.Open(m.Dir)
				if who == commands.Self {
					if err != nil {
						t.Fatal(err)
					}
					defer f.Close()
				} else {
					sleeper(t, who, "--chdir="+m.Dir)
				}
			}
			if err := syscall.Kill(m.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			commands.Gone(t, m.PID)
			m.Forget()
			// What a person sees, and what guestmount says about it. The kernel has
			// one errno for a connection that is gone and one for a request that was
			// on its way when it went.
			r := commands.Run(t, who, "ls", m.Dir+"/etc")
			said := false
			for _, errno := range []string{"Transport endpoint is not connected", "Software caused connection abort", "Input/output error"} {
				said = said || strings.Contains(r.Stderr, errno)
			}
			if r.Status == 0 || !said {
				t.Errorf("ls: %d %s", r.Status, r.Stderr)
			}
			if r := commands.Run(t, who, "guestmount", image, m.Dir); r.Status != 1 || !strings.Contains(r.Stderr, "clean it up with: guestunmount "+m.Dir) {
				t.Errorf("guestmount: %d %s", r.Status, r.Stderr)
			}
			if r := commands.Run(t, who, "guestunmount", m.Dir); r.Status != 0 || r.Stderr != "" {
				t.Errorf("in use %v: guestunmount: %d %s", inUse, r.Status, r.Stderr)
			}
			if mounted(t, m.Dir) {
				t.Errorf("in use %v: the dead mount is still there", inUse)
				_ = unix.Unmount(m.Dir, unix.MNT_DETACH)
			}
			// And the mount point is of use again.
			commands.Must(t, who, "guestmount", image, m.Dir)
			commands.Must(t, who, "guestunmount", m.Dir)
		}
	})
}

// sleeper is a process that holds something until the test is done: env's --chdir, or a file on its stdin.
func sleeper(t *testing.T, who commands.Who, args ...string) *exec.Cmd {
	t.Helper()
	cmd := commands.Command(t, who, "env", append(args, "sleep", "100")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()
	})
	// It is there when it is called sleep.
	await(t, func() bool {
		comm, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/comm")
		return err == nil && string(comm) == "sleep\n"
	})
	return cmd
}

// umount and fusermount3 -u do as well; they only do not wait.
func TestOtherWaysToUnmount(t *testing.T) {
	both(t, func(t *testing.T, who commands.Who) {
		image := guest(t, who)
		ways := [][]string{{"fusermount3", "-u"}, {"fusermount3", "-u", "-z"}}
		if who == commands.Self {
			ways = append(ways, []string{"umount"}, []string{"umount", "-l"})
		}
		for _, way := range ways {
			m, _ := commands.Start(t, who, image)
			commands.Must(t, who, way[0], append(way[1:], m.Dir)...)
			commands.Gone(t, m.PID)
			m.Forget()
		}
	})
}

func TestBusy(t *testing.T) {
	both(t, func(t *testing.T, who commands.Who) {
		m, _ := commands.Start(t, who, guest(t, who))
		for _, c := range []struct{ arg, what string }{
			{"--chdir=" + m.Dir + "/etc", "its working directory " + m.Dir + "/etc)"},
		} {
			p := sleeper(t, who, c.arg)
			r := commands.Run(t, who, "guestunmount", "--no-retry", m.Dir)
			want := `"sleep" (process ` + strconv.Itoa(p.Process.Pid) + ", " + c.what
			if r.Status != 2 || !strings.Contains(r.Stderr, want) {
				t.Errorf("status %d, %q, want %q in it", r.Status, r.Stderr, want)
			}
			if r := commands.Run(t, who, "guestunmount", "-q", "--no-retry", m.Dir); r.Status != 2 || r.Stderr != "" {
				t.Errorf("-q: status %d, %q", r.Status, r.Stderr)
			}
			// With retries it succeeds as soon as the holder leaves.
			go func() {
				time.Sleep(500 * time.Millisecond)
				_ = p.Process.Kill()
			}()
			if r := commands.Run(t, who, "guestunmount", "--retry=3", m.Dir); r.Status != 0 {
				t.Errorf("--retry: status %d, %q", r.Status, r.Stderr)
			}
		}
		commands.Gone(t, m.PID)
		m.Forget()
	})
}

// Whatever holds a mount is named: an open file, a program that runs from it, a mapped file, a mount on top.
func TestHoldersAreNamed(t *testing.T) {
	images.NeedRoot(t)
	m, _ := commands.Start(t, commands.Self, guest(t, commands.Self))
	busy := func(want string) {
		t.Helper()
		r := commands.Run(t, commands.Self, "guestunmount", "--no-retry", m.Dir)
		if r.Status != 2 || !strings.Contains(r.Stderr, want) {
			t.Errorf("status %d, %q, want %q in it", r.Status, r.Stderr, want)
		}
	}
	f, err := os.Open(m.Dir + "/home/alice/numbers.csv")
	if err != nil {
		t.Fatal(err)
	}
	busy("it has " + m.Dir + "/home/alice/numbers.csv open")
	b, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	busy("it has " + m.Dir + "/home/alice/numbers.csv mapped")
	if err := unix.Munmap(b); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", m.Dir+"/mnt", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	busy("the mount on " + m.Dir + "/mnt")
	if err := unix.Unmount(m.Dir+"/mnt", 0); err != nil {
		t.Fatal(err)
	}
}

func TestUnmountRefuses(t *testing.T) {
	dir := commands.Dir(t, commands.Self)
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{dir}, 3, "nothing is mounted on"},
		{[]string{filepath.Join(dir, "missing")}, 1, "no such file or directory"},
		{nil, 1, "name one folder"},
		{[]string{dir, dir}, 1, "name one folder"},
		{[]string{"--frob", dir}, 1, "unknown option --frob"},
		{[]string{"--retry=x", dir}, 1, "--retry"},
		{[]string{"--fd=77", dir}, 1, "--fd=77 is not an open file descriptor"},
		{[]string{"/proc"}, 1, "is a mount of type proc"},
	} {
		r := commands.Run(t, commands.Self, "guestunmount", c.args...)
		if r.Status != c.status || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("%v: status %d, %q, want %d, %q", c.args, r.Status, r.Stderr, c.status, c.want)
		}
	}
	if r := commands.Run(t, commands.Self, "guestunmount", "--help"); r.Status != 0 || !strings.Contains(r.Stdout, "--no-retry") {
		t.Errorf("--help: %+v", r)
	}
}

// A symlink to the mount point names it as well, and so does a relative path.
func TestUnmountByOtherNames(t *testing.T) {
	image := guest(t, commands.Self)
	for _, name := range []string{"link", "./mnt", "mnt/", "link/../mnt"} {
		m, _ := commands.Start(t, commands.Self, image)
		parent := filepath.Dir(m.Dir)
		if err := os.Symlink("mnt", filepath.Join(parent, "link")); err != nil {
			t.Fatal(err)
		}
		if name == "link/../mnt" {
			name = parent + "/./mnt"
		}
		cmd := commands.Command(t, commands.Self, "guestunmount", name)
		cmd.Dir = parent
		if r := commands.Finish(t, cmd); r.Status != 0 || commands.Running(m.PID) {
			t.Errorf("%s: %d %s", name, r.Status, r.Stderr)
		}
		m.Forget()
	}
}

// --fd waits for the end of whoever holds the other end, then unmounts.
func TestUnmountWhenTheOwnerEnds(t *testing.T) {
	m, _ := commands.Start(t, commands.Self, guest(t, commands.Self))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := commands.Command(t, commands.Self, "guestunmount", "--fd=3", m.Dir)
	cmd.ExtraFiles = []*os.File{r}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := w.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if !mounted(t, m.Dir) {
		t.Error("unmounted before its owner ended")
	}
	w.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if mounted(t, m.Dir) || commands.Running(m.PID) {
		t.Error("not unmounted when its owner ended")
	}
	m.Forget()
}

// Rounds of mounting and unmounting leave nothing: 30 of them, 1,000 in the long run. TestMain looks for mounts, records
// and processes.
func TestManyRounds(t *testing.T) {
	both(t, func(t *testing.T, who commands.Who) {
		images.NeedFUSE(t)
		rounds := 30
		if os.Getenv("GUESTCTL_LONG") != "" {
			rounds = 1000
		}
		image := guest(t, who)
		mnt := commands.Dir(t, who)
		before := files(t)
		for i := range rounds {
			commands.Must(t, who, "guestmount", image, mnt)
			if i%2 == 0 {
				if r := commands.Run(t, who, "cat", mnt+"/etc/hostname"); r.Stdout != "demo-guest\n" {
					t.Fatalf("round %d: %+v", i, r)
				}
			}
			commands.Must(t, who, "guestunmount", mnt)
		}
		if after := files(t); after > before {
			t.Errorf("%d files in the temporary folder before, %d after", before, after)
		}
	})
}

func files(t *testing.T) int {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(os.TempDir(), "*guestmount*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// Two that start at once on one mount point: one wins, the other says so, and one guestunmount is enough.
func TestRaceForTheMountPoint(t *testing.T) {
	images.NeedFUSE(t)
	image := guest(t, commands.Self)
	for range 5 {
		mnt := commands.Dir(t, commands.Self)
		var wg sync.WaitGroup
		results := make([]commands.Result, 4)
		for i := range results {
			cmd := commands.Command(t, commands.Self, "guestmount", image, mnt)
			wg.Go(func() { results[i] = commands.Finish(t, cmd) })
		}
		wg.Wait()
		won := 0
		for _, r := range results {
			switch {
			case r.Status == 0:
				won++
			case r.Status != 1 || !strings.Contains(r.Stderr, "something is mounted there already"):
				t.Errorf("%+v", r)
			}
		}
		if won == 0 {
			t.Error("nobody won")
		}
		for range won {
			commands.Must(t, commands.Self, "guestunmount", mnt)
		}
	}
}

// A mount namespace that was made meanwhile, as a container's, keeps a copy of the mount. guestunmount still releases the
// image, unless somebody in there uses it.
func TestCopyInAnotherNamespace(t *testing.T) {
	images.NeedRoot(t)
	images.NeedTool(t, "unshare")
	image := guest(t, commands.Self)
	m, _ := commands.Start(t, commands.Self, image)
	sleeper(t, commands.Self, "unshare", "--mount", "--propagation=private")
	if r := commands.Run(t, commands.Self, "guestunmount", m.Dir); r.Status != 0 || r.Took > 8*time.Second || commands.Running(m.PID) {
		t.Errorf("%+v", r)
	}
	m.Forget()

	m, _ = commands.Start(t, commands.Self, image)
	user := sleeper(t, commands.Self, "unshare", "--mount", "--propagation=private", "--wd="+m.Dir+"/etc")
	var r commands.Result
	done := make(chan struct{})
	cmd := commands.Command(t, commands.Self, "guestunmount", m.Dir)
	go func() {
		defer close(done)
		r = commands.Finish(t, cmd)
	}()
	await(t, func() bool { return !mounted(t, m.Dir) })
	select {
	case <-done:
		t.Errorf("guestunmount did not wait for the mount's last user: %+v", r)
	case <-time.After(2500 * time.Millisecond):
	}
	if err := user.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-done
	if r.Status != 0 || commands.Running(m.PID) {
		t.Errorf("%+v", r)
	}
	m.Forget()
}
