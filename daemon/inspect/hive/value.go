package hive

import (
	"bytes"
	"encoding/binary"
	"iter"
	"strings"
	"unicode/utf16"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A Type is what a value says that its data are. Programs may store any number.
type Type uint32

// The types that have a name.
const (
	None Type = iota
	String
	ExpandString
	Binary
	Dword
	DwordBigEndian
	Link
	MultiString
	ResourceList
	FullResourceDescriptor
	ResourceRequirements
	Qword
)

// A Value is one value of a key.
type Value struct {
	Name string // "" is the default value
	Type Type
	Data []byte
}

// Values are the key's values, in their order. One that is damaged is an error,
// and the others come after it.
func (k *Key) Values() iter.Seq2[Value, error] {
	return func(yield func(Value, error) bool) {
		for off, err := range k.valueOffsets() {
			if err != nil {
				yield(Value{}, err)
				return
			}
			v, ref, err := k.hive.value(off)
			if err == nil {
				if ref.tombstone {
					continue
				}
				v.Data, err = k.hive.data(off, ref)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// Value finds a value by name, upper and lower case being the same. The error
// unwraps to fs.ErrNotExist where there is none.
func (k *Key) Value(name string) (Value, error) {
	for off, err := range k.valueOffsets() {
		if err != nil {
			return Value{}, err
		}
		v, ref, err := k.hive.value(off)
		if err != nil || ref.tombstone || !strings.EqualFold(v.Name, name) {
			continue
		}
		v.Data, err = k.hive.data(off, ref)
		return v, err
	}
	return Value{}, &MissingError{"value", k.name, name}
}

// valueOffsets are the places of the values.
func (k *Key) valueOffsets() iter.Seq2[uint32, error] {
	return func(yield func(uint32, error) bool) {
		if k.values == 0 || k.valueList == none {
			return
		}
		if k.values > maxSubkeys {
			yield(0, ondisk.Corrupt("registry key", at(k.off), "%d values", k.values))
			return
		}
		b, _, err := k.hive.cell(k.valueList, 4*int(k.values))
		if err == nil && len(b) < 4*int(k.values) {
			err = ondisk.Corrupt("list of values", at(k.valueList), "%d values in %d bytes", k.values, len(b))
		}
		if err != nil {
			yield(0, err)
			return
		}
		for ; len(b) > 0; b = b[4:] {
			if !yield(binary.LittleEndian.Uint32(b), nil) {
				return
			}
		}
	}
}

// A dataRef says where the data of a value are.
type dataRef struct {
	size      uint32
	inline    []byte // the data themselves, at most four bytes
	off       uint32
	tombstone bool
}

// value reads a value without its data.
func (h *Hive) value(off uint32) (v Value, ref dataRef, err error) {
	b, _, err := h.cell(off, valueHeader+1<<16)
	if err != nil {
		return v, ref, err
	}
	if len(b) < valueHeader || string(b[:len(magicValue)]) != magicValue {
		return v, ref, ondisk.Corrupt("registry value", at(off), "it is no value")
	}
	length := int(binary.LittleEndian.Uint16(b[offValueName:]))
	if length > len(b)-valueHeader {
		return v, ref, ondisk.Corrupt("registry value", at(off), "a name of %d bytes in a cell of %d", length, len(b))
	}
	flags := binary.LittleEndian.Uint16(b[offValueFlags:])
	v.Name = name(b[valueHeader:valueHeader+length], flags&valuePlainName != 0)
	v.Type = Type(binary.LittleEndian.Uint32(b[offValueType:]))
	ref = dataRef{size: binary.LittleEndian.Uint32(b[offValueSize:]), off: binary.LittleEndian.Uint32(b[offValueData:]), tombstone: flags&valueTombstone != 0}
	if ref.size&valueInline != 0 {
		if ref.size &^= valueInline; ref.size > 4 {
			return v, ref, ondisk.Corrupt("registry value", at(off), "%d bytes in place of an offset", ref.size)
		}
		ref.inline = b[offValueData : offValueData+int(ref.size)]
	}
	return v, ref, nil
}

// data reads the data of the value at off.
func (h *Hive) data(off uint32, ref dataRef) ([]byte, error) {
	switch {
	case ref.inline != nil || ref.size == 0:
		return ref.inline, nil
	case ref.size > MaxValue:
		return nil, ondisk.Unsupported("registry value", "one of %d bytes at byte %d", ref.size, at(off))
	}
	b, all, err := h.cell(ref.off, int(ref.size))
	if err != nil {
		return nil, err
	}
	if all >= int(ref.size) {
		return b, nil
	}
	if h.base.minor >= minorBigData && ref.size > segmentSize && len(b) >= bigHeader && string(b[:len(magicBig)]) == magicBig {
		return h.bigData(off, b, int(ref.size))
	}
	return nil, ondisk.Corrupt("registry value", at(off), "%d bytes of data in a cell of %d", ref.size, all)
}

// bigData puts the segments of big data together.
func (h *Hive) bigData(off uint32, b []byte, size int) ([]byte, error) {
	n := int(binary.LittleEndian.Uint16(b[offBigSegments:]))
	if n != (size+segmentSize-1)/segmentSize {
		return nil, ondisk.Corrupt("registry value", at(off), "%d segments of %d bytes", n, size)
	}
	list, _, err := h.cell(binary.LittleEndian.Uint32(b[offBigList:]), 4*n)
	if err != nil {
		return nil, err
	}
	if len(list) < 4*n {
		return nil, ondisk.Corrupt("registry value", at(off), "a list of %d segments in %d bytes", n, len(list))
	}
	data := make([]byte, 0, size)
	for ; len(list) > 0; list = list[4:] {
		want := min(segmentSize, size-len(data))
		segment, _, err := h.cell(binary.LittleEndian.Uint32(list), want)
		if err != nil {
			return nil, err
		}
		if len(segment) < want {
			return nil, ondisk.Corrupt("registry value", at(off), "a segment of %d bytes, not %d", len(segment), want)
		}
		data = append(data, segment...)
	}
	return data, nil
}

// Text is a string: the data as UTF-16 up to the first NUL. It is "" for other
// types.
func (v Value) Text() string {
	switch v.Type {
	case String, ExpandString, Link:
		s, _, _ := strings.Cut(Text(v.Data), "\x00")
		return s
	}
	return ""
}

// Texts are the strings of a MultiString, or the one of a string.
func (v Value) Texts() []string {
	if v.Type != MultiString {
		if s := v.Text(); s != "" {
			return []string{s}
		}
		return nil
	}
	var list []string
	for s := range strings.SplitSeq(Text(v.Data), "\x00") {
		if s == "" {
			break // an empty string ends the list
		}
		list = append(list, s)
	}
	return list
}

// Number is an integer; ok is false for other types.
func (v Value) Number() (n uint64, ok bool) {
	switch {
	case v.Type == Dword && len(v.Data) == 4:
		return uint64(binary.LittleEndian.Uint32(v.Data)), true
	case v.Type == DwordBigEndian && len(v.Data) == 4:
		return uint64(binary.BigEndian.Uint32(v.Data)), true
	case v.Type == Qword && len(v.Data) == 8:
		return binary.LittleEndian.Uint64(v.Data), true
	}
	return 0, false
}

// Plain says whether the data are just what Text, Texts or Number gives, so that
// they can be written back from it.
func (v Value) Plain() bool {
	switch v.Type {
	case String, ExpandString:
		return bytes.Equal(v.Data, encode(v.Text()+"\x00"))
	case MultiString:
		s := strings.Join(v.Texts(), "\x00") + "\x00\x00"
		return len(v.Texts()) > 0 && bytes.Equal(v.Data, encode(s))
	}
	_, ok := v.Number()
	return ok
}

// Text decodes UTF-16; half a character is left out, half a pair is U+FFFD.
func Text(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

// encode is Text's inverse.
func encode(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// String is the type's name: "REG_SZ"; "" where it has none.
func (t Type) String() string {
	names := []string{"REG_NONE", "REG_SZ", "REG_EXPAND_SZ", "REG_BINARY", "REG_DWORD", "REG_DWORD_BIG_ENDIAN", "REG_LINK", "REG_MULTI_SZ",
		"REG_RESOURCE_LIST", "REG_FULL_RESOURCE_DESCRIPTOR", "REG_RESOURCE_REQUIREMENTS_LIST", "REG_QWORD"}
	if int64(t) < int64(len(names)) {
		return names[t]
	}
	return ""
}
