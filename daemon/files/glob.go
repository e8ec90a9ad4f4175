package files

import (
	"fmt"
	"strings"
)

// A Glob is a pattern of names as find(1) has it: * any bytes, slashes too, ? one
// byte or one character of UTF-8, [a-z] and [!a-z] one of a class, \ takes the next character as it
// is. It is fnmatch(3) without flags.
type Glob struct {
	tokens []globToken
	fold   bool
}

type globToken struct {
	kind    byte // 'c' a character, '?', '*', '['
	char    rune
	ranges  [][2]rune
	negated bool
}

// ParseGlob reads a pattern; with fold it matches without regard to case.
func ParseGlob(pattern string, fold bool) (*Glob, error) {
	g := &Glob{fold: fold}
	p := characters(pattern, fold)
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '*':
			if n := len(g.tokens); n == 0 || g.tokens[n-1].kind != '*' {
				g.tokens = append(g.tokens, globToken{kind: '*'})
			}
		case '?':
			g.tokens = append(g.tokens, globToken{kind: '?'})
		case '\\':
			if i++; i == len(p) {
				return nil, fmt.Errorf("pattern %q ends with a backslash", pattern)
			}
			g.tokens = append(g.tokens, globToken{kind: 'c', char: p[i]})
		case '[':
			t, end, err := parseClass(p, i+1)
			if err != nil {
				return nil, fmt.Errorf("pattern %q: %w", pattern, err)
			}
			g.tokens = append(g.tokens, t)
			i = end
		default:
			g.tokens = append(g.tokens, globToken{kind: 'c', char: p[i]})
		}
	}
	return g, nil
}

// parseClass reads what follows a [; end is the place of the ].
func parseClass(p []rune, i int) (t globToken, end int, err error) {
	t.kind = '['
	if i < len(p) && (p[i] == '!' || p[i] == '^') {
		t.negated = true
		i++
	}
	for first := true; i < len(p); first = false {
		if p[i] == ']' && !first {
			return t, i, nil
		}
		low, next := classChar(p, i)
		high := low
		if next+1 < len(p) && p[next] == '-' && p[next+1] != ']' {
			high, next = classChar(p, next+1)
		}
		t.ranges = append(t.ranges, [2]rune{low, high})
		i = next
	}
	return t, 0, fmt.Errorf("a [ without its ]")
}

func classChar(p []rune, i int) (rune, int) {
	if p[i] == '\\' && i+1 < len(p) {
		i++
	}
	return p[i], i + 1
}

// characters are those of s; a byte that is no UTF-8 is one beyond Unicode, so
// that it equals itself alone.
func characters(s string, fold bool) []rune {
	if fold {
		s = strings.ToLower(s)
	}
	list := make([]rune, 0, len(s))
	for i, r := range s {
		if r == '\uFFFD' && (len(s)-i < 3 || s[i:i+3] != "\uFFFD") {
			r = 0x110000 + rune(s[i])
		}
		list = append(list, r)
	}
	return list
}

// Match says whether the whole name is of the pattern. It takes at most the
// product of their lengths.
func (g *Glob) Match(name string) bool {
	s := characters(name, g.fold)
	ti, si := 0, 0
	star, mark := -1, 0 // the last *, and what it has taken so far
	for si < len(s) {
		switch {
		case ti < len(g.tokens) && g.tokens[ti].kind == '*':
			star, mark = ti, si
			ti++
		case ti < len(g.tokens) && g.tokens[ti].matches(s[si]):
			ti, si = ti+1, si+1
		case star >= 0:
			mark++
			ti, si = star+1, mark
		default:
			return false
		}
	}
	for ti < len(g.tokens) && g.tokens[ti].kind == '*' {
		ti++
	}
	return ti == len(g.tokens)
}

func (t *globToken) matches(r rune) bool {
	switch t.kind {
	case '?':
		return true
	case 'c':
		return t.char == r
	case '[':
		in := false
		for _, c := range t.ranges {
			in = in || c[0] <= r && r <= c[1]
		}
		return in != t.negated
	}
	return false
}
