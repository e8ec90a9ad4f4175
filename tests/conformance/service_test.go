package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// A service is a guestctld that runs.
type service struct {
	who    commands.Who
	dir    string
	socket string
	audit  string
	cmd    *exec.Cmd
	stderr *output
	ended  chan struct{}
}

// An output is what a program has printed so far.
type output struct {
	mu   sync.Mutex // guards text; a leaf
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *output) len() int { return len(o.String()) }

func (o *output) from(i int) string { return o.String()[i:] }

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// serve starts guestctld with a configuration, and ends it at the end of the
// test, if nobody has by then.
func serve(t testing.TB, who commands.Who, config map[string]any) *service {
	t.Helper()
	dir := commands.Dir(t, who)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &service{who: who, dir: dir, socket: filepath.Join(dir, "s"), audit: filepath.Join(dir, "audit.jsonl")}
	if config == nil {
		config = map[string]any{}
	}
	s.configure(t, config)
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// configure writes the configuration.
func (s *service) configure(t testing.TB, config map[string]any) {
	t.Helper()
	config["audit"] = s.audit
	text, err := toml.Marshal(config)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "config.toml"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *service) start(t testing.TB) {
	t.Helper()
	s.cmd = commands.Command(t, s.who, "guestctld", "-v", "--socket", s.socket, "--config", filepath.Join(s.dir, "config.toml"))
	s.stderr, s.ended = &output{}, make(chan struct{})
	s.cmd.Stderr = s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // stop looks at the state
		close(s.ended)
	}()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", s.socket); err == nil {
			c.Close()
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("guestctld ended: %s", s.stderr)
		default:
		}
		if time.Now().After(end) {
			t.Fatal("guestctld does not listen")
		}
	}
}

func (s *service) stop(t testing.TB) {
	t.Helper()
	select {
	case <-s.ended:
		return
	default:
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	<-s.ended
	if !s.cmd.ProcessState.Success() {
		t.Errorf("guestctld: %v: %s", s.cmd.ProcessState, s.stderr)
	}
	if _, err := os.Lstat(s.socket); err == nil {
		t.Error("guestctld left its socket")
	}
}

// kill ends it as nothing should, with its workers and sweeper where all is set.
func (s *service) kill(t testing.TB, all bool) {
	t.Helper()
	var pids []int
	if all {
		for _, pid := range strings.Fields(commands.Must(t, commands.Self, "pgrep", "-P", fmt.Sprint(s.cmd.Process.Pid))) {
			n, err := strconv.Atoi(pid)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, n)
		}
		// Stopped, none can unmount before it is killed.
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		commands.Gone(t, pid)
	}
}

type imageRecord struct {
	ID     string
	State  string
	Mounts int
	Worker struct{ PID int }
}

func (s *service) images(t testing.TB) []imageRecord {
	t.Helper()
	var r struct{ Images []imageRecord }
	if err := json.Unmarshal([]byte(commands.Must(t, s.who, "guestctl", "list", "--json", "--socket", s.socket)), &r); err != nil {
		t.Fatal(err)
	}
	return r.Images
}

// curl asks as who does.
func (s *service) curl(t testing.TB, cmd *exec.Cmd) (status int, body string) {
	t.Helper()
	r := commands.Finish(t, cmd)
	if r.Status != 0 {
		return -r.Status, r.Stderr
	}
	text, code, _ := strings.Cut(r.Stdout, "\nstatus ")
	if _, err := fmt.Sscan(code, &status); err != nil {
		t.Fatalf("curl says %q", r.Stdout)
	}
	return status, text
}

func curlArgs(socket, method, path, body string) []string {
	list := []string{"-sS", "--unix-socket", socket, "-X", method, "-w", "\nstatus %{http_code}", "http://guestctl" + path}
	if body != "" {
		list = append(list, "-H", "Content-Type: application/json", "-d", body)
	}
	return list
}

