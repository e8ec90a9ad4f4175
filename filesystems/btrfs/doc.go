// Package btrfs reads btrfs, of one device or several, as the documentation of
// its on-disk format describes it (btrfs.readthedocs.io, "On-disk Format" and
// "Trees"). Where that is silent it does what Linux does, which the tests
// compare it with.
//
// # Terms
//
//   - A logical address is one of the space that all devices make up together.
//     A chunk maps a range of it to stripes on devices, by its profile.
//   - A tree is a B-tree of items with keys (objectid, type, offset), in blocks
//     of nodesize bytes. The tree of roots names the others.
//   - A subvolume is a tree of files; a snapshot is one that began with the
//     blocks of another. vfs.Ino.Tree is its number, and 0 for the one that is
//     shown, so that its inodes keep the numbers that the guest sees.
//   - The log is a tree for each subvolume of what was fsynced since the last
//     commit.
//
// # What it reads
//
// Sectors of 4 to 64 KiB and blocks to 64 KiB; checksums crc32c, xxhash64,
// sha256 and blake2b; the profiles single, dup, raid0, raid1, raid1c3, raid1c4,
// raid10, raid5 and raid6; mixed block groups; seed devices; metadata_uuid;
// inline, regular, preallocated and hole extents, with explicit holes and
// without; zlib, lzo and zstd; names by hash and by index, extended references,
// extended attributes and ACLs, subvolumes within subvolumes.
//
// The options are those of Linux where they change what is shown: subvol=,
// subvolid=, norecovery and nologreplay, usebackuproot, rescue= with these and
// ignoredatacsums. Without the first two the default subvolume is shown. Others
// are for writers and passed over. Subvolumes lists all of them.
//
// # What it refuses, by name
//
// Zoned filesystems, extent tree v2, the RAID stripe tree, the remap tree and
// unknown incompatible features; images of btrfs-image; a change of the UUID
// that was not completed; encrypted or otherwise encoded extents, where they
// are read. Features that only a writer must know are accepted: quota, the free
// space tree and the block group tree are not looked at. fs-verity's own items
// are not either: what it protects is read as any file.
//
// # Devices
//
// Open takes the devices of a filesystem, seeds included, in any order; those
// of others are left out with a warning. A device that was not given, missed
// the last transactions or gives bad bytes is passed over for a copy, or for
// what parity says (copies.go, parity.go). Where there is none a MissingError
// names the device. Given one device of several, Open works as far as that goes.
// Of a device's superblocks the first counts where it is good, else the newest;
// of the devices', the newest.
//
// # Verification
//
// A tree block is verified when it enters memory: its checksum, its address,
// its filesystem, and that every key and item can be used as it is. At each
// step down its generation, level, owner and first key are compared with what
// the parent says, and its keys with the next pointer's: so no walk sees a block
// twice, and every walk ends. txn.Store has one device and one copy of a block
// and is not used here; block.go has the same shape with several.
//
// Data that has checksums is Encoded to vfs: Decode reads straight into the
// caller's buffer and verifies each sector there. Data without checksums
// (nodatasum) is Mapped where it has one copy.
//
// # The log
//
// A filesystem that was not unmounted is replayed in memory (replay.go): the
// objects that the log touches are copied with all their items into edits,
// which every cursor asks first, and its checksums of data stand before those of
// the checksum tree. The result is what Linux's own replay leaves, but for the
// times of inodes whose names it changes, which Linux sets to that of the mount.
// The copies are bounded by 512 MiB, beyond which the log is refused by name.
//
// # What differs from Linux
//
// Usage knows nothing of the reserve for metadata that Linux takes off, and of
// how Linux would cut new chunks: it shows some more to be available. The empty directory that stands in a snapshot for a subvolume that it does not
// contain has a number of its own, and the times of its parent.
//
// # Locks
//
// FileSystem.mu is a leaf and guards the table of opened subvolumes. All else
// that changes after open is in the caches of formats/block.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package btrfs
