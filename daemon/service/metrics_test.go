package service_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
)

// A busy daemon's metrics, and the dashboard that shows them.
func TestDashboardFitsTheMetrics(t *testing.T) {
	d := start(t)
	dir := mountDir(t)
	m, err := d.Mount(t.Context(), api.MountRequest{Attach: &api.Attach{Images: []api.ImageSpec{{Path: small(t)}}}, Dir: dir})
	must(t, err)
	cat(t, dir+"/etc/hostname")
	must(t, d.Lines(t.Context(), m.Image, "list", api.ListQuery{}, nil, func([]byte) error { return nil }))
	text, err := d.Metrics(t.Context())
	must(t, err)
	must(t, d.Unmount(t.Context(), m.ID, false))
	for _, cache := range []string{"metadata", "inodes"} {
		for _, what := range []string{"hits", "misses"} {
			at := `guestctl_image_cache_` + what + `_total{image="` + m.Image + `",cache="` + cache + `"} `
			_, rest, ok := strings.Cut(text, at)
			if value, _, _ := strings.Cut(rest, "\n"); !ok || value == "0" {
				t.Errorf("%s%q", at, value)
			}
		}
	}
	series := exposed(t, text)

	file, err := os.ReadFile("grafana/guestctl.json")
	must(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal(file, &dashboard))
	name := regexp.MustCompile(`guestctl_[a-z_]+`)
	shown := map[string]bool{}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("the panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			names := name.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("the panel %q: no metric in %s", p.Title, target.Expr)
			}
			for _, n := range names {
				shown[n] = true
				labels, ok := series[n]
				if !ok {
					t.Errorf("the panel %q shows %s, which the daemon does not give", p.Title, n)
				}
				by := regexp.MustCompile(`by \(([^)]*)\)`).FindStringSubmatch(target.Expr)
				if by == nil || !ok {
					continue
				}
				for label := range strings.SplitSeq(by[1], ", ") {
					if !strings.Contains(labels, label+`="`) {
						t.Errorf("the panel %q: %s has no label %s: %s", p.Title, n, label, labels)
					}
				}
			}
		}
	}
	for n := range series {
		if base := strings.TrimSuffix(strings.TrimSuffix(n, "_sum"), "_count"); !shown[n] && !shown[base+"_bucket"] {
			t.Errorf("no panel shows %s", n)
		}
	}
}

// exposed checks the text and answers the labels of each series.
func exposed(t *testing.T, text string) map[string]string {
	t.Helper()
	series, kinds := map[string]string{}, map[string]string{}
	sample := regexp.MustCompile(`^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$`)
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, k, _ := strings.Cut(kind, " ")
			if kinds[name] != "" {
				t.Errorf("the family %s begins twice", name)
			}
			kinds[name] = k
			if k == "counter" && !strings.HasSuffix(name, "_total") {
				t.Errorf("the counter %s does not end in _total", name)
			}
			continue
		}
		if strings.HasPrefix(line, "# HELP ") {
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no sample: %q", line)
			continue
		}
		if _, err := strconv.ParseFloat(m[3], 64); err != nil {
			t.Errorf("no value: %q", line)
		}
		if seen[m[1]+m[2]] {
			t.Errorf("twice: %q", line)
		}
		seen[m[1]+m[2]] = true
		base := m[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if s, ok := strings.CutSuffix(m[1], suffix); ok && kinds[s] == "histogram" {
				base = s
			}
		}
		if kinds[base] == "" {
			t.Errorf("%s belongs to no family", m[1])
		}
		series[m[1]] = m[2]
	}
	// promtool knows more, where it is installed.
	if path, err := exec.LookPath("promtool"); err == nil {
		cmd := exec.Command(path, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool: %s", out)
		}
	}
	return series
}
