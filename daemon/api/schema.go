package api

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Schema is a record's shape that is published: `guestctl schema NAME`.
type Schema struct {
	Name   string // "guestctl.file/1"
	Record any    // a zero one
}

// Schemas are the shapes of what --json prints, by name.
func Schemas() []Schema {
	return []Schema{
		{CheckSchema, Check{}}, {ChecksumSchema, Checksum{}}, {UsageSchema, Usage{}}, {DiffSchema, Difference{}}, {FileSchema, File{}},
		{FilesystemsSchema, Filesystems{}}, {FindingSchema, Finding{}}, {HealthSchema, Health{}}, {ImageSchema, Image{}},
		{InspectionSchema, Inspection{}}, {JobSchema, Job{}}, {ListSchema, List{}}, {MatchSchema, Match{}}, {MountSchema, Mount{}},
		{NetworksSchema, Networks{}}, {PackagesSchema, Packages{}}, {RegistrySchema, RegistryKey{}}, {ServicesSchema, Services{}},
		{UsersSchema, Users{}},
	}
}

// JSON is the schema by JSON Schema's draft 2020-12. Fields that are always
// there are required; others than it has may come, as the package comment says.
// What a field means is the comment beside it.
func (s Schema) JSON() (map[string]any, error) {
	words, err := comments()
	if err != nil {
		return nil, err
	}
	m, err := object(reflect.TypeOf(s.Record), words)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", s.Name, err)
	}
	m["$schema"], m["title"] = "https://json-schema.org/draft/2020-12/schema", s.Name
	if properties, ok := m["properties"].(map[string]any); ok {
		properties["schema"] = map[string]any{"const": s.Name}
	}
	return m, nil
}

// object is the schema of a struct.
func object(t reflect.Type, words map[string]string) (map[string]any, error) {
	properties, required := map[string]any{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || f.Anonymous || !f.IsExported() {
			continue
		}
		p, err := value(f.Type, words)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if text := words[t.Name()+"."+f.Name]; text != "" {
			p["description"] = text
		}
		if values := f.Tag.Get("enum"); values != "" {
			p["enum"] = strings.Split(values, ",")
		}
		properties[name] = p
		if !slices.Contains(strings.Split(options, ","), "omitempty") {
			required = append(required, name)
		}
	}
	m := map[string]any{"type": "object", "properties": properties, "required": required}
	if text := words[t.Name()]; text != "" {
		m["description"] = text
	}
	return m, nil
}

// value is the schema of a field.
func value(t reflect.Type, words map[string]string) (map[string]any, error) {
	if t == reflect.TypeFor[time.Time]() {
		return map[string]any{"type": "string", "format": "date-time"}, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}, nil
	case reflect.Int, reflect.Int64, reflect.Int32:
		return map[string]any{"type": "integer"}, nil
	case reflect.Uint, reflect.Uint64, reflect.Uint32:
		return map[string]any{"type": "integer", "minimum": 0}, nil
	case reflect.Float64:
		return map[string]any{"type": "number"}, nil
	case reflect.String:
		return map[string]any{"type": "string"}, nil
	case reflect.Pointer:
		return value(t.Elem(), words)
	case reflect.Struct:
		return object(t, words)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "contentEncoding": "base64"}, nil
		}
		items, err := value(t.Elem(), words)
		return map[string]any{"type": "array", "items": items}, err
	case reflect.Map:
		items, err := value(t.Elem(), words)
		return map[string]any{"type": "object", "additionalProperties": items}, err
	}
	return nil, fmt.Errorf("a %s has no schema", t)
}

// source has the comments, so that they are written once.
//
//go:embed *.go
var source embed.FS

// comments are what this package says of its types and their fields, by
// "Type" and "Type.Field".
func comments() (map[string]string, error) {
	words := map[string]string{}
	entries, err := source.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := source.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), text, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				ofType(words, g)
			}
		}
	}
	return words, nil
}

func ofType(words map[string]string, g *ast.GenDecl) {
	for _, spec := range g.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		words[t.Name.Name] = line(g.Doc)
		s, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range s.Fields.List {
			for _, n := range f.Names {
				words[t.Name.Name+"."+n.Name] = line(f.Comment)
			}
		}
	}
}

// line is a comment as one line.
func line(c *ast.CommentGroup) string {
	return strings.Join(strings.Fields(c.Text()), " ")
}
