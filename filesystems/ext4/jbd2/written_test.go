package jbd2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// memory is a device of bytes.
type memory []byte

func (m memory) Size() int64 { return int64(len(m)) }
func (m memory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(m).ReadAt(p, off)
}
func (m memory) Locate(_ context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, m.Size()); n == 0 {
		return block.Run{}, io.EOF
	}
	return block.Run{Kind: block.Opaque, Len: n}, nil
}

const testBlock = 1024

// A logWriter writes a journal by the layout's own setters, with choices that no
// kernel makes on demand.
type logWriter struct {
	b      []byte
	format tagFormat
	v1     bool
	seed   uint32
	pos    int64
	first  int64
	tid    uint32
	sec    uint64
	crc    uint32
}

func newLog(blocks int64, compat, incompat, tid uint32, start int64) *logWriter {
	l := &logWriter{b: make([]byte, blocks*testBlock), format: formatOf(incompat), v1: compat&compatChecksum != 0, pos: start, first: 1, tid: tid, sec: 1000, crc: ^uint32(0)}
	sb := superblock(l.b)
	sb.header().set(typeSuperblockV2, 0)
	put32(sb, 0x0C, testBlock)
	put32(sb, 0x10, uint32(blocks))
	put32(sb, 0x14, 1)
	sb.setSequence(tid)
	sb.setStart(uint32(start))
	sb.setCompat(compat)
	sb.setIncompat(incompat)
	copy(sb.uuid(), "0123456789abcdef")
	l.seed = ondisk.CRC32C(^uint32(0), sb.uuid())
	if l.format.v2 || l.format.v3 {
		sb[0x50] = checksumCRC32C
		sb.setChecksum(blockChecksum(^uint32(0), sb[:superblockSize], superblockChecksumOff))
	}
	return l
}

func (l *logWriter) next() []byte {
	b := l.b[l.pos*testBlock:][:testBlock]
	clear(b)
	if l.pos++; l.pos == int64(len(l.b)/testBlock) {
		l.pos = l.first
	}
	return b
}

func (l *logWriter) seal(b []byte) {
	if l.format.tail > 0 {
		off := len(b) - blockTailSize
		put32(b, off, blockChecksum(l.seed, b, off))
	}
}

// blockOf is what a test writes to a home block.
func blockOf(fill byte, magic bool) []byte {
	b := bytes.Repeat([]byte{fill}, testBlock)
	if magic {
		put32(b, 0, Magic)
	}
	return b
}

type write struct {
	home uint64
	data []byte
}

// write logs blocks under one descriptor.
func (l *logWriter) write(blocks ...write) {
	d := l.next()
	header(d).set(typeDescriptor, l.tid)
	at := headerSize
	var logged [][]byte
	for i, w := range blocks {
		data := append([]byte(nil), w.data...)
		t := tag{block: w.home}
		if be32(data, 0) == Magic {
			put32(data, 0, 0)
			t.flags |= tagEscape
		}
		if i > 0 {
			t.flags |= tagSameUUID
		}
		if i == len(blocks)-1 {
			t.flags |= tagLast
		}
		t.checksum = l.format.cut(dataChecksum(l.seed, l.tid, data))
		if !l.format.v2 && !l.format.v3 {
			t.checksum = 0
		}
		l.format.put(d[at:], t)
		if at += l.format.size; i == 0 {
			at += copy(d[at:], l.b[0x30:0x40])
		}
		logged = append(logged, data)
	}
	l.seal(d)
	l.crc = crc32BE(l.crc, d)
	for _, data := range logged {
		l.crc = crc32BE(l.crc, data)
		copy(l.next(), data)
	}
}

func (l *logWriter) revoke(homes ...uint64) {
	b := l.next()
	header(b).set(typeRevoke, l.tid)
	at := revokeHeaderSize
	for _, h := range homes {
		if l.format.wide {
			binary.BigEndian.PutUint64(b[at:], h)
		} else {
			put32(b, at, uint32(h))
		}
		at += l.format.record
	}
	revoke(b).setCount(uint32(at))
	l.seal(b)
}

