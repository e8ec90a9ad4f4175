// Package tests holds what is about the whole module: its layers here, and in the folders below images, comparisons with
// other implementations, crashes, hostile input and benchmarks.
package tests

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/guestctl/guestctl"

// A layer says what the packages at and below a path may import. The longest path that fits a package is its layer.
type layer struct {
	path string // relative to the module; a * stands for one element

	// module lists what of the module may be imported, each with its subfolders where it ends in "/..."; "..." alone is
	// everything. What stands at or below the same path may always be imported.
	module []string

	// others lists modules of other people that may be imported beside the standard library.
	others []string
}

// What each room may touch: section 1 of the design, as a table. Imports point downwards only.
var layers = []layer{
	{"formats/block", []string{"formats/ondisk"}, sys},
	{"formats/ondisk", nil, sys},
	{"formats/codec", []string{"formats/block", "formats/ondisk"}, decoders},
	{"formats/crypt", []string{"formats/block", "formats/ondisk"}, decoders},
	{"formats/ahead", nil, sys},

	// The contract of a format, and the formats, which know neither each other nor the list of all.
	{"formats/image", []string{"formats/crypt", "formats/block", "formats/ondisk"}, sys},
	{"formats/compressed", []string{"formats/image", "formats/extent", "formats/codec/...", "formats/crypt/...", "formats/block", "formats/ondisk"}, decoders},
	{"formats/*", []string{"formats/image", "formats/extent", "formats/ahead", "formats/codec/...", "formats/crypt/...", "formats/block", "formats/ondisk"}, sys},
	{"formats/formattest", []string{"formats/..."}, sys}, // opens chains of every format
	{"formats", []string{"formats/..."}, sys},            // the list of all

	// Volumes: the same shape, one level down.
	{"formats/volume", []string{"formats/codec/...", "formats/crypt/...", "formats/block", "formats/ondisk"}, sys},
	{"formats/volume/*", []string{"formats/volume/scheme", "formats/volume/signature", "formats/volume/raid", "formats/codec/...", "formats/crypt/...", "formats/block", "formats/ondisk"}, sys},

	{"vfs", []string{"formats/block", "formats/ondisk"}, sys},
	{"vfs/vfstest", []string{"vfs", "formats/block/...", "formats/ondisk"}, sys},

	{"filesystems", []string{"filesystems/...", "vfs", "formats/block", "formats/ondisk"}, sys},
	{"filesystems/txn", []string{"formats/block", "formats/ondisk"}, sys},
	{"filesystems/btrfs", []string{"vfs", "formats/codec/...", "formats/block", "formats/ondisk"}, []string{"golang.org/x/crypto"}}, // BLAKE2b
	{"filesystems/*", []string{"vfs", "filesystems/txn/...", "formats/codec/...", "formats/crypt/...", "formats/block", "formats/ondisk"}, sys},

	{"mount", []string{"vfs", "formats/block", "formats/ondisk"}, []string{"golang.org/x/sys", "golang.org/x/sync", "github.com/hanwen/go-fuse/v2"}},

	{"daemon", []string{"daemon/...", "mount/...", "vfs", "filesystems", "formats", "formats/image", "formats/volume/...", "formats/raw", "formats/crypt", "formats/block", "formats/ondisk"}, service},
	{"daemon/api", nil, service},
	{"daemon/client", []string{"daemon/api"}, service},
	{"daemon/sandbox", []string{"daemon/api"}, landlock},
	{"daemon/inspect", []string{"daemon/api", "vfs", "formats/block", "formats/ondisk"}, sys},

	{"systemd", nil, []string{"golang.org/x/sys", "github.com/coreos/go-systemd/v22"}},

	{"cmd", []string{"daemon/...", "mount/...", "systemd", "vfs", "formats/crypt", "formats/block", "formats/ondisk"}, append(slices.Clone(service), "github.com/diskfs/go-diskfs", "github.com/urfave/cli/v2")},

	// Tests and their tools look everywhere.
	{"tests", []string{"..."}, []string{"*"}},
}

var (
	sys      = []string{"golang.org/x/sys", "golang.org/x/sync", "golang.org/x/text"}
	decoders = append(slices.Clone(sys), "github.com/klauspost/compress", "github.com/pierrec/lz4/v4", "github.com/ulikunitz/xz", "github.com/anchore/go-lzo", "golang.org/x/crypto")
	service  = append(slices.Clone(sys), "github.com/danielgtaylor/huma/v2", "github.com/coreos/go-systemd/v22", "golang.org/x/term", "github.com/BurntSushi/toml")
	landlock = append(slices.Clone(sys), "github.com/landlock-lsm/go-landlock", "kernel.org/pub/linux/libs/security/libcap/psx")
)

