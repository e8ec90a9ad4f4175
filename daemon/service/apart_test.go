package service_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/service"
)

// What opens images itself does so in a worker of its own, which ends with it;
// an image that cannot be opened can be checked.
func TestApart(t *testing.T) {
	for _, isolation := range []string{"image", "shared"} {
		t.Run(isolation, func(t *testing.T) { apart(t, isolation) })
	}
}

func apart(t *testing.T, isolation string) {
	d := start(t, func(c *service.Config) { c.Isolation, c.Operations = isolation, 1 })
	path := small(t)
	changed := filepath.Join(filepath.Dir(path), "changed.img")
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(changed, bytes.Replace(b, []byte("one\ntwo\nthree\n"), []byte("ONE\ntwo\nthree\n"), 1), 0o600))
	img := attach(t, d, path)
	other, err := d.AttachClosed(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: changed}}})
	must(t, err)
	if other.State != api.StateIdle || other.Worker != nil {
		t.Errorf("attached alone it is %+v", other)
	}
	var found []string
	must(t, d.Diff(t.Context(), img.ID, api.DiffQuery{Place: api.Place{Path: "/"}, With: other.ID, WithPath: "/"}, nil,
		func(x api.Difference) error { found = append(found, x.Path+" "+strings.Join(x.What, " ")); return nil }))
	if len(found) != 1 || found[0] != "/home/a/one.txt content" {
		t.Errorf("differences %q", found)
	}
	must(t, d.Diff(t.Context(), img.ID, api.DiffQuery{Place: api.Place{Path: "/etc"}, With: img.ID, WithPath: "/etc"}, nil,
		func(x api.Difference) error { t.Errorf("of itself: %+v", x); return nil }))
	wantCode(t, d.Diff(t.Context(), img.ID, api.DiffQuery{With: "nope"}, nil, nil), api.CodeNoImage)
	check, err := d.Check(t.Context(), other.ID, api.CheckQuery{Data: true}, func(f api.Finding) error { t.Errorf("finding %+v", f); return nil })
	must(t, err)
	if check.Findings != 0 || len(check.Volumes) != 1 || !check.Volumes[0].Checked || check.Volumes[0].Bytes == 0 {
		t.Errorf("check %+v", check)
	}
	must(t, d.Usage(t.Context(), img.ID, func(u api.Usage) error {
		if !u.Readable || u.Size < 8<<20 || u.Image != path {
			t.Errorf("usage %+v", u)
		}
		return nil
	}))
	if r, err := d.Inspect(t.Context(), img.ID); err != nil || len(r.Systems) != 1 || r.Systems[0].Name != "Demo Guest" {
		t.Errorf("inspect: %v %+v", err, r)
	}
	for kind, query := range map[string]string{"check": "data=true", "diff": "with=" + other.ID} {
		j, err := d.StartJob(t.Context(), api.JobRequest{Image: img.ID, Kind: kind, Query: query})
		must(t, err)
		must(t, d.JobEvents(t.Context(), j.ID, func(api.Event) error { return nil }))
		if j, err = d.Job(t.Context(), j.ID); err != nil || j.State != api.JobDone || j.Records != 1 {
			t.Errorf("the job %s: %v %+v", kind, err, j)
		}
	}
	torn := filepath.Join(filepath.Dir(path), "torn.qcow2")
	must(t, os.WriteFile(torn, append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 4096)...), 0o600))
	_, err = d.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: torn}}})
	wantCode(t, err, api.CodeDamaged)
	bad, err := d.AttachClosed(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: torn}}})
	must(t, err)
	findings := 0
	check, err = d.Check(t.Context(), bad.ID, api.CheckQuery{}, func(api.Finding) error { findings++; return nil })
	if err != nil || findings == 0 || check.Findings != int64(findings) {
		t.Errorf("a check of what cannot be opened: %v, %d findings, %+v", err, findings, check)
	}
	// Force ends what is done apart, too.
	huge, err := d.StartJob(t.Context(), api.JobRequest{Image: other.ID, Kind: "check", Query: "data=true"})
	must(t, err)
	must(t, d.Detach(t.Context(), other.ID, true))
	eventually(t, "it is detached", func() bool { _, err := d.Image(t.Context(), other.ID); return err != nil })
	must(t, d.JobEvents(t.Context(), huge.ID, func(api.Event) error { return nil }))
	for _, id := range []string{img.ID, bad.ID} {
		must(t, d.Detach(t.Context(), id, false))
	}
	eventually(t, "no worker is left", func() bool { h, err := d.Health(t.Context()); return err == nil && h.Workers == 0 })
	if _, text, _ := d.get(t, "GET", "/v1/health", ""); !json.Valid([]byte(text)) {
		t.Errorf("health %s", text)
	}
}
