package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// What the README shows first is typed as it stands, with the demo guest in the place of the reader's.
func TestReadme(t *testing.T) {
	images.NeedFUSE(t)
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	home := commands.Dir(t, commands.Self)
	if err := os.Mkdir(filepath.Join(home, "guest"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(guest(t, commands.Self), filepath.Join(home, "debian.qcow2")); err != nil {
		t.Fatal(err)
	}
	script := "set -eu\n"
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			script += command
		}
	}
	if strings.Count(script, "\n") < 7 {
		t.Fatalf("the README shows only\n%s", script)
	}
	cmd := commands.Command(t, commands.Self, "sh", "-c", script)
	cmd.Dir = home
	cmd.Env = append(cmd.Env, "HOME="+home, "PATH="+filepath.Dir(commands.Bin(t, "guestctl"))+":"+os.Getenv("PATH"))
	r := commands.Finish(t, cmd)
	if r.Status != 0 {
		t.Fatalf("%s\nstatus %d\n%s%s", script, r.Status, r.Stdout, r.Stderr)
	}
	for _, want := range []string{"PermitRootLogin no", "demo-root", `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"`} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("%q lacks %q", r.Stdout, want)
		}
	}
	if got := commands.Must(t, commands.Self, "tar", "-tf", filepath.Join(home, "home.tar")); !strings.Contains(got, "alice/notes.txt\n") {
		t.Errorf("home.tar holds %q", got)
	}
}
