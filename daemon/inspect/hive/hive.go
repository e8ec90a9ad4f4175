package hive

import (
	"encoding/binary"
	"io"
	"time"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A File is a hive, or a log, in a guest.
type File interface {
	io.ReaderAt
	Size() int64
}

// A Hive is an open hive.
type Hive struct {
	file    File
	base    base
	changed overlay // what the logs hold
	applied int     // pages of the logs
	dirty   bool
	cache   map[int64][]byte // pieces of the hive bins data, by number
}

// pieceSize is how much is read at once.
const pieceSize = 64 << 10

// Open opens the hive in primary. logs are its transaction logs: LOG1, LOG2, LOG;
// nil where there is none.
func Open(primary File, logs ...File) (*Hive, error) {
	h := &Hive{file: primary, cache: map[int64][]byte{}}
	if primary.Size() < baseSize {
		return nil, ondisk.NotThis("Windows registry hive")
	}
	head := make([]byte, baseSector)
	if err := readFull(primary, head, 0); err != nil {
		return nil, err
	}
	if string(head[:len(magicBase)]) != magicBase {
		return nil, ondisk.NotThis("Windows registry hive")
	}
	err := h.base.parse(head)
	valid := err == nil
	h.dirty = !valid || h.base.sequence1 != h.base.sequence2
	if h.dirty {
		if replayErr := h.replay(valid, logs); replayErr != nil {
			return nil, replayErr
		}
		if !valid && h.applied == 0 {
			return nil, err
		}
	}
	if h.base.major != 1 || h.base.minor < minorOldest {
		return nil, ondisk.Unsupported("Windows registry hive", "version %d.%d", h.base.major, h.base.minor)
	}
	if h.base.bins == 0 || h.base.bins%binSize != 0 || h.base.bins > maxHive {
		return nil, ondisk.Corrupt("hive base block", offBinsSize, "%d bytes of hive bins", h.base.bins)
	}
	return h, nil
}

// Dirty says whether Windows has to recover the hive before it uses it.
func (h *Hive) Dirty() bool { return h.dirty }

// Replayed is the number of pages that the logs changed.
func (h *Hive) Replayed() int { return h.applied }

// A base is what is read of a base block.
type base struct {
	sequence1, sequence2 uint32
	written              uint64
	major, minor         uint32
	kind                 uint32
	root, bins           uint32
	clustering           uint32
}

// parse reads the first sector of a base block. The error is its checksum's.
func (b *base) parse(p []byte) error {
	if string(p[:len(magicBase)]) != magicBase {
		return ondisk.Corrupt("hive base block", 0, "it has no signature")
	}
	u32 := func(off int) uint32 { return binary.LittleEndian.Uint32(p[off:]) }
	*b = base{u32(offSequence1), u32(offSequence2), binary.LittleEndian.Uint64(p[offWritten:]), u32(offMajor), u32(offMinor), u32(offType), u32(offRoot), u32(offBinsSize), u32(offClustering)}
	if want, got := u32(offChecksum), checksum(p[:offChecksum]); want != got {
		return ondisk.BadChecksum("hive base block", offChecksum, want, got)
	}
	return nil
}

// checksum is the XOR of the words, which is never 0 nor -1.
func checksum(p []byte) uint32 {
	var c uint32
	for ; len(p) >= 4; p = p[4:] {
		c ^= binary.LittleEndian.Uint32(p)
	}
	switch c {
	case 0xffffffff:
		return 0xfffffffe
	case 0:
		return 1
	}
	return c
}

// read fills p with hive bins data at off.
func (h *Hive) read(p []byte, off int64) error {
	for len(p) > 0 {
		piece, err := h.piece(off / pieceSize)
		if err != nil {
			return err
		}
		n := copy(p, piece[off%pieceSize:])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// piece reads one piece, with what the logs changed. Beyond the end of the
// primary file it is zeros.
func (h *Hive) piece(n int64) ([]byte, error) {
	if b, ok := h.cache[n]; ok {
		return b, nil
	}
	if len(h.cache) >= maxCache/pieceSize {
		clear(h.cache)
	}
	b := make([]byte, pieceSize)
	start := n * pieceSize
	if there := min(h.file.Size()-baseSize-start, pieceSize); there > 0 {
		if err := readFull(h.file, b[:there], baseSize+start); err != nil {
			return nil, err
		}
	}
	if err := h.changed.apply(b, start); err != nil {
		return nil, err
	}
	h.cache[n] = b
	return b, nil
}

// cell is the data of the cell at off; at most most bytes of it. The cell has all
// bytes, however many are answered.
func (h *Hive) cell(off uint32, most int) (data []byte, all int, err error) {
	var head [cellHeader]byte
	if int64(off)+cellHeader > int64(h.base.bins) || off%4 != 0 {
		return nil, 0, ondisk.Corrupt("hive cell", at(off), "it lies outside of the hive")
	}
	if err := h.read(head[:], int64(off)); err != nil {
		return nil, 0, err
	}
	size := -int64(int32(binary.LittleEndian.Uint32(head[:])))
	if size <= cellHeader || int64(off)+size > int64(h.base.bins) {
		return nil, 0, ondisk.Corrupt("hive cell", at(off), "a size of %d bytes", -size)
	}
	all = int(size) - cellHeader
	data = make([]byte, min(all, most))
	return data, all, h.read(data, int64(off)+cellHeader)
}

// at is the place in the primary file of an offset.
func at(off uint32) int64 { return baseSize + int64(off) }

// Time is a FILETIME: one in units of 100 ns since 1601; zero is none.
func Time(t uint64) time.Time {
	const unixEpoch = 11644473600 // seconds from 1601 to 1970
	if t == 0 || t > 1<<62 {
		return time.Time{}
	}
	return time.Unix(int64(t/1e7)-unixEpoch, int64(t%1e7)*100).UTC()
}

// readFull fills p or says why not.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
