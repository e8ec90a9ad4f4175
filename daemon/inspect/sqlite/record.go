package sqlite

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/guestctl/guestctl/formats/ondisk"
)

type valueKind uint8

const (
	kindNull valueKind = iota
	kindInt
	kindFloat
	kindText
	kindBlob
)

// A Value is one column of a row.
type Value struct {
	kind valueKind
	n    int64
	f    float64
	b    []byte
}

// Int is an integer, 0 for anything else.
func (v Value) Int() int64 {
	if v.kind == kindFloat && math.Abs(v.f) < 1<<62 {
		return int64(v.f)
	}
	return v.n
}

// Text is a text or a number as one, "" for anything else.
func (v Value) Text() string {
	switch v.kind {
	case kindText:
		return string(v.b)
	case kindInt:
		return strconv.FormatInt(v.n, 10)
	}
	return ""
}

// Blob is the bytes of a blob or text.
func (v Value) Blob() []byte { return v.b }

// record decodes a record, section 2.1: the size of a header, a serial type for
// each column, and the columns.
func record(b []byte) ([]Value, error) {
	size, n := varint(b)
	if n == 0 || size > uint64(len(b)) || size < uint64(n) {
		return nil, ondisk.Corrupt("SQLite record", 0, "a header of %d bytes in %d", size, len(b))
	}
	types, body := b[n:size], b[size:]
	var values []Value
	for len(types) > 0 {
		t, n := varint(types)
		if n == 0 || len(values) == maxCols {
			return nil, ondisk.Corrupt("SQLite record", 0, "its header ends early or has too many columns")
		}
		types = types[n:]
		v, k, ok := value(t, body)
		if !ok {
			return nil, ondisk.Corrupt("SQLite record", 0, "a value of type %d does not fit", t)
		}
		body = body[k:]
		values = append(values, v)
	}
	return values, nil
}

// value decodes a column of serial type t, and says how many bytes it has.
func value(t uint64, b []byte) (v Value, size int, ok bool) {
	switch {
	case t == 0:
		return Value{}, 0, true
	case t == 8 || t == 9:
		return Value{kind: kindInt, n: int64(t - 8)}, 0, true
	case t >= 12:
		n := (t - 12) / 2
		if n > uint64(len(b)) {
			return Value{}, 0, false
		}
		kind := kindBlob
		if t%2 == 1 {
			kind = kindText
		}
		return Value{kind: kind, b: b[:n]}, int(n), true
	case t >= 10:
		return Value{}, 0, false // reserved
	}
	size = []int{0, 1, 2, 3, 4, 6, 8, 8}[t]
	if size > len(b) {
		return Value{}, 0, false
	}
	if t == 7 {
		return Value{kind: kindFloat, f: math.Float64frombits(binary.BigEndian.Uint64(b))}, size, true
	}
	n := int64(int8(b[0])) // the sign
	for _, c := range b[1:size] {
		n = n<<8 | int64(c)
	}
	return Value{kind: kindInt, n: n}, size, true
}

// varint decodes section 1.6's number of up to nine bytes; n is 0 where b ends
// early.
func varint(b []byte) (v uint64, n int) {
	for i := range min(len(b), 9) {
		if i == 8 {
			return v<<8 | uint64(b[i]), 9
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
