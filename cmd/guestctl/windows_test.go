package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/unicode"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/images/hives"
)

// windowsImage makes in dir the disk of a Windows 10: an MBR and an NTFS by mkntfs and
// ntfs-3g, with hives by hivexregedit.
func windowsImage(t testing.TB, dir string) string {
	t.Helper()
	images.NeedRoot(t)
	images.NeedFUSE(t)
	images.NeedTool(t, "mkntfs", "ntfs-3g", "umount", "hivexregedit")
	const signature, start, size = 0xdeadbeef, 1 << 20, 16 << 20
	w := hives.Windows{Name: "Windows 10 Pro", Type: "Client", Version: "6.3", Numbers: true, Build: "19045", Display: "22H2", Drives: hives.MBRDrive("C", signature, start),
		Software: "[\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\Tool]\n\"DisplayName\"=\"A Tool\"\n\"DisplayVersion\"=\"1.2\"\n\n" +
			"[\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\S-1-5-21-1-2-3-1001]\n\"ProfileImagePath\"=\"C:\\\\Users\\\\alice\"\n\n" +
			"[\\Odd]\n\"multi\"=hex(7):61,00,00,00,62,00,00,00,00,00\n\"esc\"=hex(1):1b,00,5b,00,00,00\n@=hex:00,ff\n\"own\"=hex(1234):01\n"}
	files := w.Hives(t)
	files["/Users/alice/NTUSER.DAT"] = hives.Make(t, "[\\Software\\App]\n\"x\"=\"y\"\n")
	volume, mnt := filepath.Join(dir, "ntfs"), filepath.Join(dir, "mnt")
	run := func(argv ...string) {
		t.Helper()
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", argv, err, out)
		}
	}
	if err := os.WriteFile(volume, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(volume, size); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	run("mkntfs", "-q", "-F", "-Q", volume)
	run("ntfs-3g", volume, mnt)
	var err error
	for name, content := range files {
		if err == nil {
			err = os.MkdirAll(filepath.Dir(mnt+name), 0o700)
		}
		if err == nil {
			err = os.WriteFile(mnt+name, content, 0o600)
		}
	}
	run("umount", mnt)
	if err != nil {
		t.Fatal(err)
	}
	released(t, volume)
	disk := make([]byte, start, start+size)
	binary.LittleEndian.PutUint32(disk[440:], signature)
	entry := disk[446:]
	entry[4] = 7
	binary.LittleEndian.PutUint32(entry[8:], start/512)
	binary.LittleEndian.PutUint32(entry[12:], size/512)
	disk[510], disk[511] = 0x55, 0xaa
	image := filepath.Join(dir, "windows.img")
	if err := os.WriteFile(image, append(disk, mustRead(t, volume)...), 0o600); err != nil {
		t.Fatal(err)
	}
	return image
}

// released waits until ntfs-3g has let go of a volume.
func released(t testing.TB, volume string) {
	t.Helper()
	for {
		held := false
		dirs, _ := filepath.Glob("/proc/[0-9]*/fd/*")
		for _, d := range dirs {
			if to, err := os.Readlink(d); err == nil && to == volume {
				held = true
			}
		}
		if !held {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestWindowsImage asks all of a Windows guest by the commands.
func TestWindowsImage(t *testing.T) {
	image := windowsImage(t, t.TempDir())
	out := must(t, "inspect", image)
	for _, want := range []string{"Windows 10 Pro\n", "  version      10.0.19045.2715 22H2, build 19045\n", "  edition      Client\n", "  hostname     win-guest\n", "  timezone     W. Europe Standard Time\n",
		"  control set  ControlSet001\n", "  drives       C: sda1\n", "  osinfo       win10\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := must(t, "packages", image); !strings.Contains(out, "A Tool  1.2  x86_64  windows\n") {
		t.Error(out)
	}
	if out := must(t, "registry", image); out != "HKEY_LOCAL_MACHINE\nHKEY_LOCAL_MACHINE\\SOFTWARE\nHKEY_LOCAL_MACHINE\\SYSTEM\n\nHKEY_USERS\nHKEY_USERS\\S-1-5-21-1-2-3-1001\n\n" {
		t.Error(out)
	}
	if out := must(t, "registry", image, `hklm\software\odd`); out != `HKEY_LOCAL_MACHINE\SOFTWARE\Odd
    multi      REG_MULTI_SZ  a\0b
    esc        REG_SZ        "\x1b["
    (default)  REG_BINARY    00ff
    own        0x1234        01

` {
		t.Error(out)
	}
	if out := must(t, "registry", "-r", image, `HKU\alice`); out != "HKEY_USERS\\S-1-5-21-1-2-3-1001\n\nHKEY_USERS\\S-1-5-21-1-2-3-1001\\Software\n\nHKEY_USERS\\S-1-5-21-1-2-3-1001\\Software\\App\n    x  REG_SZ  y\n\n" {
		t.Error(out)
	}
	if out := must(t, "registry", "--value", "UBR", image, `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion`); out != "2715\n" {
		t.Error(out)
	}
	if out := must(t, "registry", "--value=multi", image, `HKLM\SOFTWARE\Odd`); out != "a\nb\n" {
		t.Error(out)
	}
	status, out, errs := guestctl(t, "registry", "--value=none", image, `HKLM\SOFTWARE\Odd`, `HKLM\SOFTWARE\None`)
	if status != exitFailed || out != "" || !strings.Contains(errs, "has no value \"none\"") || !strings.Contains(errs, `the key "HKEY_LOCAL_MACHINE\\SOFTWARE" has no subkey "None"`) {
		t.Errorf("%d %s%s", status, out, errs)
	}
	var k api.RegistryKey
	if err := json.Unmarshal([]byte(must(t, "registry", "--json", image, `HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters`)), &k); err != nil || k.Key != `HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters` ||
		k.Source != "/Windows/System32/config/SYSTEM" || len(k.Values) != 1 || *k.Values[0].Text != "win-guest" || len(k.Subkeys) != 0 || k.Written == "" {
		t.Errorf("%+v, %v", k, err)
	}
	reg, err := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder().String(must(t, "registry", "--reg", image, `HKLM\SOFTWARE\Odd`))
	if err != nil || reg != "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Odd]\r\n\"multi\"=hex(7):61,00,00,00,62,00,00,00,00,00\r\n\"esc\"=hex(1):1b,00,5b,00,00,00\r\n@=hex:00,ff\r\n\"own\"=hex(1234):01\r\n\r\n" {
		t.Errorf("%q, %v", reg, err)
	}
	xml := must(t, "inspect", "--xml", image)
	checkOrder(t, xml)
	for _, want := range []string{"<windows_systemroot>/Windows</windows_systemroot>", "<windows_current_control_set>ControlSet001<", `<drive_mapping name="C">/dev/sda1</drive_mapping>`, "<product_name>Windows 10 Pro<", "<osinfo>win10<"} {
		if !strings.Contains(xml, want) {
			t.Errorf("no %s in\n%s", want, xml)
		}
	}
	if !slices.Contains(strings.Fields(xml), "<hostname>win-guest</hostname>") {
		t.Error(xml)
	}
}
