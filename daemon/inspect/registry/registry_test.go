package registry

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/inspect/hive"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/images/hives"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// guest is a Windows with the hives that a registry has.
func guest(t testing.TB) *Registry {
	t.Helper()
	m := vfstest.NewMemory()
	add := func(name, reg string) { m.Add(name, vfstest.Text(string(hives.Make(t, reg)))) }
	add("/Windows/System32/config/SOFTWARE", `[\Microsoft\Windows NT\CurrentVersion]
"ProductName"="Windows 10 Pro"

[\Microsoft\Windows NT\CurrentVersion\ProfileList\S-1-5-18]
"ProfileImagePath"="%systemroot%\\system32\\config\\systemprofile"

[\Microsoft\Windows NT\CurrentVersion\ProfileList\S-1-5-21-1-2-3-1001]
"ProfileImagePath"="C:\\Users\\Alice"

[\Microsoft\Windows NT\CurrentVersion\ProfileList\S-1-5-21-1-2-3-1002]
"ProfileImagePath"="D:\\Elsewhere\\Bob"

[\Classes\.txt]
@="txtfile"
`)
	add("/Windows/System32/config/SYSTEM", "[\\ControlSet001\\Services]\n\"n\"=dword:00000001\n\n[\\ControlSet002\\Services]\n\"n\"=dword:00000002\n\n[\\Select]\n\"Current\"=dword:00000002\n")
	add("/Windows/System32/config/DEFAULT", "[\\Control Panel]\n\"d\"=\"x\"\n")
	add("/Users/Alice/NTUSER.DAT", "[\\Software\\App]\n\"a\"=\"b\"\n")
	add("/Users/Alice/AppData/Local/Microsoft/Windows/UsrClass.dat", "[\\Local Settings]\n")
	m.Add("/Windows/System32/config/SAM", vfstest.Text("no hive"))
	return New(context.Background(), look.New(vfs.NewNamespace(vfs.NewTree("sda2", m))), "/Windows")
}

