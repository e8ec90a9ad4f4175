package images

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// An LVM runs lvm2's tools on image files behind loop devices, without device-mapper.
type LVM struct {
	Paths []string // of the images
	Loops []string // their devices; nil once detached

	t   testing.TB
	env []string
}

// NewLVM makes an image of each size and attaches it, until the test is done.
func NewLVM(t testing.TB, sizes ...int64) *LVM {
	t.Helper()
	NeedRoot(t)
	NeedTool(t, "lvm", "losetup")
	dir := t.TempDir()
	h := &LVM{t: t}
	t.Cleanup(h.Detach)
	filter := ""
	for i, size := range sizes {
		path := filepath.Join(dir, fmt.Sprintf("disk%d.img", i))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		h.Paths = append(h.Paths, path)
		out, err := exec.Command("losetup", "--find", "--show", path).Output()
		if err != nil {
			t.Fatalf("losetup: %v", err)
		}
		loop := strings.TrimSpace(string(out))
		h.Loops = append(h.Loops, loop)
		filter += fmt.Sprintf("%q,", "a|^"+loop+"$|")
	}
	conf := `devices { filter=[` + filter + `"r|.*|"] use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none"
	md_component_detection=0 multipath_component_detection=0 fw_raid_component_detection=0 }
global { activation=0 use_lvmpolld=0 event_activation=0 notify_dbus=0 locking_dir="` + dir + `" }
activation { monitoring=0 udev_sync=0 udev_rules=0 }
backup { backup=0 archive=0 }
`
	if err := os.WriteFile(filepath.Join(dir, "lvm.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	h.env = append(os.Environ(), "LVM_SYSTEM_DIR="+dir, "LVM_SUPPRESS_FD_WARNINGS=1", "LC_ALL=C")
	return h
}

// Detach lets go of the loop devices; a second call does nothing.
func (h *LVM) Detach() {
	for _, l := range h.Loops {
		if out, err := exec.Command("losetup", "--detach", l).CombinedOutput(); err != nil {
			h.t.Errorf("losetup --detach: %v: %s", err, out)
		}
	}
	h.Loops = nil
}

// Run runs one command of lvm; $1, $2 ... stand for the devices.
func (h *LVM) Run(line string) string {
	h.t.Helper()
	for i := len(h.Loops); i > 0; i-- {
		line = strings.ReplaceAll(line, "$"+strconv.Itoa(i), h.Loops[i-1])
	}
	cmd := exec.Command("lvm", strings.Fields(line)...)
	cmd.Env = h.env
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("lvm %s: %v: %s", line, err, said.String())
	}
	return string(out)
}
