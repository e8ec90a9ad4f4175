package conformance

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// What the commands print with --json that talk to a daemon fits the schemas
// that `guestctl schema` prints, without a field that those do not have.
func TestServiceSchemas(t *testing.T) {
	images.NeedFUSE(t)
	images.NeedTool(t, "curl")
	s := serve(t, commands.Self, nil)
	image := guest(t, commands.Self)
	at := []string{"--json", "--socket", s.socket}
	seen := map[string]bool{}
	valid := func(what, out string) {
		t.Helper()
		for line := range strings.Lines(out) {
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
			if err != nil {
				t.Fatalf("%s: %v: %s", what, err, line)
			}
			record, _ := doc.(map[string]any)
			name, _ := record["schema"].(string)
			if err := schemaOf(t, name).Validate(doc); err != nil {
				t.Errorf("%s: %v\n%s", what, err, line)
			}
			seen[name] = true
		}
	}
	mnt := filepath.Join(commands.Dir(t, commands.Self), "mnt")
	commands.Must(t, commands.Self, "mkdir", mnt)
	valid("mount", commands.Must(t, commands.Self, "guestctl", append([]string{"mount", image, mnt}, at...)...))
	if status, body := s.curl(t, commands.Command(t, commands.Self, "curl", curlArgs(s.socket, "POST", "/v1/jobs", `{"image":"`+s.images(t)[0].ID+`","kind":"check"}`)...)); status != 200 {
		t.Fatalf("a job: %d %s", status, body)
	}
	lone, _ := commands.Start(t, commands.Self, image)
	list := commands.Must(t, commands.Self, "guestctl", append([]string{"list"}, at...)...)
	valid("list", list)
	if !strings.Contains(list, lone.Dir) || !strings.Contains(list, mnt) {
		t.Errorf("the list lacks a mount: %s", list)
	}
	for _, command := range []string{"status", "jobs"} {
		valid(command, commands.Must(t, commands.Self, "guestctl", append([]string{command}, at...)...))
	}
	_, body := s.curl(t, commands.Command(t, commands.Self, "curl", curlArgs(s.socket, "GET", "/v1/images/"+s.images(t)[0].ID, "")...))
	valid("an image", body)
	valid("unmount", commands.Must(t, commands.Self, "guestctl", append([]string{"unmount", mnt}, at...)...))
	for _, name := range []string{"list", "health", "job", "mount", "image"} {
		if !seen["guestctl."+name+"/1"] {
			t.Errorf("nothing printed guestctl.%s/1", name)
		}
	}
}

// schemaOf compiles a published schema; unlike that it allows no other fields.
func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(commands.Must(t, commands.Self, "guestctl", "schema", name)))
	if err != nil {
		t.Fatal(err)
	}
	shut(doc)
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func shut(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"]; ok {
			v["additionalProperties"] = false
		}
		for _, sub := range v {
			shut(sub)
		}
	case []any:
		for _, sub := range v {
			shut(sub)
		}
	}
}