// TestOpen goes to keys by every root and name.
func TestOpen(t *testing.T) {
	r := guest(t)
	for name, want := range map[string]string{
		`HKLM\software\MICROSOFT\Windows NT\`:                   `HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT`,
		`HKEY_LOCAL_MACHINE\SYSTEM`:                             `HKEY_LOCAL_MACHINE\SYSTEM`,
		`hklm\system\currentcontrolset\services`:                `HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services`,
		`HKLM\SYSTEM\ControlSet001`:                             `HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001`,
		`HKCR\.TXT`:                                             `HKEY_CLASSES_ROOT\.txt`,
		`HKU\.default\control panel`:                            `HKEY_USERS\.DEFAULT\Control Panel`,
		`HKU\S-1-5-18`:                                          `HKEY_USERS\S-1-5-18`,
		`HKU\alice\Software`:                                    `HKEY_USERS\S-1-5-21-1-2-3-1001\Software`,
		`HKEY_USERS\S-1-5-21-1-2-3-1001_Classes\local settings`: `HKEY_USERS\S-1-5-21-1-2-3-1001_Classes\Local Settings`,
		"HKLM": "HKEY_LOCAL_MACHINE",
	} {
		if k, err := r.Open(name); err != nil || k.Path != want {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
	if k, err := r.Open(`HKLM\SYSTEM\CurrentControlSet\Services`); err != nil {
		t.Error(err)
	} else if v, err := k.Value("n"); err != nil || v.Data[0] != 2 || k.File != "/Windows/System32/config/SYSTEM" {
		t.Errorf("%+v, %v", v, err)
	}
	for name, want := range map[string]string{
		`HKLM\SOFTWARE\None\x`: `the key "HKEY_LOCAL_MACHINE\\SOFTWARE" has no subkey "None"`,
		`HKLM\SECURITY`:        `the guest has no hive for HKEY_LOCAL_MACHINE\SECURITY`,
		`HKLM\None`:            `the key "HKEY_LOCAL_MACHINE" has no subkey "None"`,
		`HKU\carol`:            `the key "HKEY_USERS" has no subkey "carol"`,
	} {
		if _, err := r.Open(name); !errors.Is(err, fs.ErrNotExist) || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		`HKLM\SAM\SAM`:        "/Windows/System32/config/SAM: not Windows registry hive",
		`HKCU\Software`:       `name the user: HKU\NAME`,
		`HKLM\HARDWARE`:       "exists only while Windows runs",
		`C:\Windows`:          `no root "C:"`,
		`HKEY_CURRENT_CONFIG`: "exists only while Windows runs",
	} {
		if _, err := r.Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if users := r.Users(); len(users) != 1 || users[0].Folder != "/Users/Alice" || users[0].SID != "S-1-5-21-1-2-3-1001" {
		t.Errorf("%+v", users)
	}
}

// TestWalk goes through all that is there.
func TestWalk(t *testing.T) {
	r := guest(t)
	k, err := r.Open("HKU")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	err = r.Walk(k, true, func(k *Key) error { paths = append(paths, strings.TrimPrefix(k.Path, Users)); return nil }, func(err error) { t.Error(err) })
	want := []string{"", `\.DEFAULT`, `\.DEFAULT\Control Panel`, `\S-1-5-21-1-2-3-1001`, `\S-1-5-21-1-2-3-1001\Software`, `\S-1-5-21-1-2-3-1001\Software\App`,
		`\S-1-5-21-1-2-3-1001_Classes`, `\S-1-5-21-1-2-3-1001_Classes\Local Settings`}
	if err != nil || !slices.Equal(paths, want) {
		t.Errorf("%q, %v", paths, err)
	}
}

// everything has what a .reg file can hold.
const everything = `[\A]
@="default"
"quo\"te\\"="a\\b\"c"
"number"=dword:ffffffff
"bytes"=hex:00,01,02,03,04,05,06,07,08,09,0a,0b,0c,0d,0e,0f,10,11,12,13,14,15,16,17,18,19,1a,1b,1c,1d,1e,1f,20,21,22,23,24,25,26,27
"none"=hex(0):
"expand"=hex(2):25,00,41,00,25,00,00,00
"multi"=hex(7):61,00,00,00,62,00,00,00,00,00
"no end"=hex(1):61,00
"line"=hex(1):61,00,0a,00,00,00
"big"=hex(b):01,02,03,04,05,06,07,08

[\A\B [x]]
`

// TestExport writes what hivexregedit makes the same hive from, and what it writes itself.
func TestExport(t *testing.T) {
	images.NeedTool(t, "hivexregedit")
	b := hives.Make(t, everything)
	export := func(b []byte) string {
		h, err := hive.Open(file{bytes.NewReader(b)})
		if err != nil {
			t.Fatal(err)
		}
		root, err := h.Root()
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err = root.Walk(func(names []string, k *hive.Key) error {
			var values []hive.Value
			for v, err := range k.Values() {
				if err != nil {
					t.Error(err)
				}
				values = append(values, v)
			}
			return ExportKey(&out, `\`+strings.Join(names, `\`), values)
		}, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	reg := export(b)
	if !strings.Contains(reg, "\"bytes\"=hex:00,01,02,03,04,05,06,07,08,09,0a,0b,0c,0d,0e,0f,10,11,12,13,14,15,\\\r\n  16,17,") || !strings.Contains(reg, `"number"=dword:ffffffff`) ||
		!strings.Contains(reg, `"quo\"te\\"="a\\b\"c"`) || !strings.Contains(reg, `"no end"=hex(1):61,00`+"\r\n") {
		t.Error(reg)
	}
	if again := export(hives.Make(t, strings.ReplaceAll(reg, "\r\n", "\n"))); again != reg {
		t.Errorf("%s\n%s", reg, again)
	}
	name := filepath.Join(t.TempDir(), "hive")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, err := exec.Command("hivexregedit", "--export", name, `\`).Output()
	if err != nil {
		t.Fatal(err)
	}
	// It writes strings as bytes, in the order of names.
	if got := export(hives.Make(t, strings.TrimPrefix(strings.ReplaceAll(string(theirs), `[\\`, `[\`), "Windows Registry Editor Version 5.00\n\n"))); lines(got) != lines(reg) {
		t.Errorf("%s\n%s", reg, got)
	}
}

func lines(s string) string {
	list := strings.Split(s, "\r\n")
	slices.Sort(list)
	return strings.Join(list, "\n")
}

type file struct{ *bytes.Reader }
