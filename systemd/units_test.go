package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

func units(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, pattern := range []string{"*.service", "*.socket"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, found...)
	}
	if len(list) < 3 {
		t.Fatalf("only %q", list)
	}
	return list
}

// known is what systemd before 253 says of Type=notify-reload, for which the
// line before stands in.
var known = regexp.MustCompile(`Failed to parse service type[^:]*, ignoring: notify-reload$`)

// systemd finds nothing wrong with the units.
func TestUnits(t *testing.T) {
	images.NeedTool(t, "systemd-analyze")
	dir := t.TempDir()
	var paths []string
	for _, name := range units(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// Neither need be installed here.
		text = regexp.MustCompile(`/usr/bin/guest\w+`).ReplaceAll(text, []byte("/bin/true"))
		path := filepath.Join(dir, strings.Replace(name, "@.", "@vm-web.img.", 1))
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	cmd := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no", "--generators=no"}, paths...)...)
	out, err := cmd.CombinedOutput()
	excuse := false
	for line := range strings.Lines(string(out)) {
		if known.MatchString(strings.TrimSpace(line)) {
			excuse = true
			continue
		}
		t.Errorf("systemd-analyze verify: %s", line)
	}
	if err != nil && !excuse {
		t.Errorf("systemd-analyze verify: %v", err)
	}
}

// The service is as well hardened as its comment says.
func TestExposure(t *testing.T) {
	images.NeedTool(t, "systemd-analyze")
	const name = "guestctld.service"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`\(252\): exposure (\d\.\d) `).FindSubmatch(text)
	if said == nil {
		t.Fatal("the comment does not say how exposed the service is")
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--no-pager", name).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v: %s", err, out)
	}
	m := regexp.MustCompile(`Overall exposure level for ` + name + `: (\d\.\d) `).FindSubmatch(out)
	version, _ := exec.Command("systemd-analyze", "--version").Output()
	switch {
	case m == nil:
		t.Fatalf("systemd-analyze security says\n%s", out)
	case string(m[1]) > string(said[1]):
		t.Errorf("the exposure is %s, and the comment says %s", m[1], said[1])
	case string(m[1]) != string(said[1]) && strings.Contains(string(version), "systemd 252"):
		t.Errorf("the exposure is %s, and the comment says %s", m[1], said[1])
	}
}
