// Package txn is what stands between a filesystem driver and its metadata: the
// cache of verified metadata blocks, and the transactions and logs that change
// them.
//
// # Terms
//
//   - A Kind is a type of metadata buffer. The Store verifies a buffer once,
//     when it enters memory; a Tx seals it (its checksum) once, when the change
//     is whole. Drivers never checksum by hand. A buffer that fails its
//     verification is never handed out.
//   - A Log is a journal that a format defines, or one beside the volume
//     (redo). Recover replays it: into the
//     volume of a writable mount, or into an overlay for a read-only one. An
//     Appender is a Log that takes new transactions.
//   - A Tx is one change of a driver: a create, a rename. A transaction is what
//     the log holds: the joined changes of many Txs. At most one transaction is
//     running, which takes Txs, and one committing.
//   - Pending blocks are newer in memory than home: those of the running and
//     committing transactions, and those committed but not checkpointed.
//
// # Buffers do not change
//
// A buffer that anybody else can see is never written again. A Tx edits
// private copies. Its Commit puts them into the running transaction and the
// cache, all at once; Abort forgets them, at any time, as if nothing had been
// done. So a reader sees a block as it was before a Tx or after it, never
// between; a transaction is frozen by setting it aside; and a driver may find
// in the middle of a change that the disk is full, and give up.
//
// One Tx is open at a time. It waits for no log and for no data: data are
// written home with no Tx open, and Begin is the one place that waits for the
// log.
//
// # The protocol
//
// Each barrier has a name, which travels in the context of its Sync. The test
// named beside it, in tests/crash or in ext4/jbd2, fails when that barrier is
// left out.
//
// Data. New data are written home into blocks that nothing refers to, and only
// then a Tx maps them. A block that a Tx frees is not given out again before
// its transaction is durable (OnCommit).
//
// Commit of a transaction T, one at a time:
//
//  1. The driver marks the volume, once: whoever finds it next must recover it.
//     BarrierActivate (TestBarrierActivate): the log is not written before the
//     mark is durable. A marked volume with an empty log is harmless; a log on
//     an unmarked one is thrown away by the kernel.
//  2. The log's blocks are written. BarrierLog (TestBarrierLog): all of T, and
//     all data that T maps, are durable before its commit record is written.
//  3. The commit record is written. BarrierCommit (TestBarrierCommit): T is
//     durable. Only then fsync returns, T's freed blocks are given out again
//     and T's blocks may go home.
//
// Checkpoint, when the log is short of room, when much is pending, and at the
// end: the newest committed contents of each block go home, never what is
// running. BarrierHome (TestBarrierHome): they are durable before the log
// forgets them. Then the log's tail moves. BarrierTail (TestBarrierTail): the
// new tail is durable before its old blocks are written over.
//
// A metadata block that is freed while the log still holds a copy is revoked
// in the transaction that frees it, so that recovery does not write the copy
// over what the block is by then (TestRevoke).
//
// Recovery to a volume: what the log holds goes home. BarrierRecovered
// (TestBarrierRecovered): it is durable before the log is emptied.
//
// The clean end: commit, checkpoint, the log is emptied. BarrierEmpty
// (TestBarrierEmpty): that is durable before the mark of the volume goes.
// BarrierClosed (TestBarrierClosed): the volume is clean when Close returns.
//
// A log beside the volume (package redo) has no commit record: its steps 2 and 3
// are one write to the sidecar, between the barrier BarrierLog of the volume and
// the barrier BarrierCommit of the sidecar.
//
// # Failure
//
// A transaction that cannot be written makes the volume read-only: Begin
// answers EROFS with the reason, nothing more is written, and the reason is
// logged once. What was durable stays so. Readers see what they saw.
//
// # Locks, in order
//
//	Manager.flush   one commit or checkpoint at a time; held during I/O
//	  Manager.writer  one open Tx; held during the reads of metadata, not by readers
//	    Manager.mu      the tables of pending blocks; a leaf, never held during I/O
//
// The Store's locks are those of block.Cache, leaves.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package txn
