// Package lvm2 reads the volume groups of Linux's logical volume manager.
//
// # Terms
//
//   - A physical volume (PV) is a device with a label in one of its first four
//     sectors, which says where its metadata areas are.
//   - A metadata area has a header and a ring buffer, in which each change of
//     the group writes the whole text anew. A device has none, one or two.
//   - A volume group (VG) is all physical volumes that its metadata names. The
//     text with the highest sequence number of all areas of all devices counts.
//   - A logical volume (LV) is segments of extents, each mapped to physical
//     volumes or to other logical volumes.
//
// # Reading
//
// The committed text counts; a precommitted one is what a crashed change left.
// A label, header or text with a wrong checksum is a warning where another copy
// is right. A physical volume without metadata, or with older metadata, is
// found by its UUID in the group's newest text. What the text marks as MISSING
// came back with old contents and is not read.
//
// A logical volume that needs a physical volume which is not there is listed
// with the names of those, and is shown only where partial volumes are asked
// for; reads of what is missing fail then.
//
// Of two devices with one PV UUID the first is read and the second listed as a
// copy. Two groups of one name are told apart by their UUIDs, and their volumes
// by package volume's "~2".
//
// All visible logical volumes but pools are listed, active or not. A volume's
// On names all devices of its group.
//
// # Kinds
//
//   - linear and striped; error and zero.
//   - mirror: the first leg counts, as after a crash. raid1, raid4, raid5, raid6
//     and raid10 in all layouts, raid0: a leg that is missing, that dm-raid's
//     superblock says has failed, is behind or not rebuilt is left out.
//   - thin: volumes of a thin pool, their snapshots, and those with an origin
//     outside of the pool (package pdata).
//   - snapshot: the store of a classic snapshot is shown as the snapshot, its
//     origin as it is; while a snapshot is merged, the origin as it will be.
//   - cache: what the cache has is read from there, in a pool of two
//     sub-volumes or a single one (package pdata).
//
// Refused by name: VDO, writecache, integrity, a RAID in a reshape or with space
// for one.
//
// # Proof
//
// Labels, areas and the mapping of linear and striped volumes are compared with
// lvm2's own tools (lvs), which write and read images on loop devices without
// device-mapper. Of every other kind the bytes are compared with what
// device-mapper read in an emulated Debian (testdata/lvm*.sh of package volume),
// RAID also with each disk missing, RAID 6 with each two. By construction only:
// a merge that was interrupted.
//
// # Sources
//
// LVM2's own manual pages (lvmsystemid, lvmraid, lvmthin, lvmcache, pvck --dump),
// the names and sizes of its lib/format_text/layout.h, and device-mapper's
// documentation in the kernel.
//
// This package may change.
package lvm2
