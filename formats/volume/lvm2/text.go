package lvm2

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a text. Real ones nest four deep.
const (
	maxDepth  = 16
	maxValues = 1 << 20 // of all lists and keys
)

// A section is a named set of values and sections of the metadata text, in
// their order.
type section struct {
	name   string
	values map[string]value
	parts  []*section
}

// A value is a number, a string, or a list of both.
type value struct {
	list   []value // where isList
	text   string
	number int64
	isList bool
	isText bool
}

// parseText reads LVM's configuration syntax, as far as metadata uses it:
// NAME { ... }, NAME = VALUE, # comments.
func parseText(text string) (*section, error) {
	p := &parser{text: text}
	root := &section{values: map[string]value{}}
	if err := p.section(root, 0); err != nil {
		return nil, fmt.Errorf("line %d: %w", 1+strings.Count(text[:p.at], "\n"), err)
	}
	return root, nil
}

type parser struct {
	text  string
	at    int
	count int
}

// space skips blanks and comments.
func (p *parser) space() {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '#':
			if n := strings.IndexByte(p.text[p.at:], '\n'); n >= 0 {
				p.at += n
			} else {
				p.at = len(p.text)
			}
		case c <= ' ' || c == ';':
			p.at++
		default:
			return
		}
	}
}

// next is the next byte that is no blank; 0 at the end.
func (p *parser) next() byte {
	p.space()
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-+./!&:@", c) >= 0
}

func (p *parser) name() string {
	from := p.at
	for p.at < len(p.text) && isName(p.text[p.at]) {
		p.at++
	}
	return p.text[from:p.at]
}

func (p *parser) section(s *section, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("sections nest deeper than %d", maxDepth)
	}
	for {
		c := p.next()
		if c == 0 && depth == 0 {
			return nil
		}
		if c == '}' && depth > 0 {
			p.at++
			return nil
		}
		name := p.name()
		if p.count++; name == "" || p.count > maxValues {
			return fmt.Errorf("no name but %q", p.text[p.at:min(p.at+1, len(p.text))])
		}
		switch p.next() {
		case '{':
			p.at++
			part := &section{name: name, values: map[string]value{}}
			if err := p.section(part, depth+1); err != nil {
				return err
			}
			s.parts = append(s.parts, part)
		case '=':
			p.at++
			v, err := p.value(0)
			if err != nil {
				return err
			}
			s.values[name] = v
		default:
			return fmt.Errorf("%.40q is followed by neither = nor {", name)
		}
	}
}

func (p *parser) value(depth int) (value, error) {
	if p.count++; p.count > maxValues || depth > 1 {
		return value{}, fmt.Errorf("a list too long or deep")
	}
	switch c := p.next(); c {
	case '[':
		p.at++
		v := value{isList: true}
		for {
			switch p.next() {
			case ']':
				p.at++
				return v, nil
			case ',':
				p.at++
				continue
			}
			e, err := p.value(depth + 1)
			if err != nil {
				return value{}, err
			}
			v.list = append(v.list, e)
		}
	case '"':
		return p.quoted()
	default:
		word := p.name()
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			if _, ferr := strconv.ParseFloat(word, 64); ferr != nil {
				return value{}, fmt.Errorf("%.40q is no value", word)
			}
		}
		return value{number: n}, nil
	}
}

// quoted reads a string, in which \ takes the next byte as it is.
func (p *parser) quoted() (value, error) {
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			return value{text: b.String(), isText: true}, nil
		case '\\':
			if p.at++; p.at < len(p.text) {
				b.WriteByte(p.text[p.at])
			}
		default:
			b.WriteByte(c)
		}
	}
	return value{}, fmt.Errorf("a string without an end")
}

// part is the section of that name; an empty one where there is none.
func (s *section) part(name string) *section {
	for _, p := range s.parts {
		if p.name == name {
			return p
		}
	}
	return &section{name: name}
}

// text is the string of that name; "" where there is none.
func (s *section) text(name string) string { return s.values[name].text }

// number is the number of that name; 0 where there is none.
func (s *section) number(name string) int64 { return s.values[name].number }

// texts are the strings of a list, or the one string.
func (s *section) texts(name string) []string {
	v := s.values[name]
	if v.isText {
		return []string{v.text}
	}
	var list []string
	for _, e := range v.list {
		if e.isText {
			list = append(list, e.text)
		}
	}
	return list
}

// has says whether a list of strings has one.
func (s *section) has(name, text string) bool {
	for _, t := range s.texts(name) {
		if t == text {
			return true
		}
	}
	return false
}