func TestServiceMounts(t *testing.T) {
	both(t, func(t *testing.T, who commands.Who) {
		images.NeedFUSE(t)
		s := serve(t, who, nil)
		image := guest(t, who)
		mnt := filepath.Join(commands.Dir(t, who), "mnt")
		commands.Must(t, who, "mkdir", mnt)
		at := []string{"--socket", s.socket}
		if out := commands.Must(t, who, "guestctl", append([]string{"mount", image, mnt}, at...)...); out != "" {
			t.Errorf("without a terminal mount says %q", out)
		}
		if got := commands.Must(t, who, "cat", mnt+"/etc/hostname"); got != "demo-guest\n" {
			t.Errorf("etc/hostname holds %q", got)
		}
		list := commands.Must(t, who, "guestctl", append([]string{"list"}, at...)...)
		if !strings.Contains(list, mnt) || !strings.Contains(list, image) || !strings.Contains(list, "open") {
			t.Errorf("list says\n%s", list)
		}
		status := commands.Must(t, who, "guestctl", append([]string{"status"}, at...)...)
		if !strings.Contains(status, "1 open, 0 idle, 0 failed") || !strings.Contains(status, "Access   write") {
			t.Errorf("status says\n%s", status)
		}
		worker := s.images(t)[0].Worker.PID
		commands.Must(t, who, "guestctl", append([]string{"umount", mnt}, at...)...)
		if mounted(t, mnt) || commands.Running(worker) {
			t.Error("unmount came back before the mount and the worker were gone")
		}
		r := commands.Run(t, who, "guestctl", append([]string{"unmount", mnt}, at...)...)
		if r.Status != 1 || !strings.Contains(r.Stderr, "has no mount on "+mnt) || !strings.Contains(r.Stderr, "guestunmount "+mnt) {
			t.Errorf("a second unmount: %d %s", r.Status, r.Stderr)
		}
		// Shutdown takes mounts away, and those in use out of the tree.
		commands.Must(t, who, "guestctl", append([]string{"mount", image, mnt, "-o", "noxattr"}, at...)...)
		s.stop(t)
		if mounted(t, mnt) {
			t.Error("guestctld ended and left its mount")
		}
		r = commands.Run(t, who, "guestctl", append([]string{"status"}, at...)...)
		if r.Status != 1 || !strings.Contains(r.Stderr, "no daemon answers at "+s.socket) {
			t.Errorf("status without a daemon: %d %s", r.Status, r.Stderr)
		}
		if out := commands.Must(t, who, "guestctld", "--verify-audit", s.audit); out != "3 entries, whole\n" {
			t.Errorf("the audit log: %s", out)
		}
	})
}

// Killed, it leaves no mount and no socket that is in the way: its sweeper
// unmounts, and what is left when all are killed the next daemon takes away. It
// makes the mounts again.
func TestServiceKilled(t *testing.T) {
	images.NeedFUSE(t)
	for _, all := range []bool{false, true} {
		s := serve(t, commands.Self, nil)
		image := guest(t, commands.Self)
		mnt := filepath.Join(commands.Dir(t, commands.Self), "mnt")
		commands.Must(t, commands.Self, "mkdir", mnt)
		commands.Must(t, commands.Self, "guestctl", "mount", image, mnt, "--socket", s.socket)
		worker := s.images(t)[0].Worker.PID
		s.kill(t, all)
		if !all {
			commands.Gone(t, worker)
			if mounted(t, mnt) {
				t.Error("the worker of a killed daemon left its mount")
			}
		} else if !mounted(t, mnt) {
			t.Error("the test is void: the mount is gone already")
		}
		if _, err := os.Lstat(s.socket); err != nil {
			t.Errorf("the test is void: %v", err)
		}
		s.start(t)
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if text, err := os.ReadFile(filepath.Join(mnt, "etc/hostname")); err == nil && string(text) == "demo-guest\n" {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the next daemon does not make the mount again: %s", s.stderr)
			}
		}
		commands.Must(t, commands.Self, "guestctl", "unmount", mnt, "--socket", s.socket)
		s.stop(t)
	}
}

