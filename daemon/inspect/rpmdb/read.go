package rpmdb

import (
	"errors"
	"io"

	"github.com/guestctl/guestctl/daemon/inspect/sqlite"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A File is a database in a guest.
type File interface {
	io.ReaderAt
	Size() int64
}

// maxPackages bounds the packages of one database.
const maxPackages = 200_000

// errTooMany says that there are more.
var errTooMany = errors.New("the database has more than 200,000 packages")

// Read calls do for the header of each package in f, whichever of the three
// kinds it is. log is the write-ahead log of a SQLite database, nil where there is
// none. A header that is damaged is told to problem and left out.
func Read(f, log File, do func(Header), problem func(error)) error {
	count := 0
	take := func(blob []byte) error {
		if count++; count > maxPackages {
			return errTooMany
		}
		h, err := parse(blob)
		if err != nil {
			problem(err)
			return nil
		}
		do(h)
		return nil
	}
	head := make([]byte, min(512, f.Size()))
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return err
	}
	switch {
	case isNDB(head):
		return readNDB(f, head, take, problem)
	case isBDB(head):
		return readBDB(f, head, take, problem)
	}
	return readSQLite(f, log, take)
}

// readSQLite reads the table Packages(hnum, blob).
func readSQLite(f, log File, take func([]byte) error) error {
	var d *sqlite.DB
	var err error
	if log != nil {
		d, err = sqlite.Open(f, f.Size(), log, log.Size())
	} else {
		d, err = sqlite.Open(f, f.Size(), nil, 0)
	}
	if err != nil {
		if errors.As(err, new(*ondisk.NotThisError)) {
			return ondisk.Corrupt("RPM database", 0, "it is neither a Berkeley DB hash nor an NDB nor a SQLite database")
		}
		return err
	}
	t, err := d.Table("Packages")
	if err != nil {
		return err
	}
	c := t.Column("blob")
	if c < 0 {
		return ondisk.Corrupt("RPM database", 0, "the table Packages has no column blob")
	}
	return t.Rows(func(row []sqlite.Value) error {
		if c >= len(row) {
			return nil
		}
		return take(row[c].Blob())
	})
}

// readFull fills p or says why not.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	if n, err := r.ReadAt(p, off); n < len(p) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}
