package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// What the README shows of the control socket is typed as it stands, with a
// socket and the demo guest of the test in the places of the reader's.
func TestReadmeControlSocket(t *testing.T) {
	images.NeedFUSE(t)
	images.NeedTool(t, "curl")
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	script := ""
	for block := range strings.SplitSeq(string(text), "```sh\n") {
		if code, _, _ := strings.Cut(block, "```"); strings.Contains(code, "curl") && strings.Contains(code, "--unix-socket") {
			script += code
		}
	}
	if script == "" {
		t.Fatal("the README says nothing of the control socket")
	}
	s := serve(t, commands.Self, nil)
	home := commands.Dir(t, commands.Self)
	image := filepath.Join(home, "debian.qcow2")
	if err := os.Rename(guest(t, commands.Self), image); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(home, "guest"), 0o755); err != nil {
		t.Fatal(err)
	}
	script = strings.NewReplacer("/run/guestctl/guestctl.sock", s.socket, "/vm/debian.qcow2", image, "curl -sS", "curl --fail-with-body -sS").Replace(script)
	cmd := commands.Command(t, commands.Self, "sh", "-c", "set -eu\n"+script)
	cmd.Dir = home
	cmd.Env = append(cmd.Env, "GUESTCTL_SOCKET="+s.socket, "PATH="+filepath.Dir(commands.Bin(t, "guestctl"))+":"+os.Getenv("PATH"))
	r := commands.Finish(t, cmd)
	if r.Status != 0 || r.Stderr != "" {
		t.Fatalf("%s\nstatus %d\n%s%s", script, r.Status, r.Stdout, r.Stderr)
	}
	for _, want := range []string{"PermitRootLogin no", `"path":"/etc/hostname"`, "PRETTY_NAME=", "./alice/notes.txt", `"kind":"job.ended"`, `guestctl_images{state="open"} 1`, `"schema":"guestctl.checksum/1"`, `"schema":"guestctl.match/1"`} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.Stdout)
		}
	}
	if list := s.images(t); len(list) != 0 {
		t.Errorf("left attached: %+v", list)
	}
}
