package service_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
)

// A document is the OpenAPI document as this test walks it.
type document struct {
	OpenAPI    string                          `json:"openapi"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	ID         string `json:"operationId"`
	Parameters []struct {
		Name     string  `json:"name"`
		In       string  `json:"in"`
		Required bool    `json:"required"`
		Schema   *schema `json:"schema"`
	} `json:"parameters"`
	RequestBody *struct {
		Content map[string]struct {
			Schema *schema `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct {
			Schema *schema `json:"schema"`
		} `json:"content"`
	} `json:"responses"`
}

type schema struct {
	Ref        string             `json:"$ref"`
	Type       any                `json:"type"`
	Format     string             `json:"format"`
	Enum       []any              `json:"enum"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	OneOf      []*schema          `json:"oneOf"`
	Additional any                `json:"additionalProperties"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	MinLength  *int               `json:"minLength"`
	MaxLength  *int               `json:"maxLength"`
	MinItems   *int               `json:"minItems"`
	MaxItems   *int               `json:"maxItems"`
	Default    any                `json:"default"`
}

// types are the types that a schema allows; none is any.
func (s *schema) types() []string {
	switch t := s.Type.(type) {
	case string:
		return []string{t}
	case []any:
		var list []string
		for _, v := range t {
			list = append(list, fmt.Sprint(v))
		}
		return list
	}
	return nil
}

func (d *document) resolve(s *schema) *schema {
	if s != nil && s.Ref != "" {
		return d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	return s
}

// check says what of v does not fit the schema.
func (d *document) check(at string, s *schema, v any) []string {
	if s = d.resolve(s); s == nil {
		return []string{at + ": a reference to nothing"}
	}
	if len(s.OneOf) > 0 {
		var last []string
		for _, one := range s.OneOf {
			if last = d.check(at, one, v); len(last) == 0 {
				return nil
			}
		}
		return last
	}
	kind := map[bool]string{true: "null"}[v == nil]
	var bad []string
	switch v := v.(type) {
	case bool:
		kind = "boolean"
	case string:
		kind = "string"
	case float64:
		kind = "number"
		if v == float64(int64(v)) && slices.Contains(s.types(), "integer") {
			kind = "integer"
		}
		if s.Minimum != nil && v < *s.Minimum || s.Maximum != nil && v > *s.Maximum {
			bad = append(bad, fmt.Sprintf("%s: %v is out of bounds", at, v))
		}
	case []any:
		kind = "array"
		for i, item := range v {
			bad = append(bad, d.check(fmt.Sprintf("%s[%d]", at, i), s.Items, item)...)
		}
	case map[string]any:
		kind = "object"
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				bad = append(bad, fmt.Sprintf("%s.%s is missing", at, name))
			}
		}
		for name, item := range v {
			switch p := s.Properties[name]; {
			case p != nil:
				bad = append(bad, d.check(at+"."+name, p, item)...)
			case s.Additional == false:
				bad = append(bad, fmt.Sprintf("%s.%s is not in the schema", at, name))
			}
		}
	}
	if types := s.types(); len(types) > 0 && !slices.Contains(types, kind) {
		bad = append(bad, fmt.Sprintf("%s: a %s, not %v", at, kind, types))
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		bad = append(bad, fmt.Sprintf("%s: %v is none of %v", at, v, s.Enum))
	}
	return bad
}

// wrong are values that a schema refuses, as they stand in a query or path.
func (s *schema) wrong() []string {
	var list []string
	types := s.types()
	if slices.Contains(types, "integer") || slices.Contains(types, "boolean") || slices.Contains(types, "number") {
		list = append(list, "nonsense", "1e999", "-")
	}
	if s.Minimum != nil {
		list = append(list, fmt.Sprint(int64(*s.Minimum)-1))
	}
	if s.Maximum != nil {
		list = append(list, fmt.Sprint(int64(*s.Maximum)+1))
	}
	if len(s.Enum) > 0 {
		list = append(list, "nonsense")
	}
	if s.MaxLength != nil {
		list = append(list, strings.Repeat("x", *s.MaxLength+1))
	}
	return list
}

// odd are values that are allowed and worth a try.
func (s *schema) odd() []string {
	types := s.types()
	switch {
	case len(s.Enum) > 0:
		var list []string
		for _, v := range s.Enum {
			list = append(list, fmt.Sprint(v))
		}
		return list
	case slices.Contains(types, "boolean"):
		return []string{"true", "false"}
	case slices.Contains(types, "integer"):
		list := []string{"1", "7"}
		for _, bound := range []*float64{s.Minimum, s.Maximum} {
			if bound != nil {
				list = append(list, fmt.Sprint(int64(*bound)))
			}
		}
		return list
	}
	return []string{"/home", "/home/a/one.txt", "/nope", "up", "..", "*", "[", "(", "+1", "f", "\x00", "\xff\xfe", "/" + strings.Repeat("../", 500) + "etc/shadow", "%00%2f", "ünï", " "}
}