// A _test.go file may import its layer's own modules, all of this module that builds or checks images, and these; go-fuse
// it may not, nor may anything look up to mount, daemon or cmd from below.
var testOthers = []string{"github.com/diskfs/go-diskfs", "github.com/dsoprea/go-ext4", "github.com/google/go-cmp",
	"golang.org/x/sys", "golang.org/x/sync", "golang.org/x/text", "github.com/klauspost/compress",
	"github.com/rogpeppe/go-internal", "github.com/santhosh-tekuri/jsonschema/v6"}

var testModule = []string{"tests/...", "formats/...", "vfs/...", "filesystems/..."}

// below says whether pkg is at or below a path, in which a * stands for one element.
func below(pkg, p string) bool {
	want, have := strings.Split(p, "/"), strings.Split(pkg, "/")
	if len(have) < len(want) {
		return false
	}
	for i, w := range want {
		if w != "*" && w != have[i] {
			return false
		}
	}
	return true
}

// layerOf finds the layer of a package: the one with the longest path, a name before a *.
func layerOf(pkg string) *layer {
	var best *layer
	for i := range layers {
		l := &layers[i]
		if !below(pkg, l.path) {
			continue
		}
		if best == nil || strings.Count(l.path, "/") > strings.Count(best.path, "/") ||
			strings.Count(l.path, "/") == strings.Count(best.path, "/") && strings.HasSuffix(best.path, "*") {
			best = l
		}
	}
	return best
}

// fits says whether the package imp is one of list.
func fits(imp string, list []string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		if root, all := strings.CutSuffix(a, "..."); all {
			root = strings.TrimSuffix(root, "/")
			return root == "" || below(imp, root)
		}
		return imp == a
	})
}

// otherFits says whether the import path lies in one of the modules of list.
func otherFits(imp string, list []string) bool {
	return slices.ContainsFunc(list, func(m string) bool { return m == "*" || imp == m || strings.HasPrefix(imp, m+"/") })
}

// violation says why the package (a path relative to the module) may not import imp (a full import path), or "".
func violation(pkg string, test bool, imp string) string {
	first, _, _ := strings.Cut(imp, "/")
	if !strings.Contains(first, ".") {
		return "" // the standard library; "C" is caught by the static build
	}
	l := layerOf(pkg)
	if l == nil {
		return fmt.Sprintf("%s belongs to no layer: add it to the table in tests/layers_test.go", pkg)
	}
	own, inside := strings.CutPrefix(imp, module+"/")
	if !inside {
		if otherFits(imp, l.others) || test && otherFits(imp, testOthers) {
			return ""
		}
		if strings.HasPrefix(imp, "github.com/dsoprea/") {
			return fmt.Sprintf("%s imports %s, which only tests may", pkg, imp)
		}
		return fmt.Sprintf("%s imports %s, which the layer %s may not", pkg, imp, l.path)
	}
	// The room is the folder that the layer's path names for this package: filesystems/ext4 for "filesystems/*". What is
	// inside a room is the room's own affair; Go itself forbids cycles.
	room := strings.Join(strings.Split(pkg, "/")[:strings.Count(l.path, "/")+1], "/")
	if below(own, room) || fits(own, l.module) || test && fits(own, testModule) {
		return ""
	}
	return fmt.Sprintf("%s imports %s, which the layer %s may not", pkg, own, l.path)
}

// violations walks the module and collects what breaks the layers.
func violations(root string) (found []string, files int, err error) {
	fset := token.NewFileSet()
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		rel, err := filepath.Rel(root, filepath.Dir(p))
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if v := violation(filepath.ToSlash(rel), strings.HasSuffix(name, "_test.go"), imp); v != "" {
				found = append(found, fset.Position(spec.Pos()).String()+": "+v)
			}
		}
		return nil
	})
	return found, files, err
}

// TestLayers fails when an import of the module points upwards or sideways.
func TestLayers(t *testing.T) {
	found, files, err := violations("..")
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d Go files found: the walk is broken", files)
	}
	for _, v := range found {
		t.Error(v)
	}
}

