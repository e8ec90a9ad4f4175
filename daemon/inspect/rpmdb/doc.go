// Package rpmdb reads the headers in rpm's package database, in each of the three
// files that it has been kept in:
//
//   - Packages, a Berkeley DB hash of rpm 4.0 to 4.15 (RHEL and CentOS to 8);
//   - Packages.db, rpm's own NDB (openSUSE);
//   - rpmdb.sqlite, since rpm 4.16 (Fedora 33, RHEL 9).
//
// Each holds one header for a package; see header.go for its layout, which is
// that of rpm's format manual ("RPM v4 header format") with the index and the
// data behind each other.
//
// The file of Berkeley DB is read page by page, not through its hash: every
// page that is a hash page gives its pairs, so that the hash function and the
// directory of buckets need no trust. Its byte order is that of the machine it
// was written on. Encrypted files are refused by name. Of NDB's file the slots
// say where the blobs are. Names are those of db_page.h and rpm's lib/backend/ndb.
//
// # Sources and proof
//
// rpm 4.18 writes the SQLite databases of the tests and db5.3_load the Berkeley DB
// ones, in both byte orders; `rpm -qa` is the oracle of both. Debian's rpm has no
// NDB; the tests write one by the layout here, and openSUSE's own is read in
// TestRealDatabases, beside those of CentOS 5 to 8, RHEL 8 on s390x, Fedora, Rocky,
// Oracle and Mariner, for which the packages and fields were compared with those
// that github.com/anchore/go-rpmdb v0.2.2 finds.
//
// # Hostile guests
//
// Every number is compared before use, a blob has at most MaxHeader bytes, an
// index at most maxTags entries, and a chain of overflow pages at most as many
// pages as its length needs.
//
// This package imports ondisk and the sqlite reader beside it, and may change.
package rpmdb
