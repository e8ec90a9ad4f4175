package inspect

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/tests/images/hives"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// utmp is a record of wtmp.
func utmp(kind uint16, user string, at uint32) string {
	b := make([]byte, utmpSize)
	binary.LittleEndian.PutUint16(b, kind)
	copy(b[offUtmpUser:], user)
	binary.LittleEndian.PutUint32(b[offUtmpTime:], at)
	return string(b)
}

// TestSettings reads the small facts, each with its source.
func TestSettings(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f root@host\n"
	s := inspectOne(t, with(linuxRoot, "etc/localtime", "->../usr/share/zoneinfo/Europe/Paris", "etc/timezone", "Etc/UTC\n", "etc/default/locale", "# x\nLANG=\"fr_FR.UTF-8\"\n",
		"etc/selinux/config", "# c\nSELINUX=permissive\nSELINUXTYPE=targeted\n", "etc/apparmor.d/", "", "etc/systemd/system/sysinit.target.wants/apparmor.service", "->/lib/systemd/system/apparmor.service",
		"var/log/wtmp", utmp(utmpBoot, "reboot", 1_600_000_000)+utmp(utmpRunLevel, "shutdown", 1_650_000_000)+utmp(utmpBoot, "reboot", 1_700_000_000)+utmp(7, "alice", 1_700_000_500),
		"etc/ssh/ssh_host_ed25519_key.pub", key, "etc/ssh/ssh_host_rsa_key.pub", "broken", "var/lib/cloud/data/instance-id", "i-123\n", "var/lib/cloud/data/result.json", `{"v1":{"datasource":"DataSourceEc2Local [seed]","errors":[]}}`,
		"boot/vmlinuz-6.1.0", "k", "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n", "etc/network/interfaces", "iface eth0 inet dhcp\n"))
	got := map[string]string{"timezone": s.Timezone, "locale": s.Locale, "selinux": s.SELinux, "apparmor": s.AppArmor, "last_boot": s.LastBoot, "last_stop": s.LastStop}
	want := map[string]string{"timezone": "Europe/Paris", "locale": "fr_FR.UTF-8", "selinux": "permissive", "apparmor": "enabled", "last_boot": "2023-11-14T22:13:20Z", "last_stop": "2022-04-15T05:20:00Z"}
	if d := cmp.Diff(got, want); d != "" {
		t.Error(d)
	}
	sources := map[string]string{}
	for name := range got {
		sources[name] = s.Sources[name]
	}
	if d := cmp.Diff(sources, map[string]string{"timezone": "/etc/localtime", "locale": "/etc/default/locale:2", "selinux": "/etc/selinux/config:2",
		"apparmor": "/etc/systemd/system/sysinit.target.wants/apparmor.service", "last_boot": "/var/log/wtmp", "last_stop": "/var/log/wtmp"}); d != "" {
		t.Error(d)
	}
	// ssh-keygen -lf says so of this key.
	if d := cmp.Diff(s.HostKeys, []api.SSHKey{{Type: "ssh-ed25519", Fingerprint: "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA", Comment: "root@host", Source: "/etc/ssh/ssh_host_ed25519_key.pub:1"}}); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(s.CloudInit, &api.CloudInit{InstanceID: "i-123", Datasource: "DataSourceEc2Local", Source: "/var/lib/cloud/data/instance-id:1"}); d != "" {
		t.Error(d)
	}
	if len(s.Kernels) != 1 || s.Boot != nil || len(s.Users) != 1 || s.Network == nil || len(s.Network.Interfaces) != 1 || len(s.Warnings) > 0 {
		t.Errorf("%+v", s)
	}
	checkClean(t, s)
	if s := inspectWindows(t, &hives.Windows{Name: "Windows 10 Pro", System: "[\\ControlSet001\\Control\\Windows]\n\"ShutdownTime\"=hex:00,00,cb,6f,4a,17,da,01\n"}, nil); s.LastStop == "" || s.Network == nil || s.Sources["last_stop"] != keyControl+`\Windows\ShutdownTime` {
		t.Errorf("%+v", s)
	}
}

// TestHostileFacts bounds every file that facts come from, and keeps the rest.
func TestHostileFacts(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/etc/fstab", vfstest.Text(""))
	m.Dir("bin")
	huge := vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 10 << 30}}}
	for _, name := range []string{"/etc/passwd", "/etc/shadow", "/etc/netplan/a.yaml", "/boot/grub/grub.cfg", "/etc/locale.conf", "/var/log/lastlog", "/var/log/wtmp", "/etc/ssh/ssh_host_x_key.pub", "/var/lib/cloud/data/result.json",
		"/etc/selinux/config", "/etc/init.d/huge", "/boot/vmlinuz-huge"} {
		m.Add(name, huge)
	}
	m.Add("/etc/localtime", vfstest.Symlink("/usr/share/zoneinfo/\x1b[31m"))
	m.Add("/etc/group", vfstest.Text("g\x07:x:1:\x1b]0;x\n"))
	m.Add("/etc/timezone", vfstest.Symlink("/etc/timezone"))
	r, err := Inspect(context.Background(), []Source{{Name: "sda1", Disk: "sda", Type: "ext4", Tree: vfs.NewTree("sda1", m)}})
	if err != nil || len(r.Systems) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	s := r.Systems[0]
	for _, name := range []string{"/etc/passwd", "/etc/shadow", "/etc/netplan/a.yaml"} {
		if !strings.Contains(strings.Join(s.Warnings, "\n"), name+": the file is larger than") {
			t.Errorf("no warning of %s: %q", name, s.Warnings)
		}
	}
	if len(s.Groups) != 1 || s.Timezone != "\ufffd[31m" || len(s.Kernels) != 1 {
		t.Errorf("%+v", s)
	}
	checkClean(t, r)
	if b, err := json.Marshal(r); err != nil || len(b) > 10<<10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// FuzzSettings reads any files.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(utmp(utmpBoot, "reboot", 1)), "LANG=x\nSELINUX=y\n")
	f.Fuzz(func(t *testing.T, log []byte, text string) {
		s := inspectOne(t, with(linuxRoot, "var/log/wtmp", string(log), "etc/locale.conf", text, "etc/selinux/config", text, "etc/ssh/ssh_host_a_key.pub", text, "var/lib/cloud/data/result.json", text, "etc/timezone", text))
		checkClean(t, s)
		for _, v := range []string{s.Timezone, s.Locale, s.SELinux} {
			if len(v) > 4*look.MaxFact {
				t.Errorf("%d bytes", len(v))
			}
		}
	})
}