// TestLayersNoticesAForbiddenImport feeds the walk a module with forbidden imports beside allowed ones.
func TestLayersNoticesAForbiddenImport(t *testing.T) {
	for _, c := range []struct {
		file, imp string
		allowed   bool
	}{
		{"formats/block/a.go", "os", true},
		{"formats/block/a.go", "golang.org/x/sys/unix", true},
		{"formats/block/a.go", module + "/formats/ondisk", true},
		{"formats/block/a.go", module + "/vfs", false},
		{"formats/block/a.go", module + "/formats/codec", false},
		{"formats/block/a.go", "github.com/klauspost/compress/zstd", false},
		{"formats/block/blocktest/a.go", module + "/formats/block", true},
		{"formats/ondisk/a.go", module + "/formats/block", false},
		{"formats/codec/a.go", "github.com/klauspost/compress/zstd", true},
		{"formats/codec/a.go", module + "/formats/raw", false},
		{"formats/qcow2/a.go", module + "/formats/codec", true},
		{"formats/qcow2/a.go", module + "/formats/image", true},
		{"formats/qcow2/a.go", module + "/formats", false},
		{"formats/qcow2/a.go", module + "/formats/raw", false},
		{"formats/qcow2/a_test.go", module + "/formats/raw", true},
		{"formats/qcow2/a.go", module + "/vfs", false},
		{"formats/qcow2/a.go", "github.com/klauspost/compress/zstd", false},
		{"formats/a.go", module + "/formats/qcow2", true},
		{"formats/a.go", module + "/filesystems/ext4", false},
		{"formats/volume/gpt/a.go", module + "/formats/volume/scheme", true},
		{"formats/volume/gpt/a.go", module + "/formats/volume/mbr", false},
		{"formats/volume/a.go", module + "/formats/volume/gpt", true},
		{"formats/volume/gpt/a.go", "github.com/diskfs/go-diskfs", false},
		{"formats/volume/gpt/a_test.go", "github.com/diskfs/go-diskfs", true},
		{"vfs/a.go", module + "/formats/block", true},
		{"vfs/a.go", module + "/formats", false},
		{"vfs/a.go", module + "/filesystems/ext4", false},
		{"filesystems/a.go", module + "/filesystems/xfs", true},
		{"filesystems/txn/a.go", module + "/formats/block", true},
		{"filesystems/txn/a.go", module + "/vfs", false},
		{"filesystems/ext4/a.go", module + "/filesystems/ext4/jbd2", true},
		{"filesystems/ext4/a.go", module + "/filesystems/txn", true},
		{"filesystems/ext4/a.go", module + "/filesystems/xfs", false},
		{"filesystems/ext4/a.go", module + "/filesystems", false},
		{"filesystems/ext4/a.go", module + "/formats/qcow2", false},
		{"filesystems/ext4/jbd2/a.go", module + "/filesystems/ext4/layout", true},
		{"filesystems/ext4/jbd2/a.go", module + "/filesystems/txn", true},
		{"filesystems/ext4/jbd2/a.go", module + "/filesystems/xfs/xlog", false},
		{"filesystems/txn/redo/a.go", module + "/filesystems/txn", true},
		{"filesystems/ext4/a.go", "github.com/dsoprea/go-ext4", false},
		{"filesystems/ext4/a_test.go", "github.com/dsoprea/go-ext4", true},
		{"filesystems/ext4/a_test.go", module + "/vfs/vfstest", true},
		{"filesystems/ext4/a_test.go", module + "/tests/images", true},
		{"filesystems/ext4/a_test.go", module + "/mount", false},
		{"mount/a.go", "github.com/hanwen/go-fuse/v2/fuse", true},
		{"mount/a.go", module + "/vfs", true},
		{"mount/a.go", module + "/daemon", false},
		{"mount/a.go", module + "/filesystems/ext4", false},
		{"daemon/a.go", "github.com/hanwen/go-fuse/v2/fuse", false},
		{"daemon/a.go", module + "/mount", true},
		{"daemon/inspect/a.go", module + "/vfs", true},
		{"daemon/inspect/a.go", module + "/daemon", false},
		{"daemon/inspect/a.go", module + "/mount", false},
		{"daemon/client/a.go", module + "/daemon", false},
		{"cmd/guestctl/a.go", module + "/daemon", true},
		{"cmd/guestctl/a.go", "github.com/diskfs/go-diskfs", true},
		{"cmd/guestctl/a.go", "github.com/hanwen/go-fuse/v2/fuse", false},
		{"cmd/guestctl/a.go", module + "/tests/images", false},
		{"tests/conformance/a_test.go", "github.com/hanwen/go-fuse/v2/posixtest", true},
		{"elsewhere/a.go", module + "/vfs", false},
	} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, path.Dir(c.file)), 0o755); err != nil {
			t.Fatal(err)
		}
		src := fmt.Sprintf("package a\n\nimport _ %q\n", c.imp)
		if err := os.WriteFile(filepath.Join(root, c.file), []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
		found, files, err := violations(root)
		if err != nil || files != 1 {
			t.Fatalf("%s: %d files, error %v", c.file, files, err)
		}
		if allowed := len(found) == 0; allowed != c.allowed {
			t.Errorf("%s importing %s: allowed is %v, want %v %v", c.file, c.imp, allowed, c.allowed, found)
		}
	}
}