func (l *logWriter) commit() {
	b := l.next()
	header(b).set(typeCommit, l.tid)
	commit(b).setTime(l.sec, 5)
	switch {
	case l.v1:
		commit(b).setVersion1(l.crc)
	case l.format.tail > 0:
		commit(b).setChecksum(blockChecksum(l.seed, b, commitChecksumOff))
	}
	l.tid++
	l.sec++
	l.crc = ^uint32(0)
}

// allFormats are the ways in which a journal can be laid out.
var allFormats = map[string][2]uint32{
	"none": {0, incompatRevoke}, "none, 64 bits": {0, incompatRevoke | incompat64Bit},
	"v1": {compatChecksum, incompatRevoke}, "v1, 64 bits": {compatChecksum, incompatRevoke | incompat64Bit},
	"v2": {0, incompatRevoke | incompatChecksumV2}, "v2, 64 bits": {0, incompatRevoke | incompat64Bit | incompatChecksumV2},
	"v3": {0, incompatRevoke | incompatChecksumV3}, "v3, 64 bits": {0, incompatRevoke | incompat64Bit | incompatChecksumV3},
	"v1, asynchronous": {compatChecksum, incompatRevoke | incompatAsyncCommit},
}

func forAllFormats(t *testing.T, f func(t *testing.T, compat, incompat uint32)) {
	for name, c := range allFormats {
		t.Run(name, func(t *testing.T) { f(t, c[0], c[1]) })
	}
}

