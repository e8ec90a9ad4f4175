package inspect

import (
	"context"
	"strings"

	"github.com/guestctl/guestctl/vfs"
)

// maxName bounds the name of a system, in bytes.
const maxName = 256

// PrettyName is what the system at the root of ns calls itself, by os-release(5):
// PRETTY_NAME, else NAME and VERSION; "" where it does not say.
func PrettyName(ctx context.Context, ns *vfs.Namespace) string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		b, err := readFile(ctx, ns, path)
		if err != nil {
			continue
		}
		if name := prettyName(string(b)); name != "" {
			return name
		}
	}
	return ""
}

func prettyName(osRelease string) string {
	var pretty, name, version string
	for line := range strings.Lines(osRelease) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		switch key {
		case "PRETTY_NAME":
			pretty = unquote(value)
		case "NAME":
			name = unquote(value)
		case "VERSION":
			version = unquote(value)
		}
	}
	if pretty == "" {
		pretty = strings.TrimSpace(name + " " + version)
	}
	if len(pretty) > maxName {
		pretty = strings.ToValidUTF8(pretty[:maxName], "")
	}
	return pretty
}

// unquote takes the quotes off a value as a shell would: os-release(5) allows
// single and double ones, and a backslash before " $ ` and itself in the latter.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	return strings.NewReplacer(`\"`, `"`, `\$`, `$`, "\\`", "`", `\\`, `\`).Replace(s[1 : len(s)-1])
}
