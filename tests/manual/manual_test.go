package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

func TestMain(m *testing.M) { os.Exit(commands.Main(m)) }

// Every option and setting has its place, and groff finds nothing wrong.
func TestPages(t *testing.T) {
	out := t.TempDir()
	if err := write(filepath.Dir(commands.Bin(t, "guestctl")), out); err != nil {
		t.Fatal(err)
	}
	wants := map[string][]string{
		"guestmount.1":     strings.Fields(commands.Must(t, commands.Self, "guestmount", "--long-options")),
		"guestunmount.1":   {"--retry=N", "--no-retry", "-q, --quiet", "still in use"},
		"guestctl.1":       {"guestctl ls [options] IMAGE[:PATH]...", "--human-readable", "guestctl mount", "GUESTCTL_SOCKET"},
		"guestctld.8":      {"--check-config", "--sandbox=MODE", "--verify-audit=FILE", "SIGHUP"},
		"guestctld.toml.5": {"idle_after", `"5m"`, "worker_bytes", "Takes a restart."},
		"guestctl.bash":    {"complete"}, "_guestctl": {"#compdef guestctl"}, "guestctl.fish": {"complete"},
	}
	for name, list := range wants {
		path := filepath.Join(out, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		plain := strings.NewReplacer(`\-`, "-", `\e`, `\`).Replace(string(text))
		for _, want := range list {
			if want == "--live" { // an error, with libguestfs too
				continue
			}
			if !strings.Contains(plain, want) {
				t.Errorf("%s does not speak of %q", name, want)
			}
		}
		if ext := filepath.Ext(name); len(ext) == 2 && ext[1] < 'a' {
			images.NeedTool(t, "groff")
			said, err := exec.Command("groff", "-man", "-ww", "-z", "-Tutf8", path).CombinedOutput()
			if err != nil || len(said) > 0 {
				t.Errorf("groff says of %s: %v %s", name, err, said)
			}
		}
	}
}
