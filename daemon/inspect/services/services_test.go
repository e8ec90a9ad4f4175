package services

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/images/hives"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// guest is a tree; a content that starts with -> is a symlink, a name that ends
// in / a folder.
func guest(files map[string]string) *look.FS {
	m := vfstest.NewMemory()
	for _, name := range slices.Sorted(keys(files)) {
		content := files[name]
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			m.Dir(dir)
		} else if to, ok := strings.CutPrefix(content, "->"); ok {
			m.Add(name, vfstest.Symlink(to))
		} else {
			m.Add(name, vfstest.Text(content))
		}
	}
	return look.New(vfs.NewNamespace(vfs.NewTree("sda1", m)))
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func list(t testing.TB, files map[string]string) *List {
	t.Helper()
	l, err := Unix(context.Background(), guest(files))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// short is a service in a line.
func short(s api.Service) string {
	return s.Manager + " " + s.Name + " " + s.Start + " " + strings.Join(s.When, ",")
}

func shorts(l *List) []string {
	var out []string
	for _, s := range l.Services {
		out = append(out, short(s))
	}
	return out
}

const unitText = "# a unit\n[Unit]\nDescription=A service\n[Service]\nExecStart=/usr/sbin/x -D\nUser=x\n"

var systemd = map[string]string{
	"/usr/lib/systemd/systemd":                                    "x",
	"/lib":                                                        "->usr/lib",
	"/usr/lib/systemd/system/ssh.service":                         unitText + "[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n",
	"/usr/lib/systemd/system/off.service":                         unitText + "[Install]\nWantedBy=multi-user.target\n",
	"/usr/lib/systemd/system/static.service":                      unitText,
	"/usr/lib/systemd/system/also.service":                        unitText + "[Install]\nAlso=off.service\n",
	"/usr/lib/systemd/system/empty.service":                       unitText + "[Install]\nWantedBy=multi-user.target\n",
	"/usr/lib/systemd/system/getty@.service":                      unitText + "[Install]\nWantedBy=getty.target\n",
	"/usr/lib/systemd/system/con@.service":                        unitText + "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
	"/etc/systemd/system/getty.target.wants/con@tty1.service":     "->/lib/systemd/system/con@.service",
	"/usr/lib/systemd/system/old.service":                         "->ssh.service",
	"/usr/lib/systemd/system/daily.timer":                         "[Install]\nWantedBy=timers.target\n",
	"/usr/lib/systemd/system/hidden.service":                      unitText,
	"/etc/systemd/system/hidden.service":                          "->/dev/null",
	"/etc/systemd/system/empty.service":                           "",
	"/etc/systemd/system/sshd.service":                            "->/lib/systemd/system/ssh.service",
	"/etc/systemd/system/own.service":                             unitText + "[Install]\nRequiredBy=x.target\n",
	"/etc/systemd/system/multi-user.target.wants/ssh.service":     "->/lib/systemd/system/ssh.service",
	"/etc/systemd/system/x.target.requires/own.service":           "->/etc/systemd/system/own.service",
	"/etc/systemd/system/timers.target.wants/daily.timer":         "->/lib/systemd/system/daily.timer",
	"/etc/systemd/system/getty.target.wants/getty@tty1.service":   "->/lib/systemd/system/getty@.service",
	"/usr/lib/systemd/system/sysinit.target.wants/static.service": "->../static.service",
}

// TestSystemd says of units what systemctl says.
func TestSystemd(t *testing.T) {
	l := list(t, systemd)
	want := []string{"systemd also.service indirect ", "systemd con@.service enabled ", "systemd con@tty1.service enabled getty.target", "systemd daily.timer enabled timers.target", "systemd empty.service masked ", "systemd getty@.service indirect ",
		"systemd getty@tty1.service enabled getty.target", "systemd hidden.service masked ", "systemd off.service disabled ", "systemd own.service enabled x.target",
		"systemd ssh.service enabled multi-user.target,sshd.service", "systemd static.service static "}
	got := shorts(l)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(l.Warnings) > 0 {
		t.Errorf("%q %q", got, l.Warnings)
	}
	for _, s := range l.Services {
		if s.Name == "own.service" && (s.Description != "A service" || s.Command != "/usr/sbin/x -D" || s.Account != "x" || s.Source != "/etc/systemd/system/own.service") {
			t.Errorf("%+v", s)
		}
	}
	images.NeedTool(t, "systemctl")
	dir := t.TempDir()
	for name, content := range systemd {
		err := os.MkdirAll(filepath.Dir(dir+name), 0o755)
		if to, ok := strings.CutPrefix(content, "->"); err == nil && ok {
			err = os.Symlink(to, dir+name)
		} else if err == nil {
			err = os.WriteFile(dir+name, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	checkSystemctl(t, dir, l)
}

// checkSystemctl compares with what systemctl says of the tree in a folder.
func checkSystemctl(t testing.TB, dir string, l *List) {
	t.Helper()
	out, err := exec.Command("systemctl", "--root="+dir, "list-unit-files", "--no-legend", "--no-pager", "--type=service,socket,timer,path").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 2 && f[1] != "alias" {
			want = append(want, f[0]+" "+f[1])
		}
	}
	for _, s := range l.Services {
		if s.Manager == "systemd" && template(s.Name) == "" {
			got = append(got, s.Name+" "+s.Start)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(want) < 8 {
		t.Errorf("%q\nsystemctl says\n%q", got, want)
	}
}

// TestOthers knows the services of other managers.
func TestOthers(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"sysvinit": {map[string]string{"/etc/init.d/ssh": "#!/bin/sh", "/etc/init.d/cron": "x", "/etc/init.d/README": "x", "/etc/init.d/off": "x", "/etc/rc2.d/S01ssh": "->../init.d/ssh", "/etc/rc3.d/S01ssh": "->../init.d/ssh",
			"/etc/rcS.d/S02cron": "->../init.d/cron", "/etc/rc0.d/K01ssh": "->../init.d/ssh"}, []string{"sysvinit cron enabled S", "sysvinit off disabled ", "sysvinit ssh enabled 2,3"}},
		"chkconfig": {map[string]string{"/etc/rc.d/init.d/sshd": "x", "/etc/init.d": "->rc.d/init.d", "/etc/rc.d/rc3.d/S55sshd": "->../init.d/sshd", "/etc/rc.d/init.d/functions": "x"}, []string{"sysvinit sshd enabled 3"}},
		"openrc":    {map[string]string{"/etc/init.d/sshd": "x", "/etc/init.d/off": "x", "/etc/init.d/functions.sh": "x", "/etc/runlevels/default/sshd": "->/etc/init.d/sshd", "/etc/runlevels/boot/": ""}, []string{"openrc off disabled ", "openrc sshd enabled default"}},
		"freebsd":   {map[string]string{"/etc/rc.conf": "sshd_enable=\"YES\"\nntpd_enable=NO\nhostname=x\nsshd_enable=NO\n", "/etc/rc.conf.local": "ntpd_enable='yes' # here\n"}, []string{"rc ntpd enabled ", "rc sshd disabled "}},
		"none":      {map[string]string{"/etc/systemd/system/x.service": unitText}, nil},
	} {
		if got := shorts(list(t, c.files)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestWindows knows when services and drivers start.
func TestWindows(t *testing.T) {
	service := func(name, values string) string {
		return `[\ControlSet001\Services\` + name + "]\n" + values + "\n"
	}
	system := hives.Make(t, "[\\Select]\n\"Current\"=dword:00000001\n\n"+
		service("Dhcp", "\"Start\"=dword:00000002\n\"Type\"=dword:00000020\n\"DisplayName\"=\"@dhcp.dll,-100\"\n\"ImagePath\"=\"svchost.exe -k x\"\n\"ObjectName\"=\"LocalService\"\n")+
		service("viostor", "\"Start\"=dword:00000000\n\"Type\"=dword:00000001\n\"DisplayName\"=\"Red Hat VirtIO\"\n")+service("late", "\"Start\"=dword:00000002\n\"Type\"=dword:00000010\n\"DelayedAutostart\"=dword:00000001\n")+
		service("off", "\"Start\"=dword:00000004\n\"Type\"=dword:00000110\n")+service("nothing", "\"Type\"=dword:00000020\n")+service("adapter", "\"Start\"=dword:00000003\n\"Type\"=dword:00000004\n"))
	l, err := Windows(context.Background(), registry.New(context.Background(), guest(map[string]string{"/Windows/System32/config/SYSTEM": string(system)}), "/Windows"))
	if err != nil {
		t.Fatal(err)
	}
	if got := shorts(l); !slices.Equal(got, []string{"windows Dhcp auto ", "windows late delayed ", "windows off disabled ", "windows viostor boot "}) || len(l.Warnings) > 0 {
		t.Errorf("%q %q", got, l.Warnings)
	}
	if s := l.Services[0]; s.Description != "" || s.Command != "svchost.exe -k x" || s.Account != "LocalService" || s.Kind != "service" || s.Source != `HKLM\SYSTEM\CurrentControlSet\Services\Dhcp` {
		t.Errorf("%+v", s)
	}
}

// TestHostile bounds what a guest can do.
func TestHostile(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/usr/lib/systemd/systemd", vfstest.Text("x"))
	m.Add("/etc/systemd/system/a.service", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 10 << 30}}})
	m.Add("/etc/systemd/system/loop.service", vfstest.Symlink("loop.service"))
	m.Add("/etc/systemd/system/b\x1b[31m.service", vfstest.Text("[Unit]\nDescription=\x1b]0;x\x07\x00\n"))
	l, err := Unix(context.Background(), look.New(vfs.NewNamespace(vfs.NewTree("sda1", m))))
	if err != nil || len(l.Services) != 1 || l.Services[0].Name != "b\ufffd[31m.service" || strings.ContainsAny(l.Services[0].Description, "\x1b\x07\x00") || len(l.Warnings) != 2 {
		t.Errorf("%+v, %v", l, err)
	}
}

// FuzzUnits reads any unit and rc.conf.
func FuzzUnits(f *testing.F) {
	f.Add(unitText+"[Install]\nWantedBy=a\n", "a@b.service")
	f.Fuzz(func(t *testing.T, text, name string) {
		if strings.ContainsAny(name, "/\x00") || len(name) > 200 || name == "" || name == "." || name == ".." {
			return
		}
		l := list(t, map[string]string{"/usr/lib/systemd/systemd": "x", "/usr/lib/systemd/system/" + name: text, "/etc/rc.conf": text, "/etc/systemd/system/a.wants/" + name + "x": text})
		for _, s := range l.Services {
			if s.Name == "" || strings.ContainsAny(s.Name+s.Description+s.Command, "\x00\x1b\n\u009b") {
				t.Errorf("%+v", s)
			}
		}
	})
}
