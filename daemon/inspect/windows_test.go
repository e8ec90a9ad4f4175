package inspect

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/tests/images/hives"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// windowsSources are the volumes of a Windows with more files.
func windowsSources(t testing.TB, w *hives.Windows, more map[string][]byte) []Source {
	t.Helper()
	m := vfstest.NewMemory()
	for name, content := range w.Hives(t) {
		m.Add(name, vfstest.Text(string(content)))
	}
	for name, content := range more {
		m.Add(name, vfstest.Text(string(content)))
	}
	return []Source{
		{Name: "sda1", Disk: "sda", Off: 1 << 20, Type: "ntfs", Scheme: "gpt", PartUUID: "11111111-0000-4000-8000-000000000001"},
		{Name: "sda2", Disk: "sda", Off: 100 << 20, Type: "ntfs", Scheme: "gpt", PartUUID: "03020100-0504-0706-0809-0a0b0c0d0e0f", Tree: vfs.NewTree("sda2", m)},
		{Name: "sdb1", Disk: "sdb", Off: 1 << 20, Type: "ntfs", Scheme: "mbr", PartUUID: "deadbeef-01"},
	}
}

func inspectWindows(t testing.TB, w *hives.Windows, more map[string][]byte) api.System {
	t.Helper()
	r, err := Inspect(context.Background(), windowsSources(t, w, more))
	if err != nil || len(r.Systems) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	return r.Systems[0]
}