// TestRevokeOfTransaction: a revoke record holds for its own transaction and
// those before, and not for a later copy. The log wraps around the ring, and
// its numbers around 32 bits.
func TestRevokeOfTransaction(t *testing.T) {
	forAllFormats(t, func(t *testing.T, compat, incompat uint32) {
		l := newLog(24, compat, incompat, math.MaxUint32-1, 18)
		a, b, c, d := uint64(30), uint64(31), uint64(32), uint64(33)
		l.write(write{a, blockOf('a', false)}, write{b, blockOf('b', true)}, write{c, blockOf('c', false)})
		l.commit()
		l.revoke(a, b, 5) // 5 is in no transaction
		l.write(write{b, blockOf('x', false)}, write{d, blockOf('d', true)})
		l.commit()
		l.write(write{b, blockOf('B', false)})
		l.commit()
		l.write(write{c, blockOf('!', false)}) // not committed

		base := memory(bytes.Repeat([]byte{'.'}, 40*testBlock))
		o, err := block.NewOverlay(base, testBlock, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		j, err := Open(t.Context(), memory(l.b), testBlock, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := j.Recover(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Transactions != 3 || r.Blocks != 3 || r.Revoked != 3 || r.Torn != "" || r.First != math.MaxUint32-1 || r.Last != 0 || j.Next() != 1 {
			t.Errorf("replay %+v, next %d", r, j.Next())
		}
		want := append([]byte(nil), base...)
		copy(want[b*testBlock:], blockOf('B', false))
		copy(want[c*testBlock:], blockOf('c', false))
		copy(want[d*testBlock:], blockOf('d', true))
		got := make([]byte, len(want))
		if err := block.ReadFull(t.Context(), o, got, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Error("the overlay does not read as the log says")
		}
	})
}

// TestStale: what an earlier filesystem left in the log ends it without a
// word, as its commit time shows.
func TestStale(t *testing.T) {
	for _, name := range []string{"v2", "v3", "v1"} {
		t.Run(name, func(t *testing.T) {
			l := newLog(40, allFormats[name][0], allFormats[name][1], 7, 1)
			l.write(write{10, blockOf('a', false)})
			l.commit()
			l.sec = 20 // long before
			l.seed, l.crc = 99, 99
			l.write(write{11, blockOf('b', false)})
			l.commit()
			l.write(write{12, blockOf('c', false)})
			l.commit()
			_, r, err := recoverWritten(t, l.b)
			if err != nil || r.Transactions != 1 || r.Torn != "" {
				t.Errorf("replay %+v, %v; want one transaction and no word of the stale ones", r, err)
			}
		})
	}
}

// TestPartialCommit: of a commit block the header is enough.
func TestPartialCommit(t *testing.T) {
	l := newLog(40, 0, incompatChecksumV3, 7, 1)
	l.write(write{10, blockOf('a', false)})
	l.commit()
	copy(l.b[(l.pos-1)*testBlock+512:], "left over from an earlier lap")
	if _, r, err := recoverWritten(t, l.b); err != nil || r.Transactions != 1 || r.Torn != "" {
		t.Errorf("replay %+v, %v; want one whole transaction", r, err)
	}
}

func recoverWritten(t testing.TB, b []byte) (*block.Overlay, txn.Replay, error) {
	t.Helper()
	o, err := block.NewOverlay(memory(make([]byte, 64*testBlock)), testBlock, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	j, err := Open(t.Context(), memory(b), testBlock, nil)
	if err != nil {
		return nil, txn.Replay{}, err
	}
	r, err := j.Recover(t.Context(), o)
	return o, r, err
}

// TestRefused: what Open does not take, by name.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(sb superblock)
		want string
		is   error
	}{
		{"magic", func(sb superblock) { put32(sb, 0, 1) }, "magic", syscall.EUCLEAN},
		{"type", func(sb superblock) { put32(sb, 4, 9) }, "block type", syscall.EUCLEAN},
		{"block size", func(sb superblock) { put32(sb, 0xC, 4096) }, "blocks of 4096 bytes", syscall.EUCLEAN},
		{"too long", func(sb superblock) { put32(sb, 0x10, 1<<31) }, "the journal has 40", syscall.EUCLEAN},
		{"first block", func(sb superblock) { put32(sb, 0x14, 0) }, "begins at block 0", syscall.EUCLEAN},
		{"start", func(sb superblock) { sb.setStart(40) }, "starts at block 40", syscall.EUCLEAN},
		{"unknown feature", func(sb superblock) { sb.setIncompat(0x100) }, "feature 0x100", syscall.EOPNOTSUPP},
		{"read-only feature", func(sb superblock) { put32(sb, 0x2C, 2) }, "feature 0x2", syscall.EOPNOTSUPP},
		{"two checksums", func(sb superblock) { sb.setIncompat(incompatChecksumV2 | incompatChecksumV3) }, "two versions", syscall.EUCLEAN},
		{"v1 and v3", func(sb superblock) { sb.setCompat(compatChecksum); sb.setIncompat(incompatChecksumV3) }, "two versions", syscall.EUCLEAN},
		{"checksum type", func(sb superblock) { sb.setIncompat(incompatChecksumV3); sb[0x50] = 1 }, "checksum type 1", syscall.EOPNOTSUPP},
		{"checksum", func(sb superblock) { sb.setIncompat(incompatChecksumV3); sb[0x50] = checksumCRC32C }, "bad checksum", syscall.EBADMSG},
		{"users", func(sb superblock) { put32(sb, 0x40, 3) }, "shared by 3", syscall.EOPNOTSUPP},
		{"fast commits", func(sb superblock) { sb.setIncompat(incompatFastCommit) }, "256 blocks of fast commits", syscall.EUCLEAN},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLog(40, 0, 0, 1, 1)
			c.set(superblock(l.b))
			_, err := Open(t.Context(), memory(l.b), testBlock, nil)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open: %v, want %q and %v", err, c.want, c.is)
			}
		})
	}
}

// TestEndlessLog: descriptors all around the ring, of one transaction that
// never ends.
func TestEndlessLog(t *testing.T) {
	l := newLog(40, 0, 0, 1, 1)
	for range 200 {
		d := l.next()
		header(d).set(typeDescriptor, 1)
		l.format.put(d[headerSize:], tag{block: 3, flags: tagLast | tagSameUUID})
	}
	if _, r, err := recoverWritten(t, l.b); err != nil || r.Transactions != 0 {
		t.Errorf("replay %+v, %v; want nothing", r, err)
	}
}

func TestCRC32BE(t *testing.T) {
	// The check value of CRC-32/MPEG-2.
	if got := crc32BE(^uint32(0), []byte("123456789")); got != 0x0376E6E7 {
		t.Errorf("crc32BE is %#x, want 0x0376e6e7", got)
	}
	for n := range 40 {
		b := bytes.Repeat([]byte{0xA5, 3}, n)
		bytewise := ^uint32(0)
		for i := range b {
			bytewise = crc32BE(bytewise, b[i:i+1])
		}
		if got := crc32BE(^uint32(0), b); got != bytewise {
			t.Errorf("crc32BE of %d bytes is %#x, want %#x", len(b), got, bytewise)
		}
	}
}
