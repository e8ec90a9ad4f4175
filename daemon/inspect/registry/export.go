package registry

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/guestctl/guestctl/daemon/inspect/hive"
)

// ExportHeader is the first line of a .reg file, and the empty one after it.
const ExportHeader = "Windows Registry Editor Version 5.00\r\n\r\n"

// exportWidth is the length at which Windows breaks lines of bytes.
const exportWidth = 80

// ExportKey writes a key as .reg files have it: its path, its values, an empty
// line. Strings that Windows would not read back as they are stand as bytes.
func ExportKey(w io.Writer, path string, values []hive.Value) error {
	var b strings.Builder
	b.WriteString("[" + path + "]\r\n")
	for _, v := range values {
		name := "@"
		if v.Name != "" {
			name = quoted(v.Name)
		}
		name += "="
		b.WriteString(name)
		n, _ := v.Number()
		switch {
		case v.Type == hive.String && v.Plain() && printable(v.Text()):
			b.WriteString(quoted(v.Text()))
		case v.Type == hive.Dword && v.Plain():
			fmt.Fprintf(&b, "dword:%08x", n)
		case v.Type == hive.Binary:
			exportBytes(&b, "hex:", len(name), v.Data)
		default:
			exportBytes(&b, fmt.Sprintf("hex(%x):", uint32(v.Type)), len(name), v.Data)
		}
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func exportBytes(b *strings.Builder, prefix string, column int, data []byte) {
	b.WriteString(prefix)
	column += len(prefix)
	for i, c := range data {
		fmt.Fprintf(b, "%02x", c)
		if i == len(data)-1 {
			break
		}
		b.WriteByte(',')
		if column += 3; column > exportWidth-4 {
			b.WriteString("\\\r\n  ")
			column = 2
		}
	}
}

// quoted is a name or string in quotes.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// printable says whether a string can stand in a line.
func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r == unicode.ReplacementChar || unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}) < 0
}
