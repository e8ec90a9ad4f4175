package main

import (
	"os"
	"strings"
	"testing"
)

// Every guestmount command that the README shows is one that is understood.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(strings.TrimPrefix(line, "$ "), " #")
		argv := strings.Fields(line)
		if len(argv) < 3 || argv[0] != "guestmount" || strings.Contains(line, "guestunmount") {
			continue
		}
		seen++
		if _, err := parse(argv[1:]); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if seen < 6 {
		t.Errorf("only %d commands found", seen)
	}
}
