// Package xfs reads XFS, versions 4 and 5, as the publication "XFS Algorithms
// & Data Structures" describes it. The layout is in package layout, the log in
// package xlog.
//
// # What it reads
//
// Blocks of 512 bytes to 64 KiB, directory blocks to 64 KiB, sectors to 32 KiB;
// forks that are local, lists of extents or B+trees; directories in the inode,
// in one block, with one leaf, with many; attributes in the inode, in a leaf,
// below nodes, with remote values; remote symlinks. Of version 4: with and
// without types in entries, attr1 and attr2, project numbers of 16 and 32 bits,
// inodes of versions 1 and 2, ASCII case-insensitive names, logs of versions 1
// and 2. Of version 5: finobt, sparse inodes, meta_uuid, reverse mapping,
// reflink, bigtime, inobtcount, nrext64, exchange and parent pointers.
//
// # What it refuses, by name
//
// Versions 1 to 3 and directories of version 1; metadata directories with
// realtime groups, zoned filesystems and unknown incompatible features; a
// filesystem that says that it needs repair; a log on another device, unless
// recovery was not asked for. The contents of realtime files are refused where
// they are read. Features that only a writer must know are accepted.
//
// # What it shows
//
// What Linux shows to root. Attributes have the prefixes user., trusted. and
// security.; an ACL is shown as system.posix_acl_access or _default, and also
// as trusted.SGI_ACL_FILE or _DEFAULT, as there. Parent pointers and attributes
// that were not completed are hidden. Inodes without links, which wait in the
// unlinked lists, are not there. The inodes of quota and of realtime space
// cannot be reached.
//
// # Recovery
//
// A dirty log is replayed into memory (recovery.go): dev is then an overlay
// over the device that was given, which is never written. What the log intended
// and had not finished is looked at after that. Space that was to be freed and
// records of who owns a block do not matter to a reader. Extents that were to
// be mapped, unmapped or exchanged between two files are edits beside the
// inodes (edits.go), asked where an inode and where its map is read. Attributes
// that were to be changed are reported in the log and shown as they were.
//
// # Damage
//
// Every block of metadata is verified as it enters memory: its checksum, its
// own address, its owner and the filesystem it belongs to where version 5
// records them, and its structure in both versions. An inode is verified at
// each use. A number in a directory that names no inode is ENOENT where the
// inode B+tree agrees that there is none, and damage where it does not. Only
// the primary superblock is read. A filesystem larger than its device is
// opened with a warning; what lies beyond the end is an error.
//
// # Memory and speed
//
// An inode is a view of a cached piece of its cluster. Names are found by
// their hash: a cold lookup reads the index from its root and one data block.
// A missing piece of inodes is read with the chunk of 64 inodes around it, a
// directory is read ahead, and Prefetch joins many of these reads.
//
// # Locks
//
// None of its own. All that changes after open is in the caches of
// filesystems/txn and formats/block.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package xfs
