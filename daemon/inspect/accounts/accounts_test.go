package accounts

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/images/hives"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

func guest(files map[string]string) *look.FS {
	m := vfstest.NewMemory()
	for name, content := range files {
		m.Add(name, vfstest.Text(content))
	}
	return look.New(vfs.NewNamespace(vfs.NewTree("sda1", m)))
}

func unix(t testing.TB, files map[string]string) *List {
	t.Helper()
	l, err := Unix(context.Background(), guest(files))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var debian = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n+::::::\nalice:x:1000:1000:Alice,Room 1,,:/home/alice:/bin/zsh\nopen:x:1001:1001::/home/open:/bin/sh\nshut:x:1002:1002::/:/bin/sh\nbroken\n",
	"/etc/shadow": "root:$y$j9T$x$y:19700:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nalice:!$6$abc$def:19701:0:99999:7::20000:\nopen::19702:0:99999:7:::\nshut:!:19703:0:99999:7:::\n",
	"/etc/group":  "root:x:0:\nsudo:x:27:alice,bob\ndocker:x:998:alice\n",
}

// TestUnix reads what a Debian has, and says of passwords what passwd -S says.
func TestUnix(t *testing.T) {
	l := unix(t, debian)
	n := func(i int64) *int64 { return &i }
	want := []api.User{
		{Name: "root", UID: n(0), GID: n(0), FullName: "root", Home: "/root", Shell: "/bin/bash", Password: "set", PasswordChanged: "2023-12-09", Source: "/etc/passwd:1"},
		{Name: "daemon", UID: n(1), GID: n(1), FullName: "daemon", Home: "/usr/sbin", Shell: "/usr/sbin/nologin", Password: "unusable", PasswordChanged: "2022-01-08", Source: "/etc/passwd:2"},
		{Name: "alice", UID: n(1000), GID: n(1000), FullName: "Alice", Home: "/home/alice", Shell: "/bin/zsh", Groups: []string{"sudo", "docker"}, Password: "locked", PasswordChanged: "2023-12-10", Expires: "2024-10-04", Source: "/etc/passwd:4"},
		{Name: "open", UID: n(1001), GID: n(1001), Home: "/home/open", Shell: "/bin/sh", Password: "none", PasswordChanged: "2023-12-11", Source: "/etc/passwd:5"},
		{Name: "shut", UID: n(1002), GID: n(1002), Home: "/", Shell: "/bin/sh", Password: "unusable", PasswordChanged: "2023-12-12", Source: "/etc/passwd:6"},
	}
	if d := cmp.Diff(l.Users, want); d != "" || len(l.Warnings) > 0 {
		t.Errorf("%s%q", d, l.Warnings)
	}
	if d := cmp.Diff(l.Groups, []api.Group{{Name: "root", GID: n(0), Source: "/etc/group:1"}, {Name: "sudo", GID: n(27), Members: []string{"alice", "bob"}, Source: "/etc/group:2"},
		{Name: "docker", GID: n(998), Members: []string{"alice"}, Source: "/etc/group:3"}}); d != "" {
		t.Error(d)
	}
	images.NeedTool(t, "passwd")
	images.NeedRoot(t)
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range debian {
		if err := os.WriteFile(dir+name, []byte(strings.ReplaceAll(content, "broken\n", "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range l.Users {
		out, err := exec.Command("passwd", "--root", dir, "-S", u.Name).Output()
		f := strings.Fields(string(out))
		if err != nil || len(f) < 3 {
			t.Fatalf("%s: %q, %v", u.Name, out, err)
		}
		state := map[string]string{"set": "P", "locked": "L", "unusable": "L", "none": "NP"}[u.Password]
		if changed, err := time.Parse(time.DateOnly, f[2]); f[1] != state || err != nil || changed.Format(time.DateOnly) != u.PasswordChanged {
			t.Errorf("%+v: passwd says %q", u, out)
		}
	}
}

// TestBSD reads master.passwd, and a passwd with the password in it.
func TestBSD(t *testing.T) {
	l := unix(t, map[string]string{"/etc/passwd": "root:*:0:0:Charlie &:/root:/bin/sh\ntoor:*:0:0::/root:\n", "/etc/master.passwd": "# $FreeBSD$\nroot:$6$x$y:0:0::0:0:Charlie &:/root:/bin/sh\ntoor:*LOCKED*$6$x:0:0::0:1700000000::/root:\n"})
	if l.Users[0].Password != "set" || l.Users[1].Password != "locked" || l.Users[1].Expires != "2023-11-14" {
		t.Errorf("%+v", l.Users)
	}
	l = unix(t, map[string]string{"/etc/passwd": "root::0:0:root:/root:/bin/sh\nu:$1$a$b:1:1::/:/bin/sh\nv:*:2:2::/:\n"})
	if l.Users[0].Password != "none" || l.Users[1].Password != "set" || l.Users[2].Password != "unusable" {
		t.Errorf("%+v", l.Users)
	}
}

// TestLastlog reads a login by its user's number.
func TestLastlog(t *testing.T) {
	log := make([]byte, 1001*lastlogSize)
	binary.LittleEndian.PutUint32(log[1000*lastlogSize:], 1_700_000_000)
	l := unix(t, map[string]string{"/etc/passwd": debian["/etc/passwd"], "/var/log/lastlog": string(log)})
	if l.Users[2].LastLogin != "2023-11-14T22:13:20Z" || l.Users[0].LastLogin != "" || l.Users[3].LastLogin != "" {
		t.Errorf("%+v", l.Users)
	}
}

// TestKeys has the fingerprints of ssh-keygen.
func TestKeys(t *testing.T) {
	images.NeedTool(t, "ssh-keygen")
	dir := t.TempDir()
	var file, want strings.Builder
	file.WriteString("# comment\n\nssh-rsa garbage\n")
	for i, kind := range []string{"ed25519", "rsa", "ecdsa"} {
		name := filepath.Join(dir, kind)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "a key of "+kind, "-f", name).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		b, err := os.ReadFile(name + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString([]string{"", `from="10.0.0.*",command="echo \"a b\" c" `, "restrict "}[i] + string(b))
		out, err := exec.Command("ssh-keygen", "-lf", name+".pub").Output()
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(string(out))
		fmt.Fprintf(&want, "%s a key of %s /home/alice/.ssh/authorized_keys:%d\n", f[1], kind, i+4)
	}
	l := unix(t, map[string]string{"/etc/passwd": debian["/etc/passwd"], "/home/alice/.ssh/authorized_keys": file.String()})
	got := ""
	for _, k := range l.Users[2].AuthorizedKeys {
		got += k.Fingerprint + " " + k.Comment + " " + k.Source + "\n"
	}
	if got != want.String() {
		t.Errorf("%s\n%s", got, want.String())
	}
}

// TestHostile bounds what a guest can do.
func TestHostile(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/etc/passwd", vfstest.Text("a\x1b[31m\x00b:x:99999999999999999999:-1:\x1b]0;x\x07:/:/bin/sh\n"+strings.Repeat("u:x:1:1::/home/u:/bin/sh\n", maxUsers+10)))
	m.Add("/etc/shadow", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 10 << 30}}})
	m.Add("/etc/group", vfstest.Symlink("group"))
	m.Add("/var/log/lastlog", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 292 << 30}}})
	m.Add("/home/u/.ssh", vfstest.Symlink("/home/u/.ssh"))
	l, err := Unix(context.Background(), look.New(vfs.NewNamespace(vfs.NewTree("sda1", m))))
	if err != nil || len(l.Users) != maxUsers || l.Users[0].Name != "a\ufffd[31m\ufffdb" || l.Users[0].UID != nil || len(l.Warnings) != 3 {
		t.Errorf("%d users, %+v, %q, %v", len(l.Users), l.Users[0], l.Warnings, err)
	}
	m = vfstest.NewMemory()
	m.Add("/etc/passwd", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 10 << 30}}})
	l, err = Unix(context.Background(), look.New(vfs.NewNamespace(vfs.NewTree("sda1", m))))
	if err != nil || len(l.Users) != 0 || len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], "/etc/passwd: the file is larger than") {
		t.Errorf("%+v, %v", l, err)
	}
}

