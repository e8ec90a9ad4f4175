package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// passphrase is looked for in all that a daemon shows and writes.
const passphrase = "correct-horse-battery"

// encrypted is a LUKS2 image in a folder, with a filesystem in it.
func encrypted(t testing.TB, dir string) string {
	t.Helper()
	images.NeedTool(t, "mke2fs", "cryptsetup")
	tree := t.TempDir()
	for name, text := range map[string]string{"etc/hostname": "secret-guest\n", "etc/os-release": "PRETTY_NAME=Locked\n", "etc/fstab": "", "bin/sh": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "locked.img")
	commands.Must(t, commands.Self, "mke2fs", "-q", "-t", "ext4", "-d", tree, path, "16M")
	if err := os.Truncate(path, 24<<20); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cryptsetup", "--batch-mode", "--key-file=-", "reencrypt", "--encrypt", "--type=luks2", "--reduce-device-size=8M",
		"--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", path)
	cmd.Stdin = strings.NewReader(passphrase)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cryptsetup: %v: %s", err, out)
	}
	return path
}

// Keys reach the daemon that was named and nobody else: what they unlock is for
// those who have them, and they stand in no reply, log, command line or file.
func TestServiceKeys(t *testing.T) {
	images.NeedRoot(t)
	images.NeedFUSE(t)
	images.NeedTool(t, "curl")
	allowed := commands.Dir(t, commands.Self)
	if err := os.Chmod(allowed, 0o755); err != nil {
		t.Fatal(err)
	}
	image := encrypted(t, allowed)
	if err := os.Chmod(image, 0o644); err != nil {
		t.Fatal(err)
	}
	s := serve(t, commands.Self, map[string]any{"images": []string{allowed}, "group": fmt.Sprint(images.Ordinary), "idle_after": "1ms"})
	seen := "" // all that anybody is told
	ask := func(uid int, method, path, body string) (int, string) {
		t.Helper()
		cmd := as(t, uid, "curl", curlArgs(s.socket, method, path, body)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: images.Ordinary}}
		status, text := s.curl(t, cmd)
		seen += text
		return status, text
	}
	attach := func(keys string) string { return fmt.Sprintf(`{"images":[{"path":%q}]%s}`, image, keys) }
	with := attach(`,"keys":[{"volume":"all","passphrase":"` + passphrase + `"}]`)
	owner, other := images.Ordinary, stranger
	var mine, again, theirs imageRecord
	status, body := ask(owner, "POST", "/v1/images", with)
	if err := json.Unmarshal([]byte(body), &mine); err != nil || status != 200 {
		t.Fatalf("the owner attaches: %d %s", status, body)
	}
	status, body = ask(other, "POST", "/v1/images", attach(""))
	if err := json.Unmarshal([]byte(body), &theirs); err != nil || status != 200 || theirs.ID == mine.ID {
		t.Fatalf("another attaches without the key: %d %s", status, body)
	}
	file := "/files/content?path=/etc/hostname"
	for _, c := range []struct {
		what   string
		uid    int
		method string
		path   string
		body   string
		status int
		says   string
	}{
		{"the owner reads", owner, "GET", "/v1/images/" + mine.ID + file, "", 200, "secret-guest"},
		{"another reads", other, "GET", "/v1/images/" + mine.ID + file, "", 403, `"forbidden"`},
		{"another lists the filesystems", other, "GET", "/v1/images/" + mine.ID + "/filesystems", "", 403, `"forbidden"`},
		{"another inspects", other, "GET", "/v1/images/" + mine.ID + "/inspect", "", 403, `"forbidden"`},
		{"another checks", other, "GET", "/v1/images/" + mine.ID + "/check", "", 403, `"forbidden"`},
		{"another compares with it", other, "GET", "/v1/images/" + theirs.ID + "/files/diff?with=" + mine.ID, "", 403, `"forbidden"`},
		{"another starts a job", other, "POST", "/v1/jobs", `{"image":"` + mine.ID + `","kind":"list"}`, 403, `"forbidden"`},
		{"another reads without the key", other, "GET", "/v1/images/" + theirs.ID + file, "", 404, ""},
		{"another looks at the record", other, "GET", "/v1/images/" + mine.ID, "", 200, `"keys":true`},
		{"a wrong key", other, "POST", "/v1/images", attach(`,"keys":[{"volume":"all","passphrase":"` + passphrase + `-no"}]`), 200, `"keys":true`},
		{"an odd key", other, "POST", "/v1/images", attach(`,"keys":[{"volume":"","passphrase":"` + passphrase + `"}]`), 422, `"invalid_request"`},
		{"a long key", other, "POST", "/v1/images", attach(`,"keys":[{"volume":"all","passphrase":"` + strings.Repeat(passphrase, 40) + `"}]`), 422, `"invalid_request"`},
		{"two keys in one", other, "POST", "/v1/images", attach(`,"keys":[{"volume":"all","passphrase":"` + passphrase + `","file":true}]`), 422, `"invalid_request"`},
		{"no JSON", other, "POST", "/v1/images", `{"keys":"` + passphrase, 400, `"invalid_request"`},
		{"root reads", 0, "GET", "/v1/images/" + mine.ID + file, "", 200, "secret-guest"},
		{"the owner checks", owner, "GET", "/v1/images/" + mine.ID + "/check", "", 200, `"type":"ext4","checked":true`},
		{"the images", other, "GET", "/v1/images", "", 200, mine.ID},
		{"the events", other, "GET", "/v1/events", "", 200, mine.ID},
		{"the metrics", other, "GET", "/v1/metrics", "", 200, mine.ID},
	} {
		if status, body := ask(c.uid, c.method, c.path, c.body); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s, want %d %s", c.what, status, body, c.status, c.says)
		}
	}
	// With the same key it is the same image, and who has the key reads it.
	status, body = ask(other, "POST", "/v1/images", with)
	if err := json.Unmarshal([]byte(body), &again); err != nil || status != 200 || again.ID != mine.ID {
		t.Errorf("another attaches with the key: %d %s", status, body)
	}
	if status, body := ask(other, "GET", "/v1/images/"+mine.ID+file, ""); status != 200 || body != "secret-guest\n" {
		t.Errorf("another reads with the key: %d %s", status, body)
	}
	// guestctl takes keys as in its own process, from the command line and from a pipe.
	for _, line := range [][]string{{"cat", image + ":/etc/hostname"}, {"inspect", "--json", image}, {"check", "--json", image}, {"df", "--json", image}, {"filesystems", "--json", image},
		{"diff", "--json", image + ":/etc", image + ":/bin"}, {"cat", image + ":sda:/"}} {
		line = append(line, "--key", "all:key:"+passphrase)
		here, there := commands.Run(t, commands.Self, "guestctl", line...), commands.Run(t, commands.Self, "guestctl", append(line, "--socket", s.socket)...)
		here.Took, there.Took = 0, 0
		if here != there || line[0] == "cat" && line[1] == image+":/etc/hostname" && here.Stdout != "secret-guest\n" {
			t.Errorf("guestctl %q: here %+v, there %+v", line[:2], here, there)
		}
		seen += there.Stdout + there.Stderr
	}
	mnt := filepath.Join(commands.Dir(t, commands.Self), "mnt")
	commands.Must(t, commands.Self, "mkdir", mnt)
	cmd := commands.Command(t, commands.Self, "guestctl", "mount", "--keys-from-stdin", "--json", image, mnt, "--socket", s.socket)
	cmd.Stdin = strings.NewReader(passphrase + "\n")
	if r := commands.Finish(t, cmd); r.Status != 0 {
		t.Errorf("mount: %+v", r)
	} else {
		seen += r.Stdout + r.Stderr
	}
	if got := commands.Must(t, commands.Self, "cat", mnt+"/etc/hostname"); got != "secret-guest\n" {
		t.Errorf("the mount holds %q", got)
	}
	for _, pid := range append([]int{s.cmd.Process.Pid}, pidsOf(s.images(t))...) {
		for _, name := range []string{"cmdline", "environ"} {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name)) // a worker may have ended
			seen += string(text)
		}
	}
	commands.Must(t, commands.Self, "guestctl", "unmount", mnt, "--socket", s.socket)
	s.stop(t)
	audit, err := os.ReadFile(s.audit)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"what clients are told": seen, "the log": s.stderr.String(), "the audit log": string(audit)} {
		if strings.Contains(text, passphrase[:12]) || strings.Contains(text, "Y29ycmVjdC1ob3Jz") { // and in base64
			t.Errorf("the passphrase stands in %s", what)
		}
	}
	if !strings.Contains(s.stderr.String(), mine.ID) {
		t.Errorf("the test is void: the log says %s", s.stderr)
	}
}

func pidsOf(list []imageRecord) (pids []int) {
	for _, i := range list {
		if i.Worker.PID != 0 {
			pids = append(pids, i.Worker.PID)
		}
	}
	return pids
}
