package sqlite

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A wal is the part of a write-ahead log that is committed.
type wal struct {
	r      io.ReaderAt
	frames map[uint32]int64 // page -> offset of its newest committed bytes
	pages  uint32           // of the database after the last commit; 0 where there is none
}

// openWAL reads the log from its start. It ends at the first frame that is of
// an older log or whose checksum is wrong, as SQLite's recovery does.
func openWAL(r io.ReaderAt, size int64, pageSize int) (*wal, error) {
	w := &wal{r: r, frames: map[uint32]int64{}}
	if size < walHeaderSize {
		return w, nil
	}
	if size > maxWAL {
		return nil, ondisk.Unsupported("SQLite write-ahead log", "it has %d bytes; at most %d are read", size, int64(maxWAL))
	}
	in := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 256<<10)
	head := make([]byte, walHeaderSize)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	m := binary.BigEndian.Uint32(head)
	if m&^1 != walMagic || binary.BigEndian.Uint32(head[4:]) != walVersion {
		return w, nil // no log: SQLite starts a new one
	}
	sum := checksum{order: binary.LittleEndian}
	if m&1 != 0 {
		sum.order = binary.BigEndian
	}
	if sum.add(head[:offWalChecksum]); !sum.is(head[offWalChecksum:]) || int(binary.BigEndian.Uint32(head[offWalPageSize:])) != pageSize {
		return w, nil
	}
	return w, w.read(in, head[offWalSalt:offWalChecksum], sum, pageSize)
}

func (w *wal) read(in io.Reader, salt []byte, sum checksum, pageSize int) error {
	frame := make([]byte, frameHeader+pageSize)
	pending := map[uint32]int64{}
	for off := int64(walHeaderSize); ; off += int64(len(frame)) {
		if _, err := io.ReadFull(in, frame); err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		} else if err != nil {
			return err
		}
		if string(frame[offFrameSalt:offFrameSum]) != string(salt) {
			return nil
		}
		sum.add(frame[:offFrameSalt])
		sum.add(frame[frameHeader:])
		if !sum.is(frame[offFrameSum:]) {
			return nil
		}
		pending[binary.BigEndian.Uint32(frame[offFramePage:])] = off + frameHeader
		if n := binary.BigEndian.Uint32(frame[offFrameCommit:]); n != 0 {
			w.pages = n
			for page, at := range pending {
				w.frames[page] = at
			}
			clear(pending)
		}
	}
}

// A checksum is that of section 4.2.
type checksum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (c *checksum) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		c.s0 += c.order.Uint32(b) + c.s1
		c.s1 += c.order.Uint32(b[4:]) + c.s0
	}
}

func (c *checksum) is(b []byte) bool {
	return c.s0 == binary.BigEndian.Uint32(b) && c.s1 == binary.BigEndian.Uint32(b[4:])
}
