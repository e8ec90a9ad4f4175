package differential

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/tests/images"
)

// The accounts of a real Debian are those of its files, with what passwd -S says
// of them; its services are in the states that systemctl sees.
func TestDebianFacts(t *testing.T) {
	images.NeedTool(t, "systemctl", "passwd")
	img := images.Debian(t)
	root := images.KernelRoot(t, img, "ext4")
	g, err := daemon.Open(t.Context(), daemon.Spec{Images: []daemon.ImageSpec{{Path: img.Path, Format: img.Format}}, View: daemon.ViewInspect})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close(t.Context())
	out, err := exec.Command("systemctl", "--root="+root, "list-unit-files", "--no-legend", "--no-pager", "--type=service,socket,timer,path").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 2 && f[1] != "alias" {
			want = append(want, f[0]+" "+f[1])
		}
	}
	s, err := g.Services(t.Context())
	if err != nil || len(s.Systems) != 1 || len(s.Systems[0].Warnings) > 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, v := range s.Systems[0].Services {
		before, after, instance := strings.Cut(v.Name, "@")
		if v.Manager == "systemd" && (!instance || after == filepath.Ext(before+after)) {
			got = append(got, v.Name+" "+v.Start)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(want) < 20 {
		t.Errorf("%q\nsystemctl says\n%q", got, want)
	}

	u, err := g.Users(t.Context())
	if err != nil || len(u.Systems) != 1 || len(u.Systems[0].Warnings) > 0 {
		t.Fatalf("%+v, %v", u, err)
	}
	text, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(u.Systems[0].Users) {
		t.Fatalf("%d users, not %d", len(u.Systems[0].Users), len(lines))
	}
	for i, a := range u.Systems[0].Users {
		f := strings.Split(lines[i], ":")
		name, _, _ := strings.Cut(f[4], ",")
		if have := fmt.Sprintf("%s:%d:%d:%s:%s:%s", a.Name, *a.UID, *a.GID, a.FullName, a.Home, a.Shell); have != strings.Join([]string{f[0], f[2], f[3], name, f[5], f[6]}, ":") {
			t.Errorf("%s, not %s", have, lines[i])
		}
	}
}
