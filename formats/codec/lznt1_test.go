package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// lznt1Example is that of [MS-XCA] 3.3.
const (
	lznt1Example = "38b08846232000204720410010a24701a045204400084501507900c045200524138805b4024a44ef0358028c091601484500be009e000401189000"
	lznt1Text    = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D\x00"
)

// xpressExamples are those of [MS-XCA] 3.2: the bytes of the table that are not
// zero, by place, and what follows it.
func xpressExamples() map[string][]byte {
	table := func(stream string, at map[int]string) []byte {
		b := make([]byte, xpressTable, xpressTable+len(stream)/2)
		for i, s := range at {
			h, _ := hex.DecodeString(s)
			copy(b[i:], h)
		}
		h, _ := hex.DecodeString(stream)
		return append(b, h...)
	}
	return map[string][]byte{
		"abcdefghijklmnopqrstuvwxyz": table("d8523ed794115be9195ff9d67cdf8d0400000000",
			map[int]string{48: "50" + strings.Repeat("55", 10) + "454404", 128: "04"}),
		strings.Repeat("abc", 100): table("a8dc0000ff2601", map[int]string{48: "3023", 128: "02", 143: "20"}),
	}
}

func TestPublishedExamples(t *testing.T) {
	check := func(c *Codec, packed []byte, plain string) {
		t.Helper()
		for _, room := range []int{len(plain), len(plain) - 1, 5, 1, 0} {
			got := make([]byte, room)
			n, err := c.Decode(got, packed)
			if n != room || err != nil || string(got) != plain[:room] {
				t.Errorf("%s: %d bytes of %d, %v: %q", c.Name(), n, room, err, got[:n])
			}
		}
	}
	packed, err := hex.DecodeString(lznt1Example)
	if err != nil {
		t.Fatal(err)
	}
	check(LZNT1(), packed, lznt1Text)
	for plain, packed := range xpressExamples() {
		check(XPRESS(), packed, plain)
	}
}

func TestLZNT1Chunks(t *testing.T) {
	raw := append([]byte{0xFF, 0x3F}, bytes.Repeat([]byte("r"), 4096)...)
	example, _ := hex.DecodeString(lznt1Example)
	run := []byte{0x03, 0xB0, 0x02, 'z', 0xFC, 0x0F} // one z, and a match of 4095
	for _, c := range []struct {
		name   string
		packed []byte
		want   []byte
		err    error
	}{
		{"empty", nil, nil, nil},
		{"one byte", []byte{1}, nil, nil},
		{"end", []byte{0, 0, 'x'}, nil, nil},
		{"stored", raw, raw[2:], nil},
		{"a run", run, bytes.Repeat([]byte("z"), 4096), nil},
		{"a short chunk and another", append(bytes.Clone(example), run...),
			append(append([]byte(lznt1Text), make([]byte, 4096-len(lznt1Text))...), bytes.Repeat([]byte("z"), 4096)...), nil},
		{"signature", []byte{0x03, 0x80, 0, 1, 2, 3}, nil, errLZNT1Header},
		{"cut", example[:20], nil, errUnexpected},
		{"distance", []byte{0x02, 0xB0, 0x01, 0x00, 0x10}, nil, errLZNT1Distance},
		{"too long", []byte{0x03, 0xB0, 0x02, 'z', 0xFF, 0x0F}, nil, errLZNT1Long},
		{"half a match", []byte{0x02, 0xB0, 0x02, 'z', 0xFF}, nil, errUnexpected},
	} {
		got := make([]byte, 3*4096)
		n, err := LZNT1().Decode(got, c.packed)
		if c.err == nil && (err != nil || !bytes.Equal(got[:n], c.want)) {
			t.Errorf("%s: %d bytes, %v, want %d", c.name, n, err, len(c.want))
		}
		if c.err != nil && (!errors.Is(err, c.err) || !errors.Is(err, ErrDamaged)) {
			t.Errorf("%s: %d bytes, %v, want %v", c.name, n, err, c.err)
		}
	}
}

// TestLZXDamage decodes streams that are none.
func TestLZXDamage(t *testing.T) {
	dst := make([]byte, lzxWindow)
	for _, src := range [][]byte{nil, {1}, make([]byte, 100), bytes.Repeat([]byte{0xFF}, 1000), bytes.Repeat([]byte{0x55, 0x2A}, 500)} {
		for _, c := range []*Codec{LZX(), XPRESS()} {
			if n, err := c.Decode(dst, src); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s of %d bytes: %d bytes, %v", c.Name(), len(src), n, err)
			}
		}
	}
	if _, err := LZX().Decode(make([]byte, lzxWindow+1), make([]byte, 10)); !errors.Is(err, errLZXSize) {
		t.Errorf("more than a window: %v", err)
	}
}

// TestLZXStored decodes an uncompressed block, by itself and one byte short.
func TestLZXStored(t *testing.T) {
	src, _ := hex.DecodeString("00600050" + "010000000200000003000000" + "6162636465" + "00")
	dst := make([]byte, 5)
	if n, err := LZX().Decode(dst, src); n != 5 || err != nil || string(dst) != "abcde" {
		t.Errorf("%d bytes, %v: %q", n, err, dst)
	}
	if _, err := LZX().Decode(dst, src[:len(src)-2]); !errors.Is(err, errUnexpected) {
		t.Errorf("cut: %v", err)
	}
}

// FuzzWindows decodes with each of the codecs of NTFS: no panic, nothing
// written behind the end, and the same again.
func FuzzWindows(f *testing.F) {
	example, _ := hex.DecodeString(lznt1Example)
	f.Add(uint8(0), uint16(142), example)
	for plain, packed := range xpressExamples() {
		f.Add(uint8(1), uint16(len(plain)), packed)
	}
	for i, m := range []string{"XPRESS", "LZX"} {
		for _, c := range wimChunks(f, m, []int{4096, 32768}[i], sample(5, 60_000)) {
			f.Add(uint8(i+1), uint16(len(c.plain)), c.packed)
		}
	}
	codecs := []*Codec{LZNT1(), XPRESS(), LZX()}
	f.Fuzz(func(t *testing.T, which uint8, room uint16, src []byte) {
		c := codecs[int(which)%len(codecs)]
		buf := bytes.Repeat([]byte{0xA5}, int(room)+16)
		n, err := c.Decode(buf[:room:room], src)
		if n < 0 || n > int(room) || !bytes.Equal(buf[room:], bytes.Repeat([]byte{0xA5}, 16)) {
			t.Fatalf("%d bytes of %d, or some behind the end", n, room)
		}
		again := make([]byte, room)
		if m, err2 := c.Decode(again, src); m != n || (err == nil) != (err2 == nil) || !bytes.Equal(again[:n], buf[:n]) {
			t.Fatalf("%d bytes, %v; a second time %d, %v", n, err, m, err2)
		}
	})
}
