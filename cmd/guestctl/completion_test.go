package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// complete asks bash, with the completions loaded, for the words that fit.
func complete(t *testing.T, script string, words ...string) []string {
	t.Helper()
	var quotedWords []string
	for _, w := range words {
		quotedWords = append(quotedWords, quoted(w))
	}
	ask := script + "\nCOMP_WORDS=(" + strings.Join(quotedWords, " ") + "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _guestctl; printf '%s\\n' \"${COMPREPLY[@]}\""
	cmd := exec.Command("bash", "--norc", "-u", "-c", ask)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, out)
	}
	return strings.Fields(string(out))
}

func TestBashCompletion(t *testing.T) {
	images.NeedTool(t, "bash")
	script := must(t, "completion", "bash")
	var commands []string
	for _, c := range newApp(io.Discard, io.Discard).Commands {
		commands = append(commands, c.Name)
	}
	commands = append(commands, "help")
	if got := complete(t, script, "guestctl", ""); !slices.Equal(got, commands) {
		t.Errorf("commands: %q, want %q", got, commands)
	}
	for _, c := range []struct{ words, want []string }{
		{[]string{"guestctl", "che"}, []string{"checksum", "check"}},
		{[]string{"guestctl", "ls", "--rec"}, []string{"--recursive"}},
		{[]string{"guestctl", "-v", "df", "--ino"}, []string{"--inodes"}},
		{[]string{"guestctl", "checksum", "-t", "sha5"}, []string{"sha512"}},
		{[]string{"guestctl", "ls", "--format", ""}, []string{"raw", "qcow2"}},
		{[]string{"guestctl", "schema", "guestctl.fi"}, []string{"guestctl.file/1", "guestctl.filesystems/1", "guestctl.finding/1"}},
		{[]string{"guestctl", "completion", "f"}, []string{"fish"}},
		{[]string{"guestctl", "cat", "dis"}, nil}, // files are readline's
		{[]string{"guestctl", "none", "--"}, nil},
	} {
		if got := complete(t, script, c.words...); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.words, got, c.want)
		}
	}
}

// TestOtherShells has zsh and fish read theirs, where they are installed.
func TestOtherShells(t *testing.T) {
	for _, shell := range []string{"zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			text := must(t, "completion", shell)
			for _, c := range newApp(io.Discard, io.Discard).Commands {
				if !strings.Contains(text, c.Name) {
					t.Errorf("%s is not completed", c.Name)
				}
			}
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip(err) // no part of what a build needs
			}
			path := filepath.Join(t.TempDir(), "_guestctl")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(shell, "-n", path).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if shell == "fish" {
				out, err := exec.Command("fish", "-N", "-c", "source "+path+"; complete -C 'guestctl ls --rec'").CombinedOutput()
				if err != nil || !strings.HasPrefix(string(out), "--recursive") {
					t.Errorf("%v: %s", err, out)
				}
			}
		})
	}
}