// wrongBodies are what a schema of a body refuses, made from a good one.
func (d *document) wrongBodies(s *schema, good map[string]any) []string {
	s = d.resolve(s)
	list := []string{"", "{", "[]", "null", "3", `"x"`, `{"` + strings.Repeat(`a":{"`, 2000), "\x00\xff"}
	with := func(change func(map[string]any)) {
		m := maps.Clone(good)
		change(m)
		text, _ := json.Marshal(m)
		list = append(list, string(text))
	}
	with(func(m map[string]any) { m["nonsense"] = 1 })
	for name, p := range s.Properties {
		with(func(m map[string]any) { m[name] = map[string]any{"nonsense": []any{1}} })
		if slices.Contains(s.Required, name) {
			with(func(m map[string]any) { delete(m, name) })
		}
		if d.resolve(p).MaxLength != nil {
			with(func(m map[string]any) { m[name] = strings.Repeat("x", *d.resolve(p).MaxLength+1) })
		}
		if len(d.resolve(p).Enum) > 0 {
			with(func(m map[string]any) { m[name] = "nonsense" })
		}
	}
	return list
}

// TestAPI walks every path of the document: with what it allows and with what
// it does not. Every answer has a status and a type that the document names,
// fits its schema, and is no mistake of ours.
func TestAPI(t *testing.T) {
	d := start(t)
	status, text, _ := d.get(t, "GET", "/v1/openapi.json", "")
	var doc document
	must(t, json.Unmarshal([]byte(text), &doc))
	if status != 200 || !strings.HasPrefix(doc.OpenAPI, "3.1.") || len(doc.Paths) < 15 {
		t.Fatalf("%d: OpenAPI %q with %d paths", status, doc.OpenAPI, len(doc.Paths))
	}
	w := &walker{t: t, d: d, doc: &doc, path: small(t), dir: t.TempDir()}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			w.walk(path, strings.ToUpper(method), doc.Paths[path][method])
		}
	}
	if w.good == 0 || w.refused == 0 {
		t.Fatalf("%d requests were good, %d refused", w.good, w.refused)
	}
	t.Logf("%d operations: %d requests were answered, %d refused", w.ops, w.good, w.refused)
	h, err := d.Health(t.Context())
	must(t, err)
	if h.Images[api.StateFailed] > 0 {
		t.Errorf("health %+v", h)
	}
	metrics, err := d.Metrics(t.Context())
	must(t, err)
	if strings.Contains(metrics, `result="internal"`) || strings.Contains(metrics, "guestctl_worker_failures_total 0\n") == false {
		t.Errorf("a mistake of ours:\n%s", metrics)
	}
}

type walker struct {
	t                  *testing.T
	d                  *daemon
	doc                *document
	path, dir          string
	ops, good, refused int
}

// ids are an image and a job for the paths that need one.
func (w *walker) id(path string) string {
	img := attach(w.t, w.d, w.path)
	if strings.HasPrefix(path, "/v1/jobs") {
		j, err := w.d.StartJob(w.t.Context(), api.JobRequest{Image: img.ID, Kind: "list"})
		must(w.t, err)
		must(w.t, w.d.JobEvents(w.t.Context(), j.ID, func(api.Event) error { return nil }))
		return j.ID
	}
	return img.ID
}

