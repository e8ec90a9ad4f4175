// Package ntfs reads NTFS, of every version from 1.2 to 3.1.
//
// Sources: Microsoft's developer notes on the Master File Table, [MS-FSCC],
// [MS-XCA] and [MS-DTYP], and the documentation of the Linux-NTFS project.
// What they leave open follows ntfs-3g, with which the tests compare.
//
// # Terms
//
//   - A record is an entry of $MFT: a file's base record, or an extension of
//     one. An inode's number is its base record's; its generation is the
//     record's sequence number. $MFT itself, record 0, has the number 2^47-1,
//     since 0 names no inode.
//   - An attribute is a part of a record; a stream is an attribute's value,
//     resident in the record or in clusters, put together from the segments
//     that an attribute list names.
//   - A run is a stretch of clusters; a unit is 16 clusters that LZNT1
//     compresses together; a chunk is what WOF compresses together.
//
// # Metadata
//
// $MFT is read through a device that puts its fragments in a row, and a
// txn.Store over that keeps pieces of 4 KiB, whose fixups are applied once as
// they enter memory; a miss reads 64 KiB around, Prefetch few large sorted
// stretches. A torn record is marked "BAAD", as NTFS does, and is an error at its
// use; its neighbours are not. Where one of the first four records is damaged,
// $MFTMirr's is used, with a warning. A boot sector with numbers that cannot be
// is refused; the error says whether the backup at the volume's end is intact.
//
// Mapping pairs are decoded at each Map, from the start of their segment: a
// segment is at most a record, so this costs microseconds and no memory.
// An attribute list is bounded by NTFS's own 256 KiB and never leads to another.
//
// # Names
//
// Names are UTF-16; an unpaired surrogate is kept as its three-byte generalised
// UTF-8 form, so that every name can be looked up. As with ntfs-3g names are
// case-sensitive by default, also where Windows' directory is not;
// the option ignore_case finds a name in another case where there is none
// exactly, by the volume's $UpCase. Lookup goes down the B+-tree of $I30: a
// block for each level. Short DOS names are not listed and not counted as
// links, but found. The root's system files ($MFT, ...) are not listed, but
// found, unless the option show_sys_files is set. Listings are in the order of
// the disk: a cursor is a place in $INDEX_ROOT or $INDEX_ALLOCATION.
//
// # Streams
//
// An alternate data stream is the extended attribute user.ntfs.stream.NAME, and
// an inode of its own, found in a directory as "file:NAME" or "file:NAME:$DATA"
// where no entry has that name (ntfs-3g allows colons in names); ":NAME" is a
// stream of the directory itself. Such an inode has the number of its file and,
// as its Tree, the place of the stream among the file's, from 1 on. Linux's limit
// of 64 KiB and of 255 bytes for a name makes large ones files only.
//
// # Contents
//
// What is behind a stream's valid length reads as zeros, as do sparse runs.
// LZNT1 units and the files that the Windows Overlay Filter compresses
// (XPRESS with chunks of 4, 8 and 16 KiB, LZX with 32 KiB) are decoded, chunk by
// chunk with a bounded cache; WofCompressedData is not listed as a stream then.
// Contents that are not here are refused with EOPNOTSUPP and never shown as
// zeros: EFS files, whose keys are the user's; files of data deduplication,
// hierarchical or single-instance storage and WIMBoot; offline files of others,
// such as cloud storage.
//
// # Rights and types
//
// Without options everything belongs to 0:0 with the mode 0777, as in ntfs-3g;
// uid=, gid=, umask=, dmask= and fmask= change that. The option permissions
// takes owner, group and mode from the security descriptor, as ntfs-3g does
// without a mapping file: its default numbers, Samba's and those of the NFS
// server are known, administrators and all others are 0. What WSL keeps in
// extended attributes ($LXUID, $LXGID, $LXMOD, $LXDEV) counts before them.
// The descriptor itself is system.ntfs_acl; DOS attributes are
// system.ntfs_attrib, the four times system.ntfs_times, raw reparse points
// system.ntfs_reparse_data and extended attributes system.ntfs_ea, none of them
// listed, as in ntfs-3g.
//
// Symlinks, FIFOs, sockets and devices are those of Interix (which ntfs-3g
// writes), of WSL and of the NFS server, by their reparse tags or contents. As in
// ntfs-3g an empty system file that is not hidden is a FIFO.
//
// # Symlinks and junctions of Windows
//
// Backslashes become slashes. A relative target keeps its form; a rooted one
// ("\x") is made relative to the link. An absolute one begins with a drive
// letter, and which volume that is stands in the registry and not here: where the
// path is on this volume, it is taken to be meant and is made relative too, so
// that it leads there wherever the volume is mounted. Else the target is
// "/??/D:/x", NT's own name of it, as are volume names and network shares.
// Names are written in the case that they have on the volume, since Windows
// follows links whatever their case.
//
// # A volume that was not unmounted
//
// Info.Dirty is set, and Features says why: "dirty" where chkdsk is due
// (VOLUME_IS_DIRTY), "log-unclean" where $LogFile has open records,
// "fast-startup" where its version is 2.0, which Windows uses when metadata may
// be in its cache, "hibernated" where hiberfil.sys holds a running system.
// The volume is shown as it is on the disk: the records of $LogFile are not
// replayed.
//
// # Locks
//
// FileSystem.usageMu and security.mu are held while their part is read, and
// nothing else is taken under them but the caches' own locks, which are leaves.
package ntfs
