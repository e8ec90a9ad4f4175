package sqlite

import (
	"encoding/binary"
	"io"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A DB is an open database.
type DB struct {
	r        io.ReaderAt
	size     int64 // of the file
	pageSize int
	usable   int // of a page, without what is reserved
	pages    uint32
	wal      *wal // nil where there is none
}

// Open opens the database in r, of size bytes. log is the write-ahead log, of
// logSize bytes; nil where there is none.
func Open(r io.ReaderAt, size int64, log io.ReaderAt, logSize int64) (*DB, error) {
	d := &DB{r: r, size: size}
	head := make([]byte, headerSize)
	if size < headerSize {
		return nil, ondisk.NotThis("SQLite database")
	}
	if err := readFull(r, head, 0); err != nil {
		return nil, err
	}
	if string(head[:len(magic)]) != magic {
		return nil, ondisk.NotThis("SQLite database")
	}
	if err := d.setPageSize(head); err != nil {
		return nil, err
	}
	if log != nil {
		w, err := openWAL(log, logSize, d.pageSize)
		if err != nil {
			return nil, err
		}
		d.wal = w
		// The header may be newer in the log.
		if page, err := d.page(1); err == nil && string(page[:len(magic)]) == magic {
			copy(head, page)
		}
	}
	if e := binary.BigEndian.Uint32(head[offEncoding:]); e != encodingUTF8 && e != 0 {
		return nil, ondisk.Unsupported("SQLite database", "text encoding %d, which is not UTF-8", e)
	}
	switch {
	case d.wal != nil && d.wal.pages > 0:
		d.pages = d.wal.pages
	case binary.BigEndian.Uint32(head[offChangeCount:]) == binary.BigEndian.Uint32(head[offValidFor:]) && binary.BigEndian.Uint32(head[offPages:]) != 0:
		d.pages = binary.BigEndian.Uint32(head[offPages:])
	default:
		d.pages = uint32(min(size/int64(d.pageSize), 1<<32-2))
	}
	return d, nil
}

func (d *DB) setPageSize(head []byte) error {
	n := int(binary.BigEndian.Uint16(head[offPageSize:]))
	if n == 1 {
		n = maxPageSize
	}
	if n < minPageSize || n&(n-1) != 0 {
		return ondisk.Corrupt("SQLite header", offPageSize, "a page size of %d", n)
	}
	d.pageSize, d.usable = n, n-int(head[offReserved])
	if d.usable < 480 {
		return ondisk.Corrupt("SQLite header", offReserved, "%d bytes of each page are reserved", head[offReserved])
	}
	return nil
}

// page reads page n, which counts from 1.
func (d *DB) page(n uint32) ([]byte, error) {
	if n == 0 || d.pages > 0 && n > d.pages {
		return nil, ondisk.Corrupt("SQLite b-tree", 0, "page %d of %d", n, d.pages)
	}
	b := make([]byte, d.pageSize)
	if d.wal != nil {
		if off, ok := d.wal.frames[n]; ok {
			return b, readFull(d.wal.r, b, off)
		}
	}
	off := int64(n-1) * int64(d.pageSize)
	if !ondisk.Fits(off, int64(d.pageSize), d.size) {
		return nil, ondisk.Corrupt("SQLite file", off, "page %d is beyond its end", n)
	}
	return b, readFull(d.r, b, off)
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
