package conformance

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// A lone mount, as list --json shows it.
type loneRecord struct {
	PID    int
	Dir    string
	Socket string
}

// loneAt is the record of a mount of guestmount.
func loneAt(t testing.TB, who commands.Who, dir string) (loneRecord, bool) {
	t.Helper()
	var r struct{ Lone []loneRecord }
	if err := json.Unmarshal([]byte(commands.Must(t, who, "guestctl", "list", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	for _, l := range r.Lone {
		if l.Dir == dir {
			return l, true
		}
	}
	return loneRecord{}, false
}

// guestmount answers on a socket of its own what it is, and takes the socket
// with it.
func TestLoneSocket(t *testing.T) {
	both(t, func(t *testing.T, who commands.Who) {
		images.NeedTool(t, "curl")
		image := guest(t, who)
		m, _ := commands.Start(t, who, image)
		lone, ok := loneAt(t, who, m.Dir)
		if !ok || lone.PID != m.PID || lone.Socket == "" {
			t.Fatalf("list shows %+v", lone)
		}
		var st unix.Stat_t
		if err := unix.Stat(lone.Socket, &st); err != nil || st.Mode&0o777 != 0o600 {
			t.Errorf("the socket has the mode %o, %v", st.Mode&0o777, err)
		}
		if r := commands.Must(t, who, "guestctl", "list"); !strings.Contains(r, m.Dir) || !strings.Contains(r, "guestmount") {
			t.Errorf("list says\n%s", r)
		}
		s := &service{socket: lone.Socket}
		ask := func(method, path string) (int, string) {
			t.Helper()
			return s.curl(t, commands.Command(t, who, "curl", curlArgs(lone.Socket, method, path, "")...))
		}
		var list struct {
			Images []struct{ ID, Summary string }
		}
		status, body := ask("GET", "/v1/images")
		if err := json.Unmarshal([]byte(body), &list); err != nil || status != 200 || len(list.Images) != 1 || list.Images[0].Summary == "" {
			t.Fatalf("images: %d %s", status, body)
		}
		id := list.Images[0].ID
		for _, c := range []struct {
			method, path string
			status       int
			says         string
		}{
			{"GET", "/v1/version", 200, `"api":["v1"]`},
			{"GET", "/v1/health", 200, `"schema":"guestctl.health/1","status":"ok"`},
			{"GET", "/v1/images/" + id, 200, image},
			{"GET", "/v1/images/" + id + "/filesystems", 200, `"schema":"guestctl.filesystems/1"`},
			{"GET", "/v1/mounts", 200, m.Dir},
			{"GET", "/v1/metrics", 200, `guestctl_mount_requests_total{image="` + id + `",dir="` + m.Dir + `",kind="lookup"}`},
			{"GET", "/v1/metrics", 200, `guestctl_image_cache_hits_total{image="` + id + `",cache="metadata"}`},
			{"GET", "/v1/images/nope", 404, `"no_such_image"`},
			{"GET", "/v1/mounts/nope", 404, `"no_such_mount"`},
			{"POST", "/v1/mounts", 404, `"no_such_endpoint"`},
			{"DELETE", "/v1/images/" + id, 404, `"no_such_endpoint"`},
			{"GET", "/v1/images/" + id + "/files", 404, "guestctld has all of the API"},
		} {
			if status, body := ask(c.method, c.path); status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.says)
			}
		}
		if out := commands.Must(t, who, "guestctl", "status", "--socket", lone.Socket); !strings.Contains(out, "1 open") {
			t.Errorf("status says\n%s", out)
		}
		if os.Geteuid() == 0 {
			if r := commands.Finish(t, as(t, stranger, "guestctl", "status", "--socket", lone.Socket)); r.Status != 1 {
				t.Errorf("a stranger: %+v", r)
			}
			// Who connects and says nothing does not keep the image.
			c, err := net.Dial("unix", lone.Socket)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		m.End(t)
		if _, err := os.Lstat(lone.Socket); err == nil {
			t.Error("guestmount left its socket")
		}
	})
}

// Killed, it leaves the socket until the next guestmount, which takes it away.
func TestLoneKilled(t *testing.T) {
	image := guest(t, commands.Self)
	m, _ := commands.Start(t, commands.Self, image)
	lone, _ := loneAt(t, commands.Self, m.Dir)
	if err := syscall.Kill(m.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	commands.Gone(t, m.PID)
	m.Forget()
	if err := unix.Unmount(m.Dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(lone.Socket); err != nil {
		t.Fatalf("the test is void: %v", err)
	}
	// The other threads of a killed process may hold its files a little longer than the first one lives.
	_, listed := loneAt(t, commands.Self, m.Dir)
	for end := time.Now().Add(10 * time.Second); listed && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		_, listed = loneAt(t, commands.Self, m.Dir)
	}
	if listed {
		t.Error("list shows a dead guestmount")
	}
	other, _ := commands.Start(t, commands.Self, image)
	// It does so once it is ready.
	left := []string{""}
	for end := time.Now().Add(10 * time.Second); len(left) > 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left, _ = filepath.Glob(strings.TrimSuffix(lone.Socket, ".sock") + "*") // the pattern is well-formed
	}
	if len(left) > 0 {
		t.Errorf("the next guestmount leaves %v", left)
	}
	other.End(t)
}
