// Package jbd2 reads the journal of ext3 and ext4 (and ocfs2), the Linux
// kernel's Documentation/filesystems/ext4/journal.rst.
//
// # Terms
//
//   - The journal is a device of blocks, most often the bytes of inode 8. Its
//     block 0 is the journal superblock; the log is a ring from block s_first
//     to the end, without the fast-commit area.
//   - A transaction is descriptor blocks, each followed by the blocks whose
//     home its tags name, and revoke blocks, closed by one commit block. All of
//     them carry the transaction's 32-bit sequence number, which wraps.
//   - A revoke record says that no copy of a block up to and including its own
//     transaction may be replayed: the block was freed and may be data now.
//   - Escaped: a logged block that began with the journal's magic, which was
//     zeroed in the log and is put back on replay.
//
// # Recovery
//
// Recover makes four passes over the log.
//
//	scan     finds the end: the first block that does not continue the log
//	revoke   collects the revoke records for blocks that are in the log
//	verify   compares the checksum of every logged block that is not revoked
//	replay   makes the last copy of each block its contents at home
//
// On a read-only mount home is a block.Overlay and the replayed blocks are
// redirected to where the journal holds them, so that they cost no memory for
// their bytes; only escaped blocks are copied. The journal itself is never
// read through the overlay.
//
// # The end of the log
//
// As the kernel: a block without the magic or with another sequence number
// ends the log, and what is not committed is left out silently. A block whose
// checksum is wrong, and whose commit block is older than the transaction
// before it, is left over from an earlier filesystem and ends the log too.
//
// Unlike the kernel, which refuses to mount: where the last transaction has its
// commit block but some block of it does not match its checksum, recovery stops
// before it and says so in Replay.Torn. What is shown is then the state before
// that transaction, which is what e2fsck leaves.
//
// Damage that later transactions follow is an error that names the block:
// their changes can be home already, so that no consistent state can be
// shown. A later transaction is proven by a commit block with a right checksum
// (versions 2 and 3), at whatever place in the log it stands.
//
// A journal whose filesystem does not have the RECOVER feature set is not to be
// recovered, whatever it holds; that is the caller's to decide, as it is the
// kernel's in ext4_load_journal.
//
// # Checksums
//
// Version 1 (compat CHECKSUM): a CRC-32 of the transaction's descriptors and
// logged blocks in its commit block. Versions 2 and 3: a CRC-32C in each
// descriptor, revoke and commit block and one in each tag, of 16 or 32 bits.
// Journals without checksums are trusted as far as their framing goes.
//
// # Refused by name
//
// Unknown incompatible and read-only-compatible features, two versions of
// checksums at once, checksum types other than CRC-32C, a journal device that
// is shared by several filesystems, a log that names blocks beyond the
// filesystem, and more distinct blocks in the log than maxHomes.
//
// Memory is bounded by the number of distinct blocks in the log, about 32
// bytes for each, besides what the overlay holds.
//
// A Journal has no lock: it does not change after Open, but for Recover, which
// is called once and first.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package jbd2
