package ntfs

import (
	"context"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// maxNameUnits is how many UTF-16 units a name has at most.
const maxNameUnits = 255

// nameMax is the longest name in bytes: each unit of the first plane takes
// three, a pair of units four.
const nameMax = 3 * maxNameUnits

// appendName writes the UTF-16LE in b as UTF-8. An unpaired surrogate is kept
// in the three bytes that UTF-8's rule gives it, so that names stay distinct.
func appendName(dst, b []byte) []byte {
	for i := 0; i+1 < len(b); i += 2 {
		u := le.Uint16(b[i:])
		switch {
		case u < 0x80:
			dst = append(dst, byte(u))
		case utf16.IsSurrogate(rune(u)):
			if i+3 < len(b) {
				if r := utf16.DecodeRune(rune(u), rune(le.Uint16(b[i+2:]))); r != unicode.ReplacementChar {
					dst = utf8.AppendRune(dst, r)
					i += 2
					continue
				}
			}
			dst = append(dst, 0xE0|byte(u>>12), 0x80|byte(u>>6&0x3F), 0x80|byte(u&0x3F))
		default:
			dst = utf8.AppendRune(dst, rune(u))
		}
	}
	return dst
}

// decodeName is appendName as a string.
func decodeName(b []byte) string {
	var buf [nameMax]byte
	return string(appendName(buf[:0], b))
}

// encodeName writes name as UTF-16LE behind dst: decodeName turned back. It is
// false where name is no name that decodeName gives, or is too long.
func encodeName(dst []byte, name string) ([]byte, bool) {
	units := 0
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		switch {
		case r == utf8.RuneError && n <= 1:
			// Only a surrogate in its three bytes is allowed.
			if len(name) < 3 || name[0] != 0xED || name[1]&0xE0 != 0xA0 || name[2]&0xC0 != 0x80 {
				return nil, false
			}
			dst = le.AppendUint16(dst, 0xD000|uint16(name[1]&0x3F)<<6|uint16(name[2]&0x3F))
			n = 3
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			dst = le.AppendUint16(le.AppendUint16(dst, uint16(hi)), uint16(lo))
			units++
		default:
			dst = le.AppendUint16(dst, uint16(r))
		}
		if units++; units > maxNameUnits {
			return nil, false
		}
		name = name[n:]
	}
	return dst, true
}

// showable says whether UTF-16LE units can be a name on Linux: not empty, not
// "." or "..", and without NUL and slash.
func showable(b []byte) bool {
	dots := true
	for i := 0; i+1 < len(b); i += 2 {
		u := le.Uint16(b[i:])
		if u == 0 || u == '/' {
			return false
		}
		dots = dots && u == '.'
	}
	return len(b) > 0 && !(dots && len(b) <= 4)
}

// An upcaseTable is the volume's $UpCase: the upper case of each UTF-16 unit.
type upcaseTable [1 << 16]uint16

// upcase reads $UpCase, once.
func (fs *FileSystem) upcase(ctx context.Context) (*upcaseTable, error) {
	if t := fs.upcaseTable.Load(); t != nil {
		return t, nil
	}
	f, err := fs.openRecord(ctx, fileUpCase)
	if err != nil {
		return nil, err
	}
	s, err := f.mustFind(ctx, typeData, nil)
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(s.size, 2<<16))
	if err := s.readFull(ctx, b, 0); err != nil {
		return nil, err
	}
	t := new(upcaseTable)
	for i := range t {
		t[i] = uint16(i)
	}
	for i := 0; i+1 < len(b); i += 2 {
		t[i/2] = le.Uint16(b[i:])
	}
	// A table that maps ASCII elsewhere is no table.
	for i := range uint16(128) {
		want := i
		if i >= 'a' && i <= 'z' {
			want = i - 'a' + 'A'
		}
		if t[i] != want {
			return nil, ondisk.Corrupt("NTFS $UpCase", fs.recordOffset(fileUpCase), "%#x has the upper case %#x", i, t[i])
		}
	}
	fs.upcaseTable.Store(t)
	return t, nil
}

// compare orders two names in UTF-16LE as a directory does, whatever their
// case: by the upper case of their units, then by length.
func (t *upcaseTable) compare(a, b []byte) int {
	for i := 0; i+1 < min(len(a), len(b)); i += 2 {
		x, y := le.Uint16(a[i:]), le.Uint16(b[i:])
		if x == y {
			continue
		}
		if x, y = t[x], t[y]; x != y {
			if x < y {
				return -1
			}
			return 1
		}
	}
	return len(a) - len(b)
}