// sam is a hive with two accounts.
func sam(t testing.TB) []byte {
	f := make([]byte, 80)
	binary.LittleEndian.PutUint64(f[offLastLogin:], 133444736000000000)
	binary.LittleEndian.PutUint32(f[offRID:], 1001)
	v := make([]byte, descriptors*descriptorLen)
	text := []byte("A\x00l\x00i\x00")
	binary.LittleEndian.PutUint32(v[fullName*descriptorLen:], 4)
	binary.LittleEndian.PutUint32(v[fullName*descriptorLen+4:], uint32(len(text)))
	v = slices.Concat(v, []byte{0, 0, 0, 0}, text)
	guest := make([]byte, 80)
	binary.LittleEndian.PutUint32(guest[offRID:], 501)
	guest[offFlags] = 1
	const users = `[\SAM\Domains\Account\Users\`
	return hives.Make(t, users+"Names\\Guest]\n@=hex(1f5):\n\n"+users+"Names\\alice]\n@=hex(3e9):\n\n"+users+"000003E9]\n\"F\"=hex:"+hives.Bytes(f)+"\n\"V\"=hex:"+hives.Bytes(v)+"\n\n"+
		users+"000001F5]\n\"F\"=hex:"+hives.Bytes(guest)+"\n\n[\\SAM\\Domains\\Account]\n\"V\"=hex:00,00,01,00,00,00,02,00,00,00,03,00,00,00\n")
}

// TestWindows reads accounts of SAM and profiles.
func TestWindows(t *testing.T) {
	profiles := "[\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\S-1-5-21-1-2-3-1001]\n\"ProfileImagePath\"=\"C:\\\\Users\\\\alice\"\n\n" +
		"[\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\S-1-5-21-9-9-9-1001]\n\"ProfileImagePath\"=\"C:\\\\Users\\\\bob.DOMAIN\"\n\n[\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\S-1-5-20]\n\"ProfileImagePath\"=\"C:\\\\Users\\\\alice\"\n"
	reg := registry.New(context.Background(), guest(map[string]string{"/Windows/System32/config/SAM": string(sam(t)), "/Windows/System32/config/SOFTWARE": string(hives.Make(t, profiles)),
		"/Users/alice/x": "", "/Users/bob.DOMAIN/x": ""}), "/Windows")
	l, err := Windows(context.Background(), reg)
	if err != nil {
		t.Fatal(err)
	}
	n := func(i int64) *int64 { return &i }
	if d := cmp.Diff(l.Users, []api.User{
		{Name: "alice", UID: n(1001), SID: "S-1-5-21-1-2-3-1001", FullName: "Ali", Home: "/Users/alice", LastLogin: "2023-11-14T22:13:20Z", Source: accountKey + `\Names\alice`},
		{Name: "Guest", UID: n(501), SID: "S-1-5-21-1-2-3-501", Disabled: true, Source: accountKey + `\Names\Guest`},
		{Name: "bob.DOMAIN", SID: "S-1-5-21-9-9-9-1001", Home: "/Users/bob.DOMAIN", Source: `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList\S-1-5-21-9-9-9-1001`},
	}); d != "" || len(l.Warnings) > 0 {
		t.Errorf("%s%q", d, l.Warnings)
	}
}

// FuzzUnix reads any files; no hash is among the facts.
func FuzzUnix(f *testing.F) {
	f.Add(debian["/etc/passwd"], debian["/etc/shadow"], "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 x\n")
	f.Fuzz(func(t *testing.T, passwd, shadow, keys string) {
		l := unix(t, map[string]string{"/etc/passwd": passwd, "/etc/shadow": shadow, "/etc/master.passwd": shadow, "/etc/group": passwd, "/home/alice/.ssh/authorized_keys": keys, "/var/log/lastlog": keys})
		for _, u := range l.Users {
			if strings.ContainsAny(u.Name+u.FullName+u.Home+u.Shell, "\x00\x1b\n\u009b") || strings.Contains(u.Password, "$") {
				t.Errorf("%+v", u)
			}
		}
	})
}

// FuzzSAM reads any values of an account.
func FuzzSAM(f *testing.F) {
	f.Add(make([]byte, 300), 2)
	f.Fuzz(func(_ *testing.T, b []byte, n int) {
		described(b, n&15)
		if len(b) >= 8 {
			moment(b)
		}
	})
}
