// Package sqlite reads the tables of a SQLite 3 database in a guest: rpm's and
// FreeBSD pkg's package databases. It reads pages through an io.ReaderAt, so that
// no copy of the file is made, and knows no SQL beyond the names of columns.
//
// It follows "Database File Format" (sqlite.org/fileformat2.html), sections 1 and
// 4; names are from there. A write-ahead log beside the file is read as SQLite
// would: the frames up to the last commit whose checksums are right stand for the
// pages of the file. A rollback journal is refused by name, since the file
// alone may then hold half a transaction; so are encodings other than UTF-8, and
// WITHOUT ROWID tables.
//
// # Hostile guests
//
// Every number is compared before use. A b-tree is at most maxDepth pages deep, a
// walk visits at most as many pages as the database has, a value has at most
// MaxValue bytes, and no page is read twice in one walk.
//
// A DB is for one goroutine. This package imports ondisk only and may change.
package sqlite