func TestServiceIsOne(t *testing.T) {
	s := serve(t, commands.Self, nil)
	r := commands.Run(t, commands.Self, "guestctld", "--socket", s.socket)
	if r.Status != 1 || !strings.Contains(r.Stderr, "another daemon serves "+s.socket) {
		t.Errorf("a second guestctld: %d %s", r.Status, r.Stderr)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--nonsense"}, "unknown option --nonsense"},
		{[]string{"here"}, `"here" is no option`},
		{[]string{"--socket"}, "option --socket needs a value"},
	} {
		if r := commands.Run(t, commands.Self, "guestctld", c.args...); r.Status != 2 || !strings.Contains(r.Stderr, c.says) {
			t.Errorf("guestctld %q: %d %s", c.args, r.Status, r.Stderr)
		}
	}
	bad := filepath.Join(s.dir, "bad.toml")
	for text, says := range map[string]string{`odd = 1`: `there is no setting "odd"`, `isolation = "none"`: "isolation is", "\nidle_after = 5": "line 2: ",
		`images = ["relative"]`: "is not an absolute path", `{`: "configuration " + bad, `keys = ["all:key:secret"]`: "a configuration names files only",
		`log_level = "loud"`: "log_level is"} {
		if err := os.WriteFile(bad, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"--config", bad, "--socket", s.socket + "2"}, {"--config", bad, "--check-config"}} {
			if r := commands.Run(t, commands.Self, "guestctld", args...); r.Status != 1 || !strings.Contains(r.Stderr, says) || strings.Contains(r.Stderr, "secret") {
				t.Errorf("configuration %s: %d %s", text, r.Status, r.Stderr)
			}
		}
	}
}

// SIGHUP reads the configuration again; a wrong one changes nothing.
func TestServiceReloads(t *testing.T) {
	s := serve(t, commands.Self, nil)
	reload := func(config map[string]any, says string) {
		t.Helper()
		from := s.stderr.len()
		s.configure(t, config)
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); !strings.Contains(s.stderr.from(from), says); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("configuration %v: it says %q, not %q", config, s.stderr.from(from), says)
			}
		}
	}
	reload(map[string]any{"max_images": 1}, "changed=max_images")
	reload(map[string]any{"max_images": 0}, "max_images must be more than 0")
	reload(map[string]any{"max_images": 1, "isolation": "shared"}, "settings=isolation")
	commands.Must(t, commands.Self, "guestctl", "status", "--socket", s.socket)
	config := filepath.Join(s.dir, "config.toml")
	if r := commands.Run(t, commands.Self, "guestctld", "--check-config", "--config", config); r.Status != 0 || r.Stdout != config+": ok\n" {
		t.Errorf("--check-config: %d %s %s", r.Status, r.Stdout, r.Stderr)
	}
	printed := commands.Must(t, commands.Self, "guestctld", "--print-config", "--config", config)
	if err := os.WriteFile(config, []byte(printed), 0o644); err != nil {
		t.Fatal(err)
	}
	if again := commands.Must(t, commands.Self, "guestctld", "--print-config", "--config", config); again != printed || !strings.Contains(printed, `isolation = "shared"`) {
		t.Errorf("what is printed is read as\n%s, not as\n%s", again, printed)
	}
}

// As systemd starts it: the socket is there before, and stays after; readiness
// and the stop are told.
func TestServiceUnderSystemd(t *testing.T) {
	dir := commands.Dir(t, commands.Self)
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	// exec keeps the pid that LISTEN_PID names.
	cmd := commands.Command(t, commands.Self, "sh", "-c", `LISTEN_PID=$$ exec "$0"`, commands.Bin(t, "guestctld"))
	cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "NOTIFY_SOCKET="+told.LocalAddr().String(), "XDG_STATE_HOME="+dir)
	cmd.ExtraFiles = []*os.File{f}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hear := func(want string) {
		t.Helper()
		b := make([]byte, 4096)
		_ = told.SetReadDeadline(time.Now().Add(30 * time.Second)) // a socket has deadlines
		n, err := told.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:n]), want) {
			t.Errorf("systemd is told %q, %v; want %s", b[:n], err, want)
		}
	}
	hear("READY=1\nSTATUS=0 images open")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hear("RELOADING=1\nMONOTONIC_USEC=")
	hear("READY=1\nSTATUS=0 images open")
	if out := commands.Must(t, commands.Self, "guestctl", "status", "--socket", path); !strings.Contains(out, "Status   ok") {
		t.Errorf("status says %s", out)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("guestctld: %v: %s", err, &stderr)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("it removed systemd's socket: %v", err)
	}
}

// stranger is a user who is in no group of the socket's.
const stranger = images.Ordinary + 1

