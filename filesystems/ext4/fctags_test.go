package ext4

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// area is a fast-commit area in memory.
type area []byte

func (a area) Size() int64 { return int64(len(a)) }
func (a area) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(a).ReadAt(p, off)
}
func (a area) Locate(_ context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, a.Size()); n == 0 {
		return block.Run{}, io.EOF
	}
	return block.Run{Kind: block.Opaque, Len: n}, nil
}

const fcBlock = 1024

// fcWriter writes fast commits as the kernel lays them out.
type fcWriter struct {
	b   []byte
	at  int
	crc uint32
}

func (w *fcWriter) put(kind uint16, value []byte) {
	if left := fcBlock - w.at%fcBlock; len(value)+2*fcHeaderSize > left {
		w.raw(fcPad, make([]byte, left-fcHeaderSize))
	}
	w.raw(kind, value)
}

func (w *fcWriter) raw(kind uint16, value []byte) {
	from := w.at
	binary.LittleEndian.PutUint16(w.b[w.at:], kind)
	binary.LittleEndian.PutUint16(w.b[w.at+2:], uint16(len(value)))
	w.at += fcHeaderSize + copy(w.b[w.at+fcHeaderSize:], value)
	w.crc = ondisk.CRC32C(w.crc, w.b[from:w.at])
}

func (w *fcWriter) head(features, tid uint32) {
	w.put(fcHead, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, features), tid))
}

func (w *fcWriter) unlink(name string) {
	w.put(fcUnlink, append([]byte{2, 0, 0, 0, 12, 0, 0, 0}, name...))
}

func (w *fcWriter) tail(tid uint32) {
	if fcBlock-w.at%fcBlock < fcHeaderSize+fcTailSize+fcHeaderSize {
		w.raw(fcPad, make([]byte, fcBlock-w.at%fcBlock-fcHeaderSize))
	}
	value := make([]byte, fcBlock-w.at%fcBlock-fcHeaderSize)
	binary.LittleEndian.PutUint32(value, tid)
	from, crc := w.at, w.crc
	w.raw(fcTail, value)
	crc = ondisk.CRC32C(crc, w.b[from:from+fcHeaderSize+fcTailCRC])
	binary.LittleEndian.PutUint32(w.b[from+fcHeaderSize+fcTailCRC:], crc)
	w.crc = 0
}

func names(tags []fcTag) (all []string) {
	for _, t := range tags {
		all = append(all, t.name())
	}
	return all
}

func TestReadFastCommits(t *testing.T) {
	long := strings.Repeat("n", 200)
	whole := func() *fcWriter {
		w := &fcWriter{b: make([]byte, 16*fcBlock)}
		w.head(0, 9)
		w.unlink("a")
		w.tail(9)
		for range 6 { // more than a block
			w.unlink(long)
		}
		w.tail(9)
		return w
	}
	all := append([]string{"a"}, slices.Repeat([]string{long}, 6)...)
	for _, c := range []struct {
		name string
		make func() *fcWriter
		tid  uint32
		want []string
		torn string
		err  error
	}{
		{"whole", whole, 9, all, "", nil},
		{"of an earlier transaction", whole, 10, nil, "", nil},
		{"empty", func() *fcWriter { return &fcWriter{b: make([]byte, 4*fcBlock)} }, 9, nil, "", nil},
		{"second torn", func() *fcWriter { w := whole(); w.b[2*fcBlock+50]++; return w }, 9, all[:1], "", nil},
		{"first torn", func() *fcWriter { w := whole(); w.b[20]++; return w }, 9, nil, "a tail that is not its own", nil},
		{"first without a tail", func() *fcWriter {
			w := &fcWriter{b: make([]byte, 4*fcBlock)}
			w.head(0, 9)
			w.unlink("a")
			return w
		}, 9, nil, "no valid tag", nil},
		{"left over behind", func() *fcWriter { w := whole(); w.unlink("old"); w.tail(8); return w }, 9, all, "", nil},
		{"next transaction behind", func() *fcWriter { w := whole(); w.head(0, 10); w.tail(10); return w }, 9, all, "", nil},
		{"feature", func() *fcWriter { w := &fcWriter{b: make([]byte, fcBlock)}; w.head(4, 9); w.tail(9); return w }, 9, nil, "", syscall.EOPNOTSUPP},
		{"no changes", func() *fcWriter { w := &fcWriter{b: make([]byte, fcBlock)}; w.head(0, 9); w.tail(9); return w }, 9, nil, "", nil},
		{"length beyond the block", func() *fcWriter { w := whole(); binary.LittleEndian.PutUint16(w.b[fcBlock+2:], 5000); return w }, 9, all[:1], "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tags, torn, err := readFastCommits(t.Context(), area(c.make().b), fcBlock, 256, c.tid)
			if !errors.Is(err, c.err) || !slices.Equal(names(tags), c.want) || (torn == "") != (c.torn == "") || !strings.Contains(torn, c.torn) {
				t.Errorf("read %q, %q, %v; want %q, %q, %v", names(tags), torn, err, c.want, c.torn, c.err)
			}
		})
	}
}

// TestFlatten compares with a map of single blocks.
func TestFlatten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var changes []editExtent
		model := map[uint64]editExtent{}
		for range r.IntN(30) {
			x := editExtent{file: r.Uint32N(100), blocks: 1 + r.Uint64N(20), start: r.Uint64N(3) * (1000 + r.Uint64N(50)), unwritten: r.IntN(2) == 0}
			changes = append(changes, x)
			for i := range x.blocks {
				model[uint64(x.file)+i] = editExtent{start: x.start + i, unwritten: x.unwritten}
				if x.start == 0 {
					delete(model, uint64(x.file)+i)
				}
			}
		}
		next := uint64(0)
		for _, x := range flatten(changes) {
			if uint64(x.file) < next || x.blocks == 0 {
				t.Fatalf("flatten(%v): %v is out of order", changes, x)
			}
			next = x.end()
			for i := range x.blocks {
				at := uint64(x.file) + i
				if m, ok := model[at]; !ok || m.start != x.start+i || m.unwritten != x.unwritten {
					t.Fatalf("flatten(%v): block %d is in %v, want %v", changes, at, x, m)
				}
				delete(model, at)
			}
		}
		if len(model) > 0 {
			t.Fatalf("flatten(%v) misses %v", changes, model)
		}
	}
}

func FuzzFastCommits(f *testing.F) {
	w := &fcWriter{b: make([]byte, 3*fcBlock)}
	w.head(0, 9)
	w.unlink("a name")
	w.put(fcInode, make([]byte, fcInodeSize+160))
	w.put(fcAddRange, make([]byte, fcAddRangeSize))
	w.put(fcDelRange, make([]byte, fcDelRangeSize))
	w.tail(9)
	f.Add(w.b[:w.at])
	f.Fuzz(func(t *testing.T, b []byte) {
		tags, _, err := readFastCommits(t.Context(), area(b), fcBlock, 256, 9)
		if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
			t.Error(err)
		}
		for _, x := range tags {
			if !x.valid(256) || x.off < 0 || x.off+int64(fcHeaderSize+len(x.value)) > int64(len(b)) {
				t.Errorf("tag %d of %d bytes at %d", x.kind, len(x.value), x.off)
			}
		}
	})
}
