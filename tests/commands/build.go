package commands

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
)

// binVariable holds the folder of the built programs, so that the processes of
// a test find them too.
const binVariable = "GUESTCTL_TEST_BIN"

// Main builds the programs, runs the tests and looks at what they left. It
// answers the exit status.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "guestctl-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv(binVariable, dir)
	before := left()
	status := m.Run()
	if races, _ := filepath.Glob(filepath.Join(dir, "race.*")); len(races) > 0 { // the pattern is well-formed
		for _, name := range races {
			text, _ := os.ReadFile(name)
			fmt.Fprintf(os.Stderr, "a program had a data race:\n%s\n", text)
		}
		status = 1
	}
	for what := range left() {
		if !before[what] {
			fmt.Fprintln(os.Stderr, "left behind:", what)
			status = 1
		}
	}
	return status
}

func build(dir string) error {
	// Ordinary users run the programs, and race reports of theirs land here.
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		return err
	}
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(run, images.Ordinary, images.Ordinary); err != nil {
			return err
		}
	}
	args := []string{"build", "-buildvcs=false", "-o", dir + "/"}
	cgo := "CGO_ENABLED=0"
	if Race {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	cmd := exec.Command("go", append(args, "github.com/guestctl/guestctl/cmd/...")...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return nil
}

// prefix begins the name of every folder that this process makes, and so tells
// its mounts from those of others.
func prefix() string { return fmt.Sprintf("guestctl-test-%d-", os.Getpid()) }

// left is what must not be more after the tests than before: mounts, records
// of mounts, daemons.
func left() map[string]bool {
	found := map[string]bool{}
	if table, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		for line := range strings.Lines(string(table)) {
			if strings.Contains(line, prefix()) {
				found["the mount "+strings.TrimSpace(line)] = true
			}
		}
	}
	for _, dir := range []string{"/run", os.Getenv(binVariable) + "/run"} {
		records, _ := filepath.Glob(dir + "/guestctl/mounts/*") // the pattern is well-formed
		for _, r := range records {
			if text, err := os.ReadFile(r); err == nil && strings.Contains(string(text), prefix()) {
				found["the record "+r] = true
			}
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/exe") // the pattern is well-formed
	for _, p := range procs {
		if exe, err := os.Readlink(p); err == nil && strings.HasPrefix(exe, os.Getenv(binVariable)+"/") && os.Getenv(binVariable) != "" {
			found["the process "+p+" of "+exe] = true
		}
	}
	return found
}

// Bin is the path of one of the programs: "guestmount".
func Bin(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv(binVariable)
	if dir == "" {
		t.Fatal("the package's TestMain does not call commands.Main")
	}
	path := filepath.Join(dir, name)
	if err := unix.Access(path, unix.X_OK); err != nil {
		t.Fatalf("there is no program %s: %v", name, err)
	}
	return path
}
