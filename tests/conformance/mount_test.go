package conformance

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

func TestMountReadUnmount(t *testing.T) {
	both(t, func(t *testing.T, who commands.Who) {
		image := guest(t, who)
		m, said := commands.Start(t, who, image)
		if said.Stdout != "" || said.Stderr != "" {
			t.Errorf("without a terminal guestmount says %q and %q", said.Stdout, said.Stderr)
		}
		if got := commands.Must(t, who, "cat", m.Dir+"/etc/hostname"); got != "demo-guest\n" {
			t.Errorf("etc/hostname holds %q", got)
		}
		// The second filesystem stands where the guest's fstab has it; a directory that only its owner may enter is open to
		// whoever mounted; a symlink leads on.
		for file, want := range map[string]string{"srv/www/pages/page-00.txt": "page 0 of the guest", "home/alice/.ssh/authorized_keys": "# nobody",
			"etc/shadow": "alice:*", "bin/hallo": "hello from a guest"} {
			if got := commands.Must(t, who, "cat", m.Dir+"/"+file); !strings.Contains(got, want) {
				t.Errorf("%s holds %q", file, got)
			}
		}
		var st unix.Stat_t
		if who == commands.Self {
			if err := unix.Stat(m.Dir+"/etc/shadow", &st); err != nil || st.Mode != unix.S_IFREG|0o640 || st.Gid != 42 {
				t.Errorf("etc/shadow: %+v, %v", st, err)
			}
		}
		r := commands.Run(t, who, "touch", m.Dir+"/etc/new")
		if r.Status == 0 || !strings.Contains(r.Stderr, "Read-only file system") {
			t.Errorf("touch: %d %s", r.Status, r.Stderr)
		}
		pid := m.PID
		if r := commands.Run(t, who, "guestunmount", m.Dir); r.Status != 0 || r.Stderr != "" {
			t.Errorf("guestunmount: %d %s", r.Status, r.Stderr)
		}
		if commands.Running(pid) {
			t.Error("guestunmount came back while the daemon was running")
		}
		m.Forget()
		if r := commands.Run(t, who, "guestunmount", m.Dir); r.Status != 3 || !strings.Contains(r.Stderr, "nothing is mounted on") {
			t.Errorf("a second guestunmount: %d %s", r.Status, r.Stderr)
		}
	})
}

// The kernel shows nothing but what was asked for: -m, --partitions, -i.
func TestViews(t *testing.T) {
	image := guest(t, commands.Self)
	ls := func(args ...string) string {
		m, _ := commands.Start(t, commands.Self, append([]string{"--ro"}, args...)...)
		defer m.End(t)
		return strings.Join(strings.Fields(commands.Must(t, commands.Self, "ls", m.Dir)), " ")
	}
	const root = "bin boot dev etc home lib lib64 media mnt opt proc root run sbin srv sys tmp usr var"
	for _, c := range []struct{ args, want string }{
		{"-a IMAGE", root},
		{"-a IMAGE -i", root},
		{"-i -a IMAGE", root},
		{"-a IMAGE --partitions", "sda1 sda2"},
		{"-a IMAGE -m sda2", "www"},
		{"-a IMAGE -m /dev/sda2:/", "www"},
		{"-a IMAGE -m /dev/sda2 -m sda1:/www", "www"},
		{"-a IMAGE -a IMAGE --partitions", "sda1 sda2 sdb1 sdb2"},
	} {
		if got := ls(strings.Fields(strings.ReplaceAll(c.args, "IMAGE", image))...); got != c.want {
			t.Errorf("%s shows %q, want %q", c.args, got, c.want)
		}
	}
	// The mounts nest as asked.
	m, _ := commands.Start(t, commands.Self, "-a", image, "--ro", "-m", "sda1", "-m", "sda2:/mnt")
	if got := commands.Must(t, commands.Self, "ls", m.Dir+"/mnt", m.Dir+"/srv"); !strings.Contains(got, "www") || strings.Count(got, "www") != 1 {
		t.Errorf("ls mnt srv: %q", got)
	}
}

func TestOptionsAfterArguments(t *testing.T) {
	images.NeedFUSE(t)
	image := guest(t, commands.Self)
	dir := commands.Dir(t, commands.Self)
	pid := filepath.Join(dir, "pid")
	mnt := filepath.Join(dir, "mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	commands.Must(t, commands.Self, "guestmount", image, mnt, "--partitions", "--ro", "--pid-file", pid, "-o", "fsname=some,noexec")
	defer commands.Must(t, commands.Self, "guestunmount", mnt)
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(table), "some "+mnt+" fuse.guestmount ro,nosuid,nodev,noexec,")
	if at < 0 {
		t.Errorf("/proc/mounts:\n%s", table)
	}
	if _, err := os.Stat(mnt + "/sda1/etc"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(pid); err != nil {
		t.Error(err)
	}
}

func TestReadinessByFD(t *testing.T) {
	images.NeedFUSE(t)
	image := guest(t, commands.Self)
	for _, fork := range []bool{true, false} {
		mnt := commands.Dir(t, commands.Self)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"--fd=3", image, mnt}
		if !fork {
			args = append(args, "--no-fork")
		}
		cmd := commands.Command(t, commands.Self, "guestmount", args...)
		cmd.ExtraFiles = []*os.File{w}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(r)
		if err != nil || len(got) != 1 {
			t.Errorf("fork %v: --fd got %q, %v", fork, got, err)
		}
		r.Close()
		if _, err := os.Stat(mnt + "/etc/hostname"); err != nil {
			t.Errorf("fork %v: told ready, but %v", fork, err)
		}
		commands.Must(t, commands.Self, "guestunmount", mnt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("fork %v: guestmount: %v", fork, err)
		}
	}
}

