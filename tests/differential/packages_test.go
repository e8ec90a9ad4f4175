package differential

import (
	"fmt"
	"os/exec"
	"sort"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/inspect"
	"github.com/guestctl/guestctl/tests/images"
)

// The packages of a real Debian are those that dpkg-query finds in it.
func TestDebianPackages(t *testing.T) {
	images.NeedTool(t, "dpkg-query")
	img := images.Debian(t)
	root := images.KernelRoot(t, img, "ext4")
	out, err := exec.Command("dpkg-query", "--admindir="+root+"/var/lib/dpkg", "-W",
		"-f=${db:Status-Status}|${Package}|${Version}|${Architecture}|${source:Package}|${Maintainer}|${Homepage}|${binary:Summary}|${Installed-Size}\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "installed|"); ok {
			want = append(want, strings.ReplaceAll(strings.TrimSpace(rest), " |", "|")) // facts have no space around them
		}
	}
	g, err := daemon.Open(t.Context(), daemon.Spec{Images: []daemon.ImageSpec{{Path: img.Path, Format: img.Format}}, View: daemon.ViewInspect})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close(t.Context())
	r, err := g.Packages(t.Context(), inspect.PackageOptions{})
	if err != nil || len(r.Systems) != 1 || len(r.Systems[0].Warnings) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	var got []string
	for _, p := range r.Systems[0].Packages {
		source := p.SourcePackage
		if source == "" {
			source = p.Name
		}
		size := ""
		if p.Size > 0 {
			size = fmt.Sprint(p.Size / 1024)
		}
		got = append(got, strings.Join([]string{p.Name, p.FullVersion, p.Arch, source, p.Publisher, p.URL, p.Summary, size}, "|"))
		if p.InstallTime == 0 || p.Source == "" {
			t.Errorf("%s has no time or source", p.Name)
		}
	}
	sort.Strings(got)
	sort.Strings(want)
	if len(want) < 150 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d packages, dpkg-query has %d", len(got), len(want))
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("%s\n%s", got[i], want[i])
			}
		}
	}
}
