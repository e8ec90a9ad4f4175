package network

import (
	"fmt"
	"strings"
)

// maxDepth bounds how deep a YAML file goes.
const maxDepth = 32

// A yaml is a node of a YAML file: a scalar, a list or a mapping.
type yaml struct {
	text string
	list []yaml
	keys []string // of a mapping, in order
	vals []yaml
	line int
}

// get is the value of a key, an empty node where there is none.
func (y yaml) get(path ...string) yaml {
	for _, key := range path {
		next := yaml{}
		for i, k := range y.keys {
			if k == key {
				next = y.vals[i]
			}
		}
		y = next
	}
	return y
}

// texts are the scalars of a list; of mappings in it the keys. A scalar is a list
// of one.
func (y yaml) texts() []string {
	if y.text != "" {
		return []string{y.text}
	}
	var list []string
	for _, e := range y.list {
		if e.text != "" {
			list = append(list, e.text)
		}
		list = append(list, e.keys...)
	}
	return list
}

// A yamlLine is a line without its comment and indentation.
type yamlLine struct {
	indent, line int
	text         string
}

// parseYAML reads the part of YAML that configuration files have: mappings and
// lists by indentation, lists and mappings in brackets on one line, scalars plain
// or in quotes. What is beyond that is an error that names it.
func parseYAML(lines []string) (yaml, error) {
	var list []yamlLine
	for i, s := range lines {
		text := strings.TrimLeft(s, " ")
		indent := len(s) - len(text)
		text = strings.TrimRight(uncomment(text), " \t\r")
		if text == "" || indent == 0 && (text == "---" || text == "...") {
			continue
		}
		if text[0] == '\t' {
			return yaml{}, fmt.Errorf("line %d: it is indented with a tab", i+1)
		}
		list = append(list, yamlLine{indent, i + 1, text})
	}
	if len(list) == 0 {
		return yaml{}, nil
	}
	y, rest, err := block(list, list[0].indent, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("line %d: its indentation fits nothing above", rest[0].line)
	}
	return y, err
}

// uncomment cuts a comment off: a # at the start or after a space, out of quotes.
func uncomment(s string) string {
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch {
		case quote != 0:
			if s[i] == quote {
				quote = 0
			}
		case (s[i] == '"' || s[i] == '\'') && (i == 0 || strings.IndexByte(" [{,:-", s[i-1]) >= 0):
			quote = s[i]
		case s[i] == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t'):
			return s[:i]
		}
	}
	return s
}

// block reads the lines with one indentation, and what is below them.
func block(lines []yamlLine, indent, depth int) (y yaml, rest []yamlLine, err error) {
	if depth > maxDepth {
		return y, nil, fmt.Errorf("line %d: it is nested deeper than %d levels", lines[0].line, maxDepth)
	}
	y.line = lines[0].line
	// A list may stand under its key without more indentation, so that it ends at
	// the next key.
	items := isItem(lines[0].text)
	for len(lines) > 0 && lines[0].indent == indent && isItem(lines[0].text) == items {
		l := lines[0]
		if items {
			item := strings.TrimLeft(l.text[1:], " ")
			inner := l.indent + len(l.text) - len(item)
			var e yaml
			switch {
			case item == "" && len(lines) > 1 && lines[1].indent > indent:
				e, lines, err = block(lines[1:], lines[1].indent, depth+1)
			case isPair(item) || strings.HasPrefix(item, "- "):
				lines[0] = yamlLine{inner, l.line, item}
				e, lines, err = block(lines, inner, depth+1)
			default:
				e, err = scalar(item, l.line, depth)
				lines = lines[1:]
			}
			if err != nil {
				return y, nil, err
			}
			y.list = append(y.list, e)
			continue
		}
		key, value, ok := pair(l.text)
		if !ok {
			return y, nil, fmt.Errorf("line %d: it is neither a key nor an item of a list", l.line)
		}
		lines = lines[1:]
		var v yaml
		switch {
		case value != "":
			v, err = scalar(value, l.line, depth)
		case len(lines) > 0 && (lines[0].indent > indent || lines[0].indent == indent && isItem(lines[0].text)):
			v, lines, err = block(lines, lines[0].indent, depth+1)
		}
		if err != nil {
			return y, nil, err
		}
		v.line = l.line
		y.keys, y.vals = append(y.keys, key), append(y.vals, v)
	}
	return y, lines, nil
}

// isItem says whether a line is one of a list.
func isItem(s string) bool { return s == "-" || strings.HasPrefix(s, "- ") }

// isPair says whether a text starts with a key.
func isPair(s string) bool { _, _, ok := pair(s); return ok }

// pair splits "key: value".
func pair(s string) (key, value string, ok bool) {
	if s == "" || strings.IndexByte("[{&*!|>%@`", s[0]) >= 0 {
		return "", "", false
	}
	if s[0] == '"' || s[0] == '\'' {
		end := strings.IndexByte(s[1:], s[0])
		if end < 0 || !strings.HasPrefix(s[end+2:], ":") {
			return "", "", false
		}
		return s[1 : end+1], strings.TrimSpace(s[end+3:]), true
	}
	if before, after, found := strings.Cut(s, ": "); found {
		return before, strings.TrimSpace(after), true
	}
	if before, found := strings.CutSuffix(s, ":"); found {
		return before, "", true
	}
	return "", "", false
}

// scalar reads what stands on one line.
func scalar(s string, line, depth int) (yaml, error) {
	y := yaml{line: line}
	switch {
	case s == "":
	case depth > maxDepth:
		return y, fmt.Errorf("line %d: it is nested deeper than %d levels", line, maxDepth)
	case s[0] == '[' || s[0] == '{':
		return flow(s, line, depth)
	case s[0] == '"' || s[0] == '\'':
		if len(s) < 2 || s[len(s)-1] != s[0] {
			return y, fmt.Errorf("line %d: a text in quotes that goes on", line)
		}
		y.text = s[1 : len(s)-1]
	case strings.IndexByte("&*!|>%@`", s[0]) >= 0:
		return y, fmt.Errorf("line %d: YAML's %q is not read", line, s[:1])
	default:
		y.text = s
	}
	return y, nil
}

// flow reads a list or mapping in brackets.
func flow(s string, line, depth int) (yaml, error) {
	y := yaml{line: line}
	end := map[byte]byte{'[': ']', '{': '}'}[s[0]]
	if s[len(s)-1] != end {
		return y, fmt.Errorf("line %d: brackets that are closed on another line are not read", line)
	}
	for _, item := range split(s[1 : len(s)-1]) {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if s[0] == '{' {
			key, value, ok := pair(item)
			if !ok {
				return y, fmt.Errorf("line %d: %.20q is no key and value", line, item)
			}
			v := yaml{line: line}
			if value != "" {
				var err error
				if v, err = scalar(value, line, depth+1); err != nil {
					return y, err
				}
			}
			y.keys, y.vals = append(y.keys, key), append(y.vals, v)
			continue
		}
		e, err := scalar(item, line, depth+1)
		if err != nil {
			return y, err
		}
		y.list = append(y.list, e)
	}
	return y, nil
}

// split cuts at the commas that are in no brackets or quotes.
func split(s string) []string {
	var parts []string
	depth, start, quote := 0, 0, byte(0)
	for i := 0; i < len(s); i++ {
		switch {
		case quote != 0:
			if s[i] == quote {
				quote = 0
			}
		case s[i] == '"' || s[i] == '\'':
			quote = s[i]
		case s[i] == '[' || s[i] == '{':
			depth++
		case s[i] == ']' || s[i] == '}':
			depth--
		case s[i] == ',' && depth == 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
