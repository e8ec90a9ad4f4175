// Package ext4 reads and writes ext2, ext3 and ext4, as the Linux kernel's
// Documentation/filesystems/ext4 describes them.
//
// # What it reads
//
// All features that the kernel reads: extents to depth 5 and the older block
// maps, inline data, hash trees of directories to three levels, extended
// attributes in the inode, in a block and in inodes, every size of block (1 to
// 64 KiB), inode and descriptor, 64bit, flex_bg, meta_bg, bigalloc,
// sparse_super2, casefold, and metadata checksums, which are verified as
// metadata enters memory. An incompatible feature that is not known, and
// compression, dirdata and journal_dev, are refused by name. What only a
// writer must know is accepted.
//
// A dirty journal is replayed into memory (journal.go): dev is then an overlay
// over the device that was given, which is never written. Fast commits are
// edits beside it, asked at three places: the bytes of an inode, the map of a
// file, the names of a directory.
//
// # What it writes
//
// Ext2, ext3 and ext4 with no features but those that writer.go lists: others
// make the filesystem read-only, by name. Not written are bigalloc, ea_inode,
// casefold, encrypt, mmp, quota, project, verity, shared_blocks, an external
// journal and revision 0. Neither is a filesystem in which the kernel found
// errors, that has fast commits to replay, or whose journal is damaged. Files
// have extents, or a block map as in ext2 and ext3, which has no unwritten
// blocks: fallocate(2) only makes holes there. What has inline data gets blocks
// of its own before its contents change; new files have no inline data.
//
// A change is a tx, on filesystems/txn: it reads the state it has made so far,
// and ends whole or leaves nothing. Checksums are set when it ends: inodes,
// then bitmaps in their descriptors, then descriptors; blocks of directories,
// extents, attributes and orphans by their Kinds. Counts in the superblock are
// set once a transaction. At a writable open the journal is replayed home, the
// orphan list and the orphan file are processed, and with the first change
// needs_recovery is set; Close takes it away.
//
// Without a journal the log lies beside the image (txn/redo, Options.Sidecar),
// and the mark is that of ext2, s_state without its bit for a clean unmount. A
// filesystem that has that mark and no such log is not written: nobody knows
// what its last user left. Whoever uses the filesystem otherwise changes a time
// or a count in its superblock, by which the log is found to be of another time.
//
// Blocks are chosen first-fit from a goal: behind the file's last block, or in
// its inode's group. A block that was freed is held back until that is durable.
// Where nothing else is free, Begin waits for that. Bitmaps are compared with
// their descriptors before the first change of a group. Uninitialised groups,
// and blocks of inode tables, are initialised by their first use.
//
// Data are written home before anything refers to them (Reserve, Extend). A
// cut to the middle of a block writes zeros behind the new end first, as the
// kernel does, so that a crash may show zeros there with the old size. An inode
// without a name is on the orphan list until Evict; what is too much for one
// change is a chain of them, the inode on that list meanwhile.
//
// A vfs.Inode is a view of what was at its time: whoever changes an inode reads
// it anew.
//
// # What it shows
//
// Encrypted names and symlink targets are shown in the form that the kernel
// shows without the key, and can be looked up in it. The contents of encrypted
// files are ENOKEY. A casefolded directory finds names under another case. An
// ACL is shown in Linux's form. The attributes that hold inline data and the
// encryption context are not shown, as in the kernel.
//
// Info.HasXattrs is false only where the superblock says that nothing ever set
// an attribute: the kernel and mke2fs set the feature ext_attr before the
// first one. So it is true for nearly all filesystems, and Attr.NoXattr, which
// costs nothing, says it for each inode.
//
// # Damage
//
// The superblock must be whole: it is read from its primary place only, and an
// error names the backups that e2fsck can restore it from. Anything else is
// judged where it is used. A bad group descriptor concerns its group, a bad
// inode itself, a bad directory block the names that are looked for in or
// behind it. A damaged hash tree is passed over, as in the kernel, and the
// blocks are searched one by one. A filesystem larger than its device, a
// truncated image, is opened with a warning through Options.Log, and what lies
// beyond the end is an error.
//
// # Memory and speed
//
// An inode is a view of the piece of its table in the metadata cache: getting
// it allocates one small struct, and its checksum is computed each time, which
// is cheaper than to remember that it was good. Trees are searched in the
// blocks as they are on the disk. A piece of a table that is missing is read
// with the used part around it; a directory is read ahead; Prefetch joins many
// of these reads.
//
// # Locks
//
// writer.mu guards the allocators' tables. It is taken inside of a change and
// outside, is held while a bitmap is read, and nothing but the caches' locks
// are taken under it. Otherwise all that changes after open is in
// filesystems/txn and formats/block.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package ext4
