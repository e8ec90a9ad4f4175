// Package xlog reads the log of XFS, the journal that the publication "XFS
// Algorithms & Data Structures" describes in its chapter on journaling.
//
// # Terms
//
//   - The log is a ring of sectors of 512 bytes. Each time it is gone round its
//     cycle number goes up; every sector begins with the cycle in which it was
//     written.
//   - A record is one write: a header of one or more sectors and a payload. The
//     first word of each sector of the payload is kept in the header, since
//     the cycle stands in its place. A log sequence number (LSN) is a cycle and
//     the sector at which a record begins.
//   - The head is where the next record would be written, the tail where the
//     oldest one begins whose changes may not be home yet.
//   - An operation is a piece of a transaction; the pieces of one may be spread
//     over records, between those of others.
//   - An item is one change in a transaction: bytes of a buffer, an inode, new
//     inodes, or an intent: something that the transactions after this one
//     will do, and that a done item takes back.
//   - A cancelled buffer was freed: no change to it up to its cancel item is
//     replayed, since something else may be there.
//
// # Recovery
//
// Open finds the head by the cycles and the tail by the last record. Where that
// record is no unmount record the log is dirty, and the last eight records, as
// many as can have been under way at once, are compared with their checksums:
// the log ends before the first bad one, as in the kernel, and Replay.Torn says
// so. The records between tail and head are then compared as well. In version 4
// written by old kernels there are no checksums; there the head alone decides.
//
// Recover goes through the log twice. The first pass collects the cancelled
// buffers, the second makes the changes of each transaction, in the order of
// its commit: buffers and new inodes, then inodes, then the pointers of unlinked
// inodes. A buffer whose own LSN is not older than the transaction is skipped,
// and so is an inode whose LSN is newer; of those without one, all changes are
// made. What was changed gets the LSN of the transaction and its checksum when
// the next LSN begins, as when the kernel writes it.
//
// Quota items are skipped: nothing that is shown depends on them.
//
// Home is a block.Overlay on a read-only mount. The log itself is never read
// through it.
//
// # Intents
//
// Intents that were not done are given by Intents, for the filesystem to act
// on. To free extents, and to change the trees of owners and of reference
// counts, concerns no reader.
//
// # Refused
//
// Unknown items and versions of records, and a transaction of more than
// maxTransaction bytes. Damage is a CorruptError whose offset is in the log.
//
// A Journal has no lock: it does not change after Open, but for Recover, which
// is called once and first.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package xlog