// TestWindows knows each Windows by its registry.
func TestWindows(t *testing.T) {
	drives := hives.GPTDrive("C", [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) + hives.MBRDrive("E", 0xdeadbeef, 1<<20) + hives.MBRDrive("F", 0xdeadbeef, 2<<20) +
		"\"\\\\DosDevices\\\\G:\"=hex:01\n\"\\\\??\\\\Volume{1}\"=hex:00\n"
	for _, c := range []struct {
		windows hives.Windows
		want    [7]string // name, variant, version, codename, build, osinfo, systemroot
	}{
		{hives.Windows{Name: "Windows 7 Professional", Type: "Client", Version: "6.1", Build: "7601", Drives: drives},
			[7]string{"Windows 7 Professional", "Client", "6.1.7601", "", "7601", "win7", "/Windows"}},
		{hives.Windows{Name: "Windows 10 Pro", Type: "Client", Version: "6.3", Numbers: true, Build: "19045", Display: "22H2", Drives: drives},
			[7]string{"Windows 10 Pro", "Client", "10.0.19045.2715", "22H2", "19045", "win10", "/Windows"}},
		{hives.Windows{Name: "Windows 10 Pro", Type: "Client", Version: "6.3", Numbers: true, Build: "22631", Display: "23H2", Drives: drives},
			[7]string{"Windows 11 Pro", "Client", "10.0.22631.2715", "23H2", "22631", "win11", "/Windows"}},
		{hives.Windows{Name: "Windows Server 2022 Standard", Type: "Server Core", Version: "6.3", Numbers: true, Build: "20348", Display: "21H2", Drives: drives},
			[7]string{"Windows Server 2022 Standard", "Server Core", "10.0.20348.2715", "21H2", "20348", "win2k22", "/Windows"}},
		{hives.Windows{Name: "Microsoft Windows XP", Version: "5.1", Build: "2600", Drives: drives, SystemDir: "WINDOWS", System: "[\\ControlSet001\\Control\\ProductOptions]\n\"ProductType\"=\"WinNT\"\n"},
			[7]string{"Microsoft Windows XP", "Client", "5.1.2600", "", "2600", "winxp", "/WINDOWS"}},
	} {
		s := inspectWindows(t, &c.windows, nil)
		if got := [7]string{s.Name, s.ProductVariant, s.Version, s.Codename, s.BuildID, s.OSInfo, s.Windows.SystemRoot}; got != c.want {
			t.Errorf("%q", got)
		}
		if s.Arch != "x86_64" || s.Hostname != "win-guest" || s.Timezone != "W. Europe Standard Time" || s.Windows.CurrentControlSet != "ControlSet001" || s.Windows.GroupPolicy || len(s.Warnings) > 0 {
			t.Errorf("%+v %+v", s, s.Windows)
		}
		if d := cmp.Diff(s.Windows.DriveMappings, []api.DriveMapping{{Letter: "C", Device: "sda2"}, {Letter: "E", Device: "sdb1"}}); d != "" {
			t.Error(d)
		}
		for _, name := range []string{"product_name", "version", "build_id", "major_version", "hostname", "timezone", "current_control_set"} {
			if !strings.HasPrefix(s.Sources[name], `HKLM\S`) {
				t.Errorf("%s: source %q", name, s.Sources[name])
			}
		}
		checkClean(t, s)
	}
}

// TestGroupPolicy tells the policies of a domain from the machine's own.
func TestGroupPolicy(t *testing.T) {
	key := "[\\Microsoft\\Windows\\CurrentVersion\\Group Policy\\History\\{35378EAC-683F-11D2-A89A-00C04FBBCFA2}\\"
	local := key + "0]\n\"DSPath\"=\"LocalGPO\"\n\n"
	for reg, want := range map[string]bool{local: false, local + key + "1]\n\"DSPath\"=\"LDAP://CN=Machine,CN={31B2F340},DC=example\"\n": true} {
		if s := inspectWindows(t, &hives.Windows{Name: "Windows 10 Pro", Software: reg}, nil); s.Windows.GroupPolicy != want {
			t.Errorf("%v for %s", !want, reg)
		}
	}
}

// TestPrograms lists what Windows would.
func TestPrograms(t *testing.T) {
	entry := func(name, values string) string {
		return "[" + `\Microsoft\Windows\CurrentVersion\Uninstall\` + name + "]\n" + values + "\n"
	}
	w := hives.Windows{Name: "Windows 10 Pro", Software: entry("7-Zip", "\"DisplayName\"=\"7-Zip 23.01 (x64)\"\n\"DisplayVersion\"=\"23.01\"\n\"Publisher\"=\"Igor Pavlov\"\n\"EstimatedSize\"=dword:000015f4\n\"InstallDate\"=\"20240131\"\n\"InstallLocation\"=\"C:\\\\Program Files\\\\7-Zip\\\\\"\n") +
		entry("Part", "\"DisplayName\"=\"x\"\n\"SystemComponent\"=dword:00000001\n") + entry("KB1", "\"DisplayName\"=\"x\"\n\"ParentKeyName\"=\"y\"\n") + entry("Nameless", "") +
		strings.Replace(entry("{AAAA}", "\"DisplayName\"=\"Old Program\"\n"), `\Microsoft`, `\WOW6432Node\Microsoft`, 1) +
		"[\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\S-1-5-21-1-2-3-1001]\n\"ProfileImagePath\"=\"C:\\\\Users\\\\alice\"\n"}
	user := hives.Make(t, strings.Replace(entry("Editor", "\"DisplayName\"=\"Editor \x01\"\n"), `\Microsoft`, `\Software\Microsoft`, 1))
	r, err := Packages(context.Background(), windowsSources(t, &w, map[string][]byte{"/Users/alice/NTUSER.DAT": user}), PackageOptions{})
	if err != nil || len(r.Systems) != 1 || len(r.Systems[0].Packages) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	var got []string
	for _, p := range r.Systems[0].Packages {
		got = append(got, strings.Join([]string{p.Name, p.DisplayName, p.FullVersion, p.Arch, p.Source}, "|"))
	}
	want := []string{`7-Zip|7-Zip 23.01 (x64)|23.01|x86_64|HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\7-Zip`,
		`Editor|Editor ` + "\ufffd" + `||x86_64|HKU\S-1-5-21-1-2-3-1001\Software\Microsoft\Windows\CurrentVersion\Uninstall\Editor`,
		`{AAAA}|Old Program||i386|HKLM\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\{AAAA}`}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if p := r.Systems[0].Packages[0]; p.Size != 5620*1024 || p.InstallTime != 1706659200 || p.InstallPath != `C:\Program Files\7-Zip\` || p.Publisher != "Igor Pavlov" {
		t.Errorf("%+v", p)
	}
	checkClean(t, r)
}

// TestHostileHives keeps what is whole of a guest whose hives are not.
func TestHostileHives(t *testing.T) {
	w := hives.Windows{Name: "Windows 10 Pro"}
	files := w.Hives(t)
	system := files["/Windows/System32/config/SYSTEM"]
	binary.LittleEndian.PutUint32(system[36:], 0x7fffffe0) // the root
	hives.Seal(system)
	m := vfstest.NewMemory()
	for name, content := range files {
		m.Add(name, vfstest.Text(string(content)))
	}
	m.Add("/Windows/System32/config/SYSTEM.LOG1", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 10 << 30}}})
	r, err := Inspect(context.Background(), []Source{{Name: "sda1", Disk: "sda", Type: "ntfs", Tree: vfs.NewTree("sda1", m)}})
	if err != nil || len(r.Systems) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	s := r.Systems[0]
	if s.Name != "Windows 10 Pro" || s.Hostname != "" || len(s.Warnings) != 3 || !strings.Contains(s.Warnings[0], "config/SYSTEM: hive cell at byte") {
		t.Errorf("%+v", s)
	}
	checkClean(t, r)
}
