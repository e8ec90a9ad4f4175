// Package check reads all reachable metadata of an image and says what of it is
// damaged: by structure and offset, and without changing a byte.
//
// # What is read
//
//   - The image's own tables, for the present state and for every internal
//     snapshot: Locate is asked for the whole disk, which makes a format decode
//     every entry of its tables.
//   - The partition tables, as opening the image reads them.
//   - Of every filesystem that a driver reads, with its journal replayed in
//     memory: every directory, each name in it looked up once more by its index;
//     every inode; every extent of every file, which must lie on the volume; every
//     symlink and extended attribute; what statfs sums up. The drivers verify
//     the checksums that the structures have.
//   - Where link counts and the ownership of blocks are plain (ext2, ext3,
//     ext4; NTFS and FAT for blocks): that a file has as many names as it says, and
//     that no two files have a block in common.
//   - With Options.Data the contents of all files, which finds what the host
//     cannot read and what cannot be decompressed. Few filesystems have checksums
//     of contents.
//
// # What is not
//
// A driver that reads has no use for what only a writer needs: allocation
// bitmaps and B-trees, backup superblocks, free space, quota files. They are
// named in NotChecked of every answer (notchecked.go), so that nobody takes it
// for a fsck. A damaged structure hides what is only reachable through it.
//
// A check gives up after MaxFindings, and says so.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package check
