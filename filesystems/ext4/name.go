package ext4

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// matchMode is how the names of a directory are compared.
type matchMode uint8

const (
	matchExact  matchMode = iota
	matchFolded           // casefold: by Unicode case folding
	matchNoKey            // encrypted: the name is the form in which it is shown
)

// matcher compares the names of one directory with the one that is looked up.
type matcher struct {
	mode   matchMode
	dots   bool   // the name is . or ..
	name   string // as given
	folded string // matchFolded
	noKey  noKey  // matchNoKey
	hidden func(name string) bool
}

// nameMatch makes the matcher for a name in the directory.
func (n *inode) nameMatch(name string) *matcher {
	m := &matcher{name: name, dots: name == "." || name == ".."}
	switch {
	case m.dots:
	case n.flag(flagEncrypt):
		m.mode = matchNoKey
		m.noKey = parseNoKey(name)
	case n.flag(flagCasefold) && n.fs.sb.hasIncompat(incompatCasefold):
		// A name that is no UTF-8 is compared byte by byte. In strict mode no name is such.
		if folded, ok := fold(name); ok {
			m.mode, m.folded = matchFolded, folded
		}
	}
	return m
}

// matches says whether a name in the directory is the one that is looked up.
func (m *matcher) matches(name []byte) bool {
	switch m.mode {
	case matchExact:
		return string(name) == m.name
	case matchNoKey:
		return m.noKey.matches(name)
	}
	if string(name) == m.name {
		return true
	}
	folded, ok := fold(string(name))
	return ok && folded == m.folded
}

// hash is the hash under which the name stands in an index.
func (m *matcher) hash(version uint8, seed [4]uint32) (uint32, bool) {
	name := m.name
	switch m.mode {
	case matchFolded:
		name = m.folded
	case matchNoKey:
		if !m.noKey.whole {
			return m.noKey.hash, m.noKey.hash != 0
		}
		name = string(m.noKey.bytes)
	}
	hash, _, ok := dirHash(version, seed, []byte(name))
	return hash, ok
}

// fold is the form of a name under which casefold compares it: canonically
// decomposed, its case folded, without the code points that are ignorable by
// default. ok is false for what is no UTF-8. The tables are of Unicode 15 or
// later, the kernel's of 12.1; they differ in characters new since then only,
// and a miss by the index is followed by a walk through all names.
func fold(name string) (folded string, ok bool) {
	ascii := true
	for i := 0; i < len(name); i++ {
		if name[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		b := []byte(name)
		for i, c := range b {
			if 'A' <= c && c <= 'Z' {
				b[i] = c + ('a' - 'A')
			}
		}
		return string(b), true
	}
	if !utf8.ValidString(name) {
		return "", false
	}
	visible := make([]rune, 0, len(name))
	for _, r := range norm.NFD.String(cases.Fold().String(norm.NFD.String(name))) {
		if !ignorable(r) {
			visible = append(visible, r)
		}
	}
	return norm.NFD.String(string(visible)), true
}

// ignorable is the derived property Default_Ignorable_Code_Point.
func ignorable(r rune) bool {
	if r < 0xAD {
		return false
	}
	if unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Variation_Selector, r) {
		return true
	}
	return unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.White_Space, r) && (r < 0xFFF9 || r > 0xFFFB) &&
		(r < 0x13430 || r > 0x13440) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}
