package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/guestctl/guestctl/cmd/guestctl/demo"
)

// TestMain lets the scripts run guestctl as the program that it is.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"guestctl": main})
}

// TestScripts runs testdata/script: of each command its help, what it does, and
// each of its errors with text and exit status. Every script finds the demo
// guest as demo.img, and with a damaged partition table as damaged.img.
func TestScripts(t *testing.T) {
	dir := t.TempDir()
	image, damaged := filepath.Join(dir, "demo.img"), filepath.Join(dir, "damaged.img")
	if err := demo.Write(image); err != nil {
		t.Fatal(err)
	}
	b := mustRead(t, image)
	b[512+16] ^= 1 // the checksum of the GPT's header
	if err := os.WriteFile(damaged, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range newApp(io.Discard, io.Discard).Commands {
		if _, err := os.Stat(filepath.Join("testdata/script", c.Name+".txtar")); err != nil && c.Name != "help" {
			t.Errorf("%s has no script: %v", c.Name, err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			return errors.Join(os.Symlink(image, filepath.Join(env.WorkDir, "demo.img")), os.Symlink(damaged, filepath.Join(env.WorkDir, "damaged.img")))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits is exec for a program that ends with a status: exits 2 guestctl ls.
func exits(ts *testscript.TestScript, neg bool, argv []string) {
	if neg || len(argv) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARGUMENT]...")
	}
	want, err := strconv.Atoi(argv[0])
	ts.Check(err)
	err = ts.Exec(argv[1], argv[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}
