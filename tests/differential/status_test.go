package differential

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// status is a number of /proc/PID/status: KiB of "VmHWM".
func status(t *testing.T, pid int, field string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return number(t, strings.Fields(value)[0])
		}
	}
	t.Fatalf("no %s in /proc/%d/status", field, pid)
	return 0
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
