package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/guestctl/guestctl/daemon/api"
)

// schemas compiles what `guestctl schema` prints. Unlike the published ones
// these allow no field that they do not have.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	all := map[string]*jsonschema.Schema{}
	for _, name := range strings.Fields(must(t, "schema")) {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(must(t, "schema", name)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		closeObjects(doc)
		c := jsonschema.NewCompiler()
		if err := c.AddResource("schema.json", doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if all[name], err = c.Compile("schema.json"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"]; ok {
			v["additionalProperties"] = false
		}
		for _, sub := range v {
			closeObjects(sub)
		}
	case []any:
		for _, sub := range v {
			closeObjects(sub)
		}
	}
}

// TestSchemas validates what every command with --json prints.
func TestSchemas(t *testing.T) {
	image := demoImage(t)
	damaged := filepath.Join(filepath.Dir(image), "damaged.img")
	b := mustRead(t, image)
	b[512+60] ^= 1       // the GPT's header
	b[(1<<20)+1024] ^= 1 // the superblock of the first filesystem
	if err := os.WriteFile(damaged, b, 0o600); err != nil {
		t.Fatal(err)
	}
	// The same, with a file that is not UTF-8 where its name was.
	odd := filepath.Join(filepath.Dir(image), "odd.img")
	b = bytes.ReplaceAll(bytes.ReplaceAll(mustRead(t, image), []byte("page-01.txt"), []byte("page-\xff1.txt")), []byte("page 2 of"), []byte("page \xff of"))
	if err := os.WriteFile(odd, b, 0o600); err != nil {
		t.Fatal(err)
	}
	runs := map[string][][]string{
		"filesystems": {{image}, {damaged}},
		"df":          {{image, damaged}, {odd}},
		"ls":          {{"-R", image}, {"-a", odd + ":sda2:/www/pages"}},
		"find":        {{image}},
		"stat":        {{image + ":/etc/passwd"}, {image + ":/bin"}, {image + ":/"}},
		"checksum":    {{"-r", image}},
		"grep":        {{"-r", "page", image + ":/srv"}, {"-rc", "page", image + ":/srv"}, {"-rl", "page", image + ":/srv"}, {"-r", "of the guest", odd + ":sda2:/"}},
		"diff":        {{image + ":/etc", image + ":/usr"}, {image + ":/", odd + ":sda1:/"}, {image + ":sda2:/", odd + ":sda2:/"}},
		"inspect":     {{image}, {damaged}},
		"packages":    {{image}, {damaged}},
		"users":       {{image}, {damaged}},
		"services":    {{image}, {damaged}},
		"network":     {{image}, {damaged}},
		"check":       {{image, damaged}},
	}
	windows := ""
	t.Run("windows", func(sub *testing.T) { windows = windowsImage(sub, t.TempDir()) })
	if windows != "" {
		runs["registry"] = [][]string{{windows}, {"-r", windows, "HKLM"}}
	}
	known, seen := schemas(t), map[string]bool{}
	for _, c := range newApp(io.Discard, io.Discard).Commands {
		hasJSON := false
		for _, f := range c.Flags {
			hasJSON = hasJSON || slices.Contains(f.Names(), "json")
		}
		// What a daemon answers is validated with one, in tests/conformance.
		elsewhere := slices.Contains([]string{"mount", "unmount", "list", "status", "jobs"}, c.Name) || c.Name == "registry" && windows == ""
		if hasJSON && runs[c.Name] == nil && !elsewhere {
			t.Errorf("what %s --json prints is not validated", c.Name)
		}
		for _, argv := range runs[c.Name] {
			_, out, errs := guestctl(t, append([]string{c.Name, "--json"}, argv...)...)
			if out == "" {
				t.Errorf("%s %q prints nothing: %s", c.Name, argv, errs)
			}
			for line := range strings.Lines(out) {
				doc, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
				if err != nil {
					t.Errorf("%s %q: %v: %s", c.Name, argv, err, line)
					continue
				}
				name, _ := doc.(map[string]any)["schema"].(string)
				seen[name] = true
				if known[name] == nil {
					t.Errorf("%s %q: there is no schema %q", c.Name, argv, name)
				} else if err := known[name].Validate(doc); err != nil {
					t.Errorf("%s %q: %v\n%s", c.Name, argv, err, line)
				}
			}
		}
	}
	for _, s := range api.Schemas() {
		ofDaemon := slices.Contains([]string{api.HealthSchema, api.ImageSchema, api.JobSchema, api.ListSchema, api.MountSchema}, s.Name)
		if !seen[s.Name] && !ofDaemon && (windows != "" || s.Name != api.RegistrySchema) {
			t.Errorf("nothing printed %s", s.Name)
		}
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
