// Package files is what guestctl does with a guest's files without a mount:
// list, show, copy out, archive, checksum, find, search and describe them, on a
// vfs.Namespace and in this process.
//
// # How it is fast
//
// A kernel's mount answers one question after the other, in the order in which
// a program happens to ask. Here the whole task is known, so it is put into the
// order in which the data lies on the disk:
//
//   - Walk goes through a tree depth first, but lists many directories ahead of
//     itself and reads all their inodes at once (vfs.Prefetcher).
//   - bulk cuts the walk into batches. In each it sorts the small files by the
//     place of their first byte, merges neighbours into reads of up to
//     1 MiB, lets several workers read and work on them, and hands the files on in
//     the order of the walk.
//   - stream reads a large file in 1 MiB pieces, several at once, and passes
//     holes over.
//
// Memory is bounded by the batches in flight, not by the tree; what grows is
// one small key for each directory (to end where a damaged tree has a loop) and
// one for each file with several names.
//
// # Order
//
// A directory stands before what is in it, and all that is in it stands
// together: first the files, then its subdirectories. tar, which sets a
// directory's times when it leaves it, relies on that. Names are in the
// filesystem's order; List sorts.
//
// # Failures
//
// A file that cannot be read never ends an operation: it is handed to the
// Problem function of its options and the rest goes on, so that a damaged disk
// gives what it still has. What an operation returns is what ended it: the
// context, the output. An output is never silently short: in an archive the
// bytes that could not be read are zeros, and reported.
//
// # Changing the guest
//
// An Editor makes, removes, moves, links and writes files in a guest that is
// open for writing, through vfs like a mount does.
//
// # Writing to the host
//
// Copy trusts nothing that the guest chose. It creates every file relative to
// an open directory, by a single name and without following a symlink of the
// host, so that a hostile image cannot write outside the target.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package files
