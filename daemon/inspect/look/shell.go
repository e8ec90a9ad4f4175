package look

import (
	"strconv"
	"strings"
)

// A Pair is KEY=value of a file that a shell could read: os-release(5),
// lsb-release, the files of /etc/sysconfig and /etc/default, rc.conf(5).
type Pair struct {
	Key   string
	Value string // unquoted
	Line  int    // from 1
}

// maxPairs bounds the pairs that are taken of one file.
const maxPairs = 2000

// Pairs are those of the lines; what is no assignment is left out.
func Pairs(lines []string) []Pair {
	var pairs []Pair
	for i, l := range lines {
		l = strings.TrimPrefix(strings.TrimSpace(l), "export ")
		key, value, ok := strings.Cut(l, "=")
		if !ok || strings.HasPrefix(l, "#") || len(pairs) == maxPairs {
			continue
		}
		pairs = append(pairs, Pair{strings.TrimSpace(key), Unquote(strings.TrimSpace(value)), i + 1})
	}
	return pairs
}

// Unquote takes the quotes off a value as a shell would: os-release(5) allows
// single and double ones, and a backslash before " $ ` and itself in the
// latter. What follows the closing quote, as a comment, is left out.
func Unquote(s string) string {
	if s == "" || s[0] != '\'' && s[0] != '"' {
		if i := strings.Index(s, " #"); i >= 0 {
			s = strings.TrimSpace(s[:i])
		}
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String()
		case s[0] == '"' && s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"$`\\", s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return s // no end
}

// At is the source of a fact in a line of a file.
func At(file string, line int) string { return Clean(file) + ":" + strconv.Itoa(line) }
