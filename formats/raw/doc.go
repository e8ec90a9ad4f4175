// Package raw reads and writes a host file or block device as a block.Device:
// the bottom under every image, and the whole of an image without a format.
//
// A File is one open file description, and it keeps QEMU's lock on the image
// for as long as it is open. Size is taken once, when the file is opened, and
// changes by Grow alone. A file that is cut short while it is open answers
// io.ErrUnexpectedEOF, never a signal, since nothing here maps the file into
// memory.
//
// # Writing
//
// WriteAt and Zero stay inside Size: nothing but Grow makes a file longer and
// nothing makes it shorter. Before each write the host is asked for the length,
// since a write to a file that somebody cut short would make it long again,
// with zeros where the bytes were.
//
// Sync is fdatasync. Linux reports a page that could not be written once and
// then takes it for clean, so a later fdatasync would succeed without the bytes
// being there: a Sync that failed fails for as long as the File is open.
// Without such a failure an error of WriteAt or Zero is that call's alone, such
// as ENOSPC.
//
// # Locks
//
// QEMU (block/file-posix.c) says with locks on single bytes of the image what
// an opener does and what it does not let others do. Byte 100+i is "I use
// permission i", byte 200+i is "I do not share permission i"; the permissions
// are 0 consistent read, 1 write, 2 write unchanged, 3 resize. All of them are
// shared (read) locks of the open file description (F_OFD_SETLK), so they
// never conflict by themselves: an opener first takes its own, then asks with
// F_OFD_GETLK whether somebody holds the byte that forbids what it wants, or
// the one that says somebody does what it forbids. Two that open at the same
// time may so both be refused; never are both let in.
//
//	           takes                      asks for
//	reading    100, 201, 203              101, 103, 200
//	writing    100, 101, 103, 201, 203    101, 103, 200, 201, 203
//
// Reading takes what a read-only VM takes, so that readers share and a writer
// and a reader exclude each other, in both directions. A backing file is read,
// whatever is done to the image above it.
//
// A filesystem without such locks is a warning, not an error: QEMU does the
// same. Closing the file gives the locks back.
//
// # Locate
//
// Holes of a sparse host file are Zero, the rest is Data. What lseek's
// SEEK_DATA and SEEK_HOLE found is remembered, so that a reader which asks
// before every read pays no system call. A file opened with ForceShare may
// change below us; it is all Data.
//
// # Read-ahead
//
// A File leaves read-ahead to the host: for one sequential reader neither
// FADV_SEQUENTIAL nor our own WILLNEED ahead of it was measurably faster, and
// the latter cost processor time. Prefetch is for readers that know more than
// the host: where in the file the next extent lies.
//
// Concurrency: a File is safe for any number of goroutines. Its locks,
// File.closing and File.growing, are leaves. Prefetch starts goroutines, at most prefetchers at
// a time, and Close waits for them.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package raw
