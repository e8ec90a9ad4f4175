package service_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
)

// One guest, seen through two mounts of two views and through the socket in
// both: the same files with the same contents, at the same time.
func TestTwoViews(t *testing.T) {
	d := start(t)
	path := small(t)
	spec := api.Attach{Images: []api.ImageSpec{{Path: path}}}
	parts := spec
	parts.View = "partitions"
	type view struct{ image, dir, below string }
	var views []view
	for _, v := range []struct {
		attach api.Attach
		below  string
	}{{spec, ""}, {parts, "/sda"}} {
		dir := mountDir(t)
		m, err := d.Mount(t.Context(), api.MountRequest{Attach: &v.attach, Dir: dir})
		must(t, err)
		views = append(views, view{m.Image, dir, v.below})
	}
	if views[0].image == views[1].image {
		t.Fatal("two views have one id")
	}
	sums := map[string]string{} // by where they were seen
	for _, v := range views {
		out, err := exec.Command("sh", "-c", "cd "+v.dir+v.below+" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum").Output()
		must(t, err)
		sums["mount"+v.below] = strings.ReplaceAll(string(out), " ./", " /")
		lines := map[string]string{}
		must(t, d.Checksum(t.Context(), v.image, api.ChecksumQuery{Place: api.Place{Path: v.below + "/"}, Algorithm: "sha256", Recursive: true}, nil, func(c api.Checksum) error {
			lines[strings.TrimPrefix(c.Path, v.below)] = c.Hex
			return nil
		}))
		for line := range strings.Lines(sums["mount"+v.below]) {
			sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
			if lines[name] != sum {
				t.Errorf("%s: the mount has %s, the socket %q", v.below+name, sum, lines[name])
			}
		}
		if len(lines) != strings.Count(sums["mount"+v.below], "\n") || len(lines) != 8 {
			t.Errorf("%d files through the socket: %v", len(lines), lines)
		}
	}
	if sums["mount"] != sums["mount/sda"] {
		t.Errorf("the views differ:\n%s\n%s", sums["mount"], sums["mount/sda"])
	}
	for _, v := range views {
		list, err := d.Mounts(t.Context())
		must(t, err)
		for _, m := range list {
			if m.Dir == v.dir {
				must(t, d.Unmount(t.Context(), m.ID, false))
			}
		}
	}
}
