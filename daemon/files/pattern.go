package files

import (
	"bytes"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Pattern is what grep looks for in a line.
type Pattern struct {
	re *regexp.Regexp
	// need stands in every line that matches. Where exact is set a line
	// matches if and only if it holds it. Looking for bytes is many times
	// faster than running an expression.
	need  need
	exact bool
	// perLine says that the expression asks for the end of the text, so that
	// it cannot be run over several lines at once to find candidates.
	perLine bool
}

// A need is a string that every match holds.
type need struct {
	text []byte
	fold bool // in the text with its ASCII in lower case
}

// PatternOptions are the choices of ParsePattern.
type PatternOptions struct {
	Fixed bool // the patterns are strings
	Fold  bool // without regard to case
	Word  bool // matches end at the edges of words
	Line  bool // matches are whole lines
}

// ParsePattern reads expressions of package regexp (RE2's syntax): a line that
// matches one of them matches. An expression is never run across lines.
func ParsePattern(patterns []string, opt PatternOptions) (*Pattern, error) {
	var parts []string
	for _, p := range patterns {
		// As in grep, a pattern's lines are patterns.
		for line := range strings.SplitSeq(p, "\n") {
			if opt.Fixed {
				line = regexp.QuoteMeta(line)
			}
			if _, err := syntax.Parse(line, syntax.Perl); err != nil {
				return nil, fmt.Errorf("pattern %q: %w (the syntax is RE2's: https://github.com/google/re2/wiki/Syntax)", line, err)
			}
			parts = append(parts, "(?:"+line+")")
		}
	}
	expr := strings.Join(parts, "|")
	switch {
	case opt.Line:
		expr = "^(?:" + expr + ")$"
	case opt.Word:
		expr = `(?:^|\W)(?:` + expr + `)(?:\W|$)`
	}
	if opt.Fold {
		expr = "(?i)" + expr
	}
	re, err := regexp.Compile("(?m)" + expr)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	tree, err := syntax.Parse("(?m)"+expr, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	tree = tree.Simplify()
	p := &Pattern{re: re, need: required(tree), perLine: asksForText(tree)}
	p.exact = tree.Op == syntax.OpLiteral && !p.need.fold && string(p.need.text) == string(tree.Rune)
	return p, nil
}

func asksForText(re *syntax.Regexp) bool {
	return re.Op == syntax.OpBeginText || re.Op == syntax.OpEndText || slices.ContainsFunc(re.Sub, asksForText)
}

// required is the longest string that every match holds; empty where none is known.
func required(re *syntax.Regexp) need {
	switch re.Op {
	case syntax.OpLiteral:
		return literal(re.Rune, re.Flags&syntax.FoldCase != 0)
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		var best need
		for _, sub := range re.Sub {
			if n := required(sub); len(n.text) > len(best.text) {
				best = n
			}
		}
		return best
	}
	return need{}
}

// literal is the longest stretch of runes that stands in a file as it is, or,
// with fold, that does when the ASCII of both is in lower case. Left out are
// line breaks, U+FFFD, which also matches bytes that are no UTF-8, and with
// fold what is not ASCII or has another case that is not: k and s.
func literal(runes []rune, fold bool) need {
	var best, at []rune
	for _, r := range runes {
		if r == utf8.RuneError || r == '\n' || fold && (r >= 0x80 || strings.ContainsRune("kKsS", r)) {
			at = nil
			continue
		}
		if at = append(at, r); len(at) > len(best) {
			best = at
		}
	}
	if fold {
		return need{[]byte(strings.ToLower(string(best))), true}
	}
	return need{[]byte(string(best)), false}
}

// A lines is text in which lines are looked for.
type lines struct {
	p     *Pattern
	text  []byte
	where []byte // text, or text with its ASCII in lower case

	// Of nextOther: the next line that matches, found from before it.
	known      bool
	ok         bool
	start, end int
}

// in prepares text, whole lines of which the last may lack its line break.
func (p *Pattern) in(text []byte) lines {
	l := lines{p: p, text: text, where: text}
	if p.need.fold && len(p.need.text) > 0 {
		l.where = lowerASCII(text)
	}
	return l
}

func lowerASCII(text []byte) []byte {
	lower := make([]byte, len(text))
	for i, c := range text {
		if c-'A' < 26 {
			c |= 0x20
		}
		lower[i] = c
	}
	return lower
}

// next finds the next line at from, the start of a line, or behind it that
// matches: its start and its end, without the line break. ok is false where
// there is none.
func (l *lines) next(from int) (start, end int, ok bool) {
	p := l.p
	for from < len(l.text) {
		at := from
		switch {
		case len(p.need.text) > 0:
			i := bytes.Index(l.where[from:], p.need.text)
			if i < 0 {
				return 0, 0, false
			}
			at += i
		case !p.perLine:
			loc := p.re.FindIndex(l.text[from:])
			if loc == nil {
				return 0, 0, false
			}
			// The match may reach over lines, where \s or [^x] takes a line
			// break; whether its first line matches alone is asked below.
			at += loc[0]
		}
		if at == len(l.text) && l.text[at-1] == '\n' {
			return 0, 0, false // behind the last line break is no line
		}
		start = from + bytes.LastIndexByte(l.text[from:at], '\n') + 1
		end = len(l.text)
		if i := bytes.IndexByte(l.text[at:], '\n'); i >= 0 {
			end = at + i
		}
		if p.exact || p.re.Match(l.text[start:end]) {
			return start, end, true
		}
		from = end + 1
	}
	return 0, 0, false
}

// nextOther finds the next line at from or behind it that does not match: what
// stands between two that do.
func (l *lines) nextOther(from int) (start, end int, ok bool) {
	for from < len(l.text) {
		if !l.known || l.ok && l.start < from {
			l.start, l.end, l.ok = l.next(from)
			l.known = true
		}
		if !l.ok || l.start > from {
			if i := bytes.IndexByte(l.text[from:], '\n'); i >= 0 {
				return from, from + i, true
			}
			return from, len(l.text), true
		}
		from = l.end + 1
	}
	return 0, 0, false
}
