package service_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
)

func TestFilesOverTheSocket(t *testing.T) {
	d := start(t)
	img := attach(t, d, small(t))
	if img.State != api.StateOpen || img.References != 1 || img.Worker == nil || !strings.Contains(img.Summary, "Demo Guest") {
		t.Fatalf("attached %+v", img)
	}
	again := attach(t, d, img.Images[0].Path)
	if again.ID != img.ID || again.References != 2 || again.Worker.PID != img.Worker.PID {
		t.Fatalf("attached again %+v", again)
	}
	var names []string
	must(t, d.List(t.Context(), img.ID, api.ListQuery{Place: api.Place{Path: "/home/a"}, All: true, Sorted: true}, nil, func(f api.File) error {
		names = append(names, f.Path)
		return nil
	}))
	if got := strings.Join(names, " "); got != "/home/a/.hidden /home/a/deep /home/a/one.txt" {
		t.Errorf("listed %q", got)
	}
	var b bytes.Buffer
	must(t, d.Read(t.Context(), img.ID, "/home/a/one.txt", &b))
	if b.String() != guestFiles["home/a/one.txt"] {
		t.Errorf("read %q", b.String())
	}
	var matches []api.Match
	must(t, d.Grep(t.Context(), img.ID, api.GrepQuery{Place: api.Place{Path: "/home"}, Pattern: []string{"tw."}, Recursive: true}, nil, func(m api.Match) error {
		matches = append(matches, m)
		return nil
	}))
	if len(matches) != 1 || matches[0].Line != 2 || matches[0].Text != "two" || *matches[0].Offset != 4 {
		t.Errorf("matches %+v", matches)
	}
	b.Reset()
	must(t, d.Archive(t.Context(), img.ID, api.ArchiveQuery{Place: api.Place{Path: "/home"}}, func(n api.Notice) { t.Errorf("notice %+v", n) }, &b))
	if !strings.Contains(b.String(), "./a/one.txt") {
		t.Errorf("an archive of %d bytes", b.Len())
	}
	_, err := d.Stat(t.Context(), img.ID, api.StatQuery{Place: api.Place{Path: "/nope"}})
	wantCode(t, err, api.CodeNoFile)
	wantCode(t, d.Read(t.Context(), img.ID, "/home", io.Discard), api.CodeIsDirectory)
	wantCode(t, d.Detach(t.Context(), "nope", false), api.CodeNoImage)
	must(t, d.Detach(t.Context(), img.ID, false))
	must(t, d.Detach(t.Context(), img.ID, false))
	_, err = d.Image(t.Context(), img.ID)
	wantCode(t, err, api.CodeNoImage)
}

func TestProblemsAreProblems(t *testing.T) {
	d := start(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		code               api.Code
	}{
		{"GET", "/", "", 404, api.CodeNoPath},
		{"GET", "/v1/nothing", "", 404, api.CodeNoPath},
		{"PUT", "/v1/images", "", 405, api.CodeMethod},
		{"POST", "/v1/images", "", 400, api.CodeInvalid},
		{"POST", "/v1/images", "{", 400, api.CodeInvalid},
		{"POST", "/v1/images", `{"images":[]}`, 422, api.CodeInvalid},
		{"POST", "/v1/images", `{"images":[{"path":"relative"}]}`, 422, api.CodeInvalid},
		{"POST", "/v1/images", `{"images":[{"path":"/nope"}]}`, 404, api.CodeImageMissing},
		{"POST", "/v1/images", `{"images":[{"path":"/"}]}`, 422, api.CodeImageMissing},
		{"POST", "/v1/images", `{"images":[{"path":"/dev/null"}]}`, 422, api.CodeImageMissing},
		{"POST", "/v1/images", `{"images":[{"path":"/x"}],"odd":1}`, 422, api.CodeInvalid},
		{"POST", "/v1/images", `{"images":[{"path":"` + strings.Repeat("x", 1<<20) + `"}]}`, 413, api.CodeTooLarge},
		{"GET", "/v1/images?limit=0", "", 422, api.CodeInvalid},
		{"GET", "/v1/images?odd=1", "", 422, api.CodeInvalid},
		{"GET", "/v1/images/x/files/grep", "", 422, api.CodeInvalid},
		{"GET", "/v1/images/x/files", "", 404, api.CodeNoImage},
		{"POST", "/v1/jobs", `{"image":"x","kind":"find","query":"odd=1"}`, 422, api.CodeInvalid},
		{"POST", "/v1/jobs", `{"image":"x","kind":"find"}`, 404, api.CodeNoImage},
		{"GET", "/v1/jobs/x/events", "", 404, api.CodeNoJob},
		{"DELETE", "/v1/mounts/x", "", 404, api.CodeNoMount},
		{"POST", "/v1/mounts", `{"image":"x","dir":"relative"}`, 422, api.CodeInvalid},
		{"POST", "/v1/mounts", `{"image":"x","dir":"/mnt","options":["odd"]}`, 422, api.CodeMountOption},
	} {
		status, text, header := d.get(t, c.method, c.path, c.body)
		if status != c.status || header.Get("Content-Type") != api.ProblemType || !strings.Contains(text, `"code":"`+string(c.code)+`"`) {
			t.Errorf("%s %s %.80s: %d %s %s, want %d %s", c.method, c.path, c.body, status, header.Get("Content-Type"), text, c.status, c.code)
		}
	}
}

func TestRanges(t *testing.T) {
	d := start(t)
	img := attach(t, d, small(t))
	whole := guestFiles["home/a/deep/two"]
	for _, c := range []struct {
		header, value string
		status        int
		body          string
	}{
		{"", "", 200, whole},
		{"Range", "bytes=0-9", 206, whole[:10]},
		{"Range", "bytes=65530-", 206, whole[65530:]},
		{"Range", "bytes=-5", 206, whole[len(whole)-5:]},
		{"Range", "bytes=70000-", 416, ""},
	} {
		r, err := http.NewRequest("GET", "http://guestctl/v1/images/"+img.ID+"/files/content?path=/home/a/deep/two", nil)
		must(t, err)
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		resp, err := dialer(d.socket).Do(r)
		must(t, err)
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		must(t, err)
		if resp.StatusCode != c.status || c.status < 400 && string(text) != c.body {
			t.Errorf("%s: %d and %d bytes, want %d and %d", c.value, resp.StatusCode, len(text), c.status, len(c.body))
		}
	}
}
