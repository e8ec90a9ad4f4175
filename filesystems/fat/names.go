package fat

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// A codePage decodes short names.
type codePage struct {
	name string // as codepage= takes it
	enc  encoding.Encoding
}

// codePages are those that are known; the first is the default.
func codePages() []codePage {
	return []codePage{
		{"437", charmap.CodePage437}, {"850", charmap.CodePage850}, {"852", charmap.CodePage852},
		{"855", charmap.CodePage855}, {"858", charmap.CodePage858}, {"860", charmap.CodePage860},
		{"862", charmap.CodePage862}, {"863", charmap.CodePage863}, {"865", charmap.CodePage865},
		{"866", charmap.CodePage866}, {"874", charmap.Windows874}, {"1250", charmap.Windows1250},
		{"1251", charmap.Windows1251}, {"1252", charmap.Windows1252},
		{"932", japanese.ShiftJIS}, {"936", simplifiedchinese.GBK}, {"949", korean.EUCKR}, {"950", traditionalchinese.Big5},
	}
}

// decode never fails: what the code page does not know is U+FFFD.
func (c codePage) decode(b []byte) string {
	ascii := true
	for _, ch := range b {
		ascii = ascii && ch < 0x80
	}
	if ascii {
		return string(b)
	}
	out, err := c.enc.NewDecoder().Bytes(b)
	if err != nil {
		return string(unicode.ReplacementChar)
	}
	return string(out)
}

// shortName is the 8.3 name of e in the case its NTRes bits say, as Linux and
// Windows show it. The name of a deleted or nameless entry is "".
func (c codePage) shortName(e shortEntry) string {
	raw := append([]byte(nil), e.name()...)
	if raw[0] == entryKanjiE5 {
		raw[0] = entryFree
	}
	base, ext := c.decode(trimSpaces(raw[:8])), c.decode(trimSpaces(raw[8:]))
	if e.ntRes()&ntLowerBase != 0 {
		base = lowerName(base)
	}
	if e.ntRes()&ntLowerExt != 0 {
		ext = lowerName(ext)
	}
	if base == "" || ext == "" {
		return base
	}
	return base + "." + ext
}

func lowerName(s string) string { return strings.Map(unicode.ToLower, s) }

// shortChecksum is the checksum of an 8.3 name that its long entries carry
// (fatgen, "Checksum").
func shortChecksum(name []byte) (sum uint8) {
	for _, b := range name {
		sum = sum>>1 | sum<<7
		sum += b
	}
	return sum
}

// decodeUnits writes UTF-16 as UTF-8. An unpaired surrogate is kept in the
// three bytes that UTF-8's rule gives it, so that names stay distinct.
func decodeUnits(units []uint16) string {
	out := make([]byte, 0, len(units)+16)
	for i := 0; i < len(units); i++ {
		u := units[i]
		switch {
		case u < 0x80:
			out = append(out, byte(u))
		case utf16.IsSurrogate(rune(u)):
			if i+1 < len(units) {
				if r := utf16.DecodeRune(rune(u), rune(units[i+1])); r != unicode.ReplacementChar {
					out = utf8.AppendRune(out, r)
					i++
					continue
				}
			}
			out = append(out, 0xE0|byte(u>>12), 0x80|byte(u>>6&0x3F), 0x80|byte(u&0x3F))
		default:
			out = utf8.AppendRune(out, rune(u))
		}
	}
	return string(out)
}

// encodeUnits is decodeUnits turned back; false where name is no name that
// decodeUnits gives.
func encodeUnits(name string) ([]uint16, bool) {
	units := make([]uint16, 0, len(name))
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		if r == utf8.RuneError && n <= 1 {
			// Only a surrogate in its three bytes is allowed.
			if len(name) < 3 || name[0] != 0xED || name[1]&0xE0 != 0xA0 || name[2]&0xC0 != 0x80 {
				return nil, false
			}
			units = append(units, 0xD000|uint16(name[1]&0x3F)<<6|uint16(name[2]&0x3F))
			name = name[3:]
			continue
		}
		units = utf16.AppendRune(units, r)
		name = name[n:]
	}
	return units, true
}

// foldSimple up-cases each UTF-16 unit by itself, as FAT drivers do.
func foldSimple(dst, name []uint16) []uint16 {
	for _, u := range name {
		if u < 0x80 {
			if u >= 'a' && u <= 'z' {
				u -= 'a' - 'A'
			}
		} else if !utf16.IsSurrogate(rune(u)) {
			if r := unicode.ToUpper(rune(u)); r <= 0xFFFF {
				u = uint16(r)
			}
		}
		dst = append(dst, u)
	}
	return dst
}

// showable says whether a name can be a name on Linux.
func showable(name string) bool {
	if name == "" || name == "." || name == ".." {
		return false
	}
	for i := 0; i < len(name); i++ {
		if name[i] == 0 || name[i] == '/' {
			return false
		}
	}
	return true
}
