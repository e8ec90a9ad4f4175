package appliance

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"testing"
)

// runSelf runs this test binary again, expects it to fail, and answers what it said.
func runSelf(t *testing.T, env string, args ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), env)
	said, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it succeeded: %s", said)
	}
	return string(said)
}

// isZero says whether nothing was written to $OUT.
func isZero(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, 4096)
	if _, err := io.ReadFull(f, head); err != nil {
		return false, err
	}
	return bytes.Equal(head, make([]byte, len(head))), nil
}