// as makes a command run as another user.
func as(t testing.TB, uid int, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := commands.Command(t, commands.User, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	return cmd
}

// guestShadow is the guest's own /etc/shadow in linkedImage.
const guestShadow = "root:the-guest-and-not-the-host:1::::::\n"

// linkedImage is an image, in a folder, whose symlinks lead to /etc/shadow in
// the ways in which they could lead to the host's.
func linkedImage(t testing.TB, dir string) string {
	t.Helper()
	images.NeedTool(t, "mke2fs")
	tree := t.TempDir()
	for _, sub := range []string{"etc", "bin", "deep/er"} {
		if err := os.MkdirAll(filepath.Join(tree, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"etc/shadow": guestShadow, "etc/os-release": "PRETTY_NAME=Linked\n", "etc/fstab": "", "bin/sh": ""} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"absolute": "/etc/shadow", "climbing": "../../../../../../etc/shadow", "folder": "/etc", "deep/er/up": "../../../../../absolute"} {
		if err := os.Symlink(target, filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "linked.img")
	commands.Must(t, commands.Self, "mke2fs", "-q", "-t", "ext4", "-d", tree, path, "8M")
	return path
}

func TestServiceAccess(t *testing.T) {
	images.NeedRoot(t)
	images.NeedFUSE(t)
	images.NeedTool(t, "curl")
	// What readers may open, and what they may not.
	allowed, private := commands.Dir(t, commands.Self), commands.Dir(t, commands.Self)
	image := guest(t, commands.Self)
	inside, outside := filepath.Join(allowed, "inside.img"), filepath.Join(private, "outside.img")
	for _, path := range []string{inside, outside} {
		images.CopyAs(t, image, path, 0)
	}
	for link, target := range map[string]string{"link.img": outside, "out": private} {
		if err := os.Symlink(target, filepath.Join(allowed, link)); err != nil {
			t.Fatal(err)
		}
	}
	linked := linkedImage(t, allowed)
	s := serve(t, commands.Self, map[string]any{"images": []string{allowed}, "group": fmt.Sprint(images.Ordinary)})
	var st unix.Stat_t
	if err := unix.Stat(s.socket, &st); err != nil || st.Mode&0o777 != 0o660 || st.Uid != 0 || st.Gid != images.Ordinary {
		t.Fatalf("the socket: mode %o, %d:%d, %v", st.Mode, st.Uid, st.Gid, err)
	}
	r := commands.Finish(t, as(t, stranger, "guestctl", "status", "--socket", s.socket))
	if r.Status != 1 || !strings.Contains(r.Stderr, "may not be used by this user") {
		t.Errorf("a stranger: %d %s %s", r.Status, r.Stdout, r.Stderr)
	}
	reader := func(method, path, body string) (int, string) {
		return s.curl(t, as(t, images.Ordinary, "curl", curlArgs(s.socket, method, path, body)...))
	}
	root := func(method, path, body string) (int, string) {
		return s.curl(t, commands.Command(t, commands.Self, "curl", curlArgs(s.socket, method, path, body)...))
	}
	attach := func(path string) string { return fmt.Sprintf(`{"images":[{"path":%q}]}`, path) }
	var img imageRecord
	status, body := reader("POST", "/v1/images", attach(inside))
	if err := json.Unmarshal([]byte(body), &img); err != nil || status != 200 {
		t.Fatalf("a reader attaches an allowed image: %d %s", status, body)
	}
	files := "/v1/images/" + img.ID + "/files"
	var links imageRecord
	status, body = reader("POST", "/v1/images", attach(linked))
	if err := json.Unmarshal([]byte(body), &links); err != nil || status != 200 {
		t.Fatalf("a reader attaches another: %d %s", status, body)
	}
	for _, name := range []string{"/absolute", "/climbing", "/folder/shadow", "/deep/er/up"} {
		for what, path := range map[string]string{"content": "/content?path=" + name, "grep": "/grep?pattern=.&path=" + name, "checksum": "/checksum?path=" + name} {
			status, body := reader("GET", "/v1/images/"+links.ID+"/files"+path, "")
			switch {
			case status != 200:
				t.Errorf("%s of %s: %d %s", what, name, status, body)
			case what == "checksum":
				if want := fmt.Sprintf("%x", sha256.Sum256([]byte(guestShadow))); !strings.Contains(body, want) {
					t.Errorf("%s of %s is not the guest's: %s", what, name, body)
				}
			case !strings.Contains(body, strings.TrimSpace(guestShadow)):
				t.Errorf("%s of %s is not the guest's: %s", what, name, body)
			}
		}
	}
	status, body = root("POST", "/v1/images", attach(outside))
	var rootImage imageRecord
	if err := json.Unmarshal([]byte(body), &rootImage); err != nil || status != 200 {
		t.Fatalf("root attaches: %d %s", status, body)
	}
	status, body = root("POST", "/v1/jobs", `{"image":"`+rootImage.ID+`","kind":"list"}`)
	var job struct{ ID string }
	if err := json.Unmarshal([]byte(body), &job); err != nil || status != 200 {
		t.Fatalf("root starts a job: %d %s", status, body)
	}
	mnt := filepath.Join(commands.Dir(t, commands.Self), "mnt")
	commands.Must(t, commands.Self, "mkdir", mnt)
	status, body = root("POST", "/v1/mounts", fmt.Sprintf(`{"image":%q,"dir":%q}`, rootImage.ID, mnt))
	var mount struct{ ID string }
	if err := json.Unmarshal([]byte(body), &mount); err != nil || status != 200 {
		t.Fatalf("root mounts: %d %s", status, body)
	}
	for _, c := range []struct {
		what, method, path, body string
		status                   int
		says                     string
	}{
		{"reads health", "GET", "/v1/health", "", 200, `"access":"read"`},
		{"reads a file", "GET", files + "/content?path=/etc/hostname", "", 200, "demo-guest"},
		{"reads the guest's shadow through no link of the host", "GET", files + "/content?path=/etc/shadow", "", 200, "alice:*"},
		{"climbs", "GET", files + "/content?path=/../../../../etc/hostname", "", 200, "demo-guest"},
		{"reads what root attached", "GET", "/v1/images/" + rootImage.ID + "/files/content?path=/etc/hostname", "", 200, "demo-guest"},
		{"opens an image outside", "POST", "/v1/images", attach(outside), 403, `"image_not_allowed"`},
		{"opens one through a link", "POST", "/v1/images", attach(filepath.Join(allowed, "link.img")), 403, `"image_not_allowed"`},
		{"opens one through a folder's link", "POST", "/v1/images", attach(filepath.Join(allowed, "out/outside.img")), 403, `"image_not_allowed"`},
		{"opens one through ..", "POST", "/v1/images", attach(allowed + "/../" + filepath.Base(private) + "/outside.img"), 403, `"image_not_allowed"`},
		{"asks whether a file is there", "POST", "/v1/images", attach("/root/nothing"), 403, `"image_not_allowed"`},
		{"allows backing files", "POST", "/v1/images", fmt.Sprintf(`{"images":[{"path":%q}],"allow_backing":["/root"]}`, inside), 403, `"forbidden"`},
		{"mounts", "POST", "/v1/mounts", fmt.Sprintf(`{"image":%q,"dir":%q}`, img.ID, mnt), 403, `"forbidden"`},
		{"unmounts", "DELETE", "/v1/mounts/" + mount.ID, "", 403, `"forbidden"`},
		{"takes root's image away", "DELETE", "/v1/images/" + rootImage.ID, "", 403, `"forbidden"`},
		{"forces", "DELETE", "/v1/images/" + img.ID + "?force=true", "", 403, `"forbidden"`},
		{"cancels root's job", "DELETE", "/v1/jobs/" + job.ID, "", 403, `"forbidden"`},
		{"reads the result of root's job", "GET", "/v1/jobs/" + job.ID + "/result", "", 403, `"forbidden"`},
		{"starts a job", "POST", "/v1/jobs", `{"image":"` + img.ID + `","kind":"list"}`, 200, `"running"`},
		{"gives back what it attached", "DELETE", "/v1/images/" + img.ID, "", 204, ""},
	} {
		status, body := reader(c.method, c.path, c.body)
		for end := time.Now().Add(10 * time.Second); status == 409 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			status, body = reader(c.method, c.path, c.body) // its job still runs
		}
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("a reader %s: %d %s, want %d %s", c.what, status, body, c.status, c.says)
		}
	}
	commands.Must(t, commands.Self, "guestctl", "unmount", mnt, "--socket", s.socket)
	text, err := os.ReadFile(s.audit)
	if err != nil || strings.Count(string(text), `"uid":1000`) != 2 || strings.Count(string(text), `"result":"forbidden"`) != 2 {
		t.Errorf("the audit log, %v:\n%s", err, text)
	}
}