func (w *walker) walk(path, method string, op operation) {
	w.ops++
	parts := regexp.MustCompile(`\{[^}]*\}`)
	id := ""
	if parts.MatchString(path) {
		id = w.id(path)
	}
	at := func(id string) string { return parts.ReplaceAllString(path, url.PathEscape(id)) }
	needed := url.Values{}
	for _, p := range op.Parameters {
		if p.In == "query" && p.Required {
			needed.Set(p.Name, "a")
		}
	}
	var body string
	var good map[string]any
	if op.RequestBody != nil {
		good = map[string]map[string]any{
			"attach":    {"images": []any{map[string]any{"path": w.path}}},
			"mount":     {"image": "nope", "dir": w.dir},
			"start-job": {"image": w.id("/v1/images"), "kind": "list"},
		}[op.ID]
		if good == nil {
			w.t.Fatalf("%s: the test knows no good body", op.ID)
		}
		b, err := json.Marshal(good)
		must(w.t, err)
		body = string(b)
	}
	query := func(q url.Values) string {
		if len(q) == 0 {
			return ""
		}
		return "?" + q.Encode()
	}
	// What is allowed. A job or image may be gone after the first DELETE.
	w.ask(op, method, at(id)+query(needed), body, false)
	for _, p := range op.Parameters {
		if p.In == "path" {
			for _, v := range []string{"nope", "..", "%", "\x00", "a/b", strings.Repeat("x", 64)} {
				w.ask(op, method, at(v)+query(needed), body, false)
			}
			for _, v := range p.Schema.wrong() {
				w.ask(op, method, at(v)+query(needed), body, true)
			}
			continue
		}
		if p.In != "query" || p.Name == "follow" && op.ID == "events" { // which would not end
			continue
		}
		for _, v := range p.Schema.odd() {
			q := maps.Clone(needed)
			q.Set(p.Name, v)
			w.ask(op, method, at(id)+query(q), body, false)
		}
		for _, v := range p.Schema.wrong() {
			q := maps.Clone(needed)
			q.Set(p.Name, v)
			w.ask(op, method, at(id)+query(q), body, true)
		}
	}
	q := maps.Clone(needed)
	q.Set("nonsense", "1")
	w.ask(op, method, at(id)+query(q), body, true)
	if op.RequestBody != nil {
		for _, b := range w.doc.wrongBodies(op.RequestBody.Content["application/json"].Schema, good) {
			w.ask(op, method, at(id)+query(needed), b, true)
		}
	}
	for range needed {
		w.ask(op, method, at(id), body, true)
	}
}

// ask asks, and checks the answer against the document.
func (w *walker) ask(op operation, method, path, body string, mustFail bool) {
	w.t.Helper()
	status, text, header := w.d.get(w.t, method, path, body)
	what := fmt.Sprintf("%s %.120s %.80q: %d", method, path, body, status)
	if status >= 500 {
		w.t.Errorf("%s: %s", what, text)
		return
	}
	if mustFail && status < 400 {
		w.t.Errorf("%s: it is not refused", what)
		return
	}
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	response, ok := op.Responses[fmt.Sprint(status)]
	if status >= 400 {
		w.refused++
		// A path that names no id is no path of the document.
		response, ok = op.Responses["default"]
	} else {
		w.good++
	}
	if status == http.StatusTemporaryRedirect || status == http.StatusMovedPermanently {
		return // the mux's, for "..": to where it leads
	}
	if !ok && op.Responses == nil || !ok {
		w.t.Errorf("%s: the document names no such status: %v", what, slices.Sorted(maps.Keys(op.Responses)))
		return
	}
	if text == "" {
		return
	}
	media, ok := response.Content[kind]
	if !ok {
		w.t.Errorf("%s: the document names no type %q", what, kind)
		return
	}
	switch kind {
	case "application/json", api.ProblemType:
		w.record(what, media.Schema, text)
	case api.JSONLines:
		for line := range strings.Lines(text) {
			if media.Schema.Format != "binary" && !strings.HasPrefix(line, `{"schema":"`+api.ProblemSchema) {
				w.record(what, media.Schema, line)
			}
		}
	}
}

func (w *walker) record(what string, s *schema, text string) {
	w.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		w.t.Errorf("%s: %v in %.200s", what, err, text)
		return
	}
	for _, bad := range w.doc.check("reply", s, v) {
		w.t.Errorf("%s: %s", what, bad)
	}
}

// What the document says is what api's constants and README rely on.
func TestDocumentIsComplete(t *testing.T) {
	d := start(t)
	_, text, _ := d.get(t, "GET", "/v1/openapi.json", "")
	var doc document
	must(t, json.Unmarshal([]byte(text), &doc))
	for _, path := range []string{"/v1/images", "/v1/images/{id}", "/v1/images/{id}/volumes", "/v1/images/{id}/filesystems", "/v1/images/{id}/inspect", "/v1/images/{id}/packages",
		"/v1/images/{id}/usage", "/v1/images/{id}/check", "/v1/images/{id}/files/diff", "/v1/images/{id}/files",
		"/v1/images/{id}/files/stat", "/v1/images/{id}/files/content", "/v1/images/{id}/files/archive", "/v1/images/{id}/files/checksum",
		"/v1/images/{id}/files/find", "/v1/images/{id}/files/grep", "/v1/mounts", "/v1/mounts/{id}", "/v1/jobs", "/v1/jobs/{id}",
		"/v1/jobs/{id}/events", "/v1/jobs/{id}/result", "/v1/events", "/v1/version", "/v1/health", "/v1/metrics"} {
		if doc.Paths[path] == nil {
			t.Errorf("the document has no %s", path)
		}
	}
	if os.Getenv("GUESTCTL_PRINT") != "" {
		t.Log(text)
	}
}
