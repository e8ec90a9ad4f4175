package look

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxFact bounds a cleaned string, in bytes.
const MaxFact = 1024

// Clean makes a string of the guest a fact: one line of valid UTF-8 without
// control, format or line-breaking characters, each of which becomes U+FFFD,
// without space around it, of at most MaxFact bytes.
func Clean(s string) string { return clean(s, MaxFact, false) }

// CleanText is Clean of a text: line feeds and tabs stay, and it may have max
// bytes.
func CleanText(s string, max int) string { return clean(s, max, true) }

func clean(s string, max int, lines bool) string {
	s = strings.TrimSpace(s)
	if len(s) > max {
		s = s[:max]
		for i := 0; i < utf8.UTFMax && len(s) > 0 && !utf8.RuneStart(s[len(s)-1]); i++ {
			s = s[:len(s)-1]
		}
		if len(s) > 0 && s[len(s)-1] >= utf8.RuneSelf {
			s = s[:len(s)-1] // the start of a rune that was cut
		}
	}
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case lines && (r == '\n' || r == '\t'):
			return r
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029', r == 0xfffe, r == 0xffff:
			return utf8.RuneError
		}
		return r
	}, s)
}
