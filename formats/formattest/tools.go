package formattest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Tool is the path of a program, by name. A test that needs one which is not
// installed is skipped, or fails where CI=true.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// Do runs a program that must succeed, in dir, and gives what it printed.
func Do(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(Tool(t, name), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// Convert is the disk in the image at path as qemu-img reads it: the oracle
// for the formats that QEMU knows. args are further arguments, such as
// "-l", "snapshot.name=s1"; format is qemu's name of it.
func Convert(t testing.TB, path, format string, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "oracle.raw")
	all := append([]string{"convert", "-f", format, "-O", "raw"}, args...)
	Do(t, filepath.Dir(path), "qemu-img", append(all, path, out)...)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(out)
	return b
}