// readAll reads until the other end is closed. A pipe that the daemon in the background keeps open never ends.
func readAll(f *os.File) ([]byte, error) {
	var all []byte
	for {
		b := make([]byte, 100)
		n, err := f.Read(b)
		all = append(all, b[:n]...)
		if err != nil {
			if err.Error() == "EOF" {
				err = nil
			}
			return all, err
		}
	}
}

// A captor that reads guestmount's output must see its end when guestmount ends, though the daemon lives on.
func TestDaemonLetsGoOfOutput(t *testing.T) {
	m, _ := commands.Start(t, commands.Self, guest(t, commands.Self)) // Start reads to the end of both, and fails where they stay open
	links, err := os.ReadDir("/proc/" + strconv.Itoa(m.PID) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		target, _ := os.Readlink("/proc/" + strconv.Itoa(m.PID) + "/fd/" + l.Name())
		if n, _ := strconv.Atoi(l.Name()); n <= 2 && target != os.DevNull {
			t.Errorf("descriptor %s of the daemon is %s", l.Name(), target)
		}
	}
	if cwd, err := os.Readlink("/proc/" + strconv.Itoa(m.PID) + "/cwd"); err != nil || cwd != "/" {
		t.Errorf("the daemon stands in %s (%v)", cwd, err)
	}
	if sid, err := unix.Getsid(m.PID); err != nil || sid != m.PID {
		t.Errorf("the daemon is in session %d, it is process %d (%v)", sid, m.PID, err)
	}
}

func TestForegroundAndSignals(t *testing.T) {
	images.NeedFUSE(t)
	image := guest(t, commands.Self)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		mnt := commands.Dir(t, commands.Self)
		pid := filepath.Join(commands.Dir(t, commands.Self), "pid")
		cmd := commands.Command(t, commands.Self, "guestmount", "--no-fork", "--pid-file", pid, image, mnt)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { _, err := os.Stat(pid); return err == nil })
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v: %s", sig, err, out.String())
		}
		if mounted(t, mnt) {
			t.Errorf("%v: still mounted", sig)
		}
	}
}

// A signal to a mount in use takes it out of the tree; who uses it may go on.
func TestSignalWhileInUse(t *testing.T) {
	m, _ := commands.Start(t, commands.Self, guest(t, commands.Self))
	f, err := os.Open(m.Dir + "/home/alice/numbers.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Kill(m.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return !mounted(t, m.Dir) })
	b := make([]byte, 9)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "n,square\n" {
		t.Errorf("reading on: %q, %v", b, err)
	}
	if !commands.Running(m.PID) {
		t.Error("the daemon ended under an open file")
	}
	f.Close()
	commands.Gone(t, m.PID)
	m.Forget()
}

func TestSystemdNotification(t *testing.T) {
	images.NeedFUSE(t)
	image := guest(t, commands.Self)
	dir := commands.Dir(t, commands.Self)
	socket := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mnt := commands.Dir(t, commands.Self)
	cmd := commands.Command(t, commands.Self, "guestmount", "--no-fork", image, mnt)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	receive := func() string {
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if got := receive(); got != "READY=1" {
		t.Errorf("notified %q", got)
	}
	if !mounted(t, mnt) {
		t.Error("ready before it is mounted")
	}
	commands.Must(t, commands.Self, "guestunmount", mnt)
	if got := receive(); got != "STOPPING=1" {
		t.Errorf("notified %q", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// On a terminal one line says what was mounted, how, and how to unmount; root is told who can look into it.
func TestTerminal(t *testing.T) {
	images.NeedFUSE(t)
	image := guest(t, commands.Self)
	for _, c := range []struct {
		who   commands.Who
		args  []string
		lines int
	}{{commands.Self, nil, 2}, {commands.Self, []string{"-o", "allow_other"}, 1}, {commands.User, nil, 1}} {
		if os.Geteuid() != 0 && c.who == commands.Self {
			continue
		}
		image, mnt := image, commands.Dir(t, c.who)
		if c.who == commands.User {
			image = guest(t, c.who)
		}
		master, slave := openPTY(t)
		cmd := commands.Command(t, c.who, "guestmount", append(c.args, image, mnt)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		slave.Close()
		said := make([]byte, 4096)
		n, _ := master.Read(said)
		master.Close()
		lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(said[:n]), "\r", "")), "\n")
		if len(lines) != c.lines || !strings.Contains(lines[0], filepath.Base(image)) || !strings.Contains(lines[0], "read-only") ||
			!strings.HasSuffix(lines[0], "Unmount with: guestunmount "+mnt) {
			t.Errorf("says %q", lines)
		}
		if c.lines == 2 && !strings.Contains(lines[1], "Only root can look into it; with -o allow_other every user can") {
			t.Errorf("says %q", lines)
		}
		commands.Must(t, c.who, "guestunmount", mnt)
	}
}

func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		images.Lack(t, "needs a pseudo-terminal: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// A key for nothing is no fault: scripts give the same keys to every guest.
func TestKeyForNothing(t *testing.T) {
	_, r := commands.Start(t, commands.Self, "-a", guest(t, commands.Self), "--ro", "--key", "all:key:secret")
	if r.Stderr != "" {
		t.Errorf("--key says %q", r.Stderr)
	}
}

func mounted(t testing.TB, dir string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(table, []byte(" "+dir+" "))
}

func await(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not after 20 seconds")
		}
	}
}
