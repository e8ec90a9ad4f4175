// Package vhdx reads Hyper-V's virtual disks, version 2 (VHDX), by [MS-VHDX],
// whose sections are cited.
//
// # How a disk lies in the file
//
// The disk is cut in payload blocks of 1 to 256 MiB. The BAT has an entry for
// each: where its bytes are, or that it is zero, or not there. After the
// entries of each chunk, 2^23 sectors, stands one for a sector bitmap block,
// which says of every sector of a differencing disk whether it is in this file
// or in the parent's. Two headers take turns; two copies of a region table say
// where the BAT and the metadata are; a log has changes to all of these.
//
//	header.go  headers, regions, metadata
//	log.go     the log: the newest whole sequence, replayed in memory
//	open.go    the BAT, the parent
//	layout.go  every offset and bit, once
//
// # What is read
//
// Fixed, dynamic and differencing disks with logical sectors of 512 or 4096
// bytes. Of the headers the valid one with the larger sequence number counts,
// and of the region tables the first valid one. A log in use is replayed into
// an overlay in memory before anything else is read (2.3.3), and the file is
// not changed; Info.Damaged says so. A parent is found by its relative path, or
// else by the last element of its absolute one, and must have the
// DataWriteGuid that the child says. Blocks that are not there, undefined,
// zero or unmapped read as zeros; in a differencing disk those that are not
// there are the parent's.
//
// # What is refused by name
//
// Required regions and metadata items that the specification does not have,
// versions other than 1, a log in use of more than 64 MiB or with changes of
// more, writing.
//
// # Proof
//
// QEMU writes fixed and dynamic disks and is the oracle. What it does not write
// is built by the tests from the layout: a dirty log, which QEMU replays when
// it repairs a copy and so is the oracle of; differencing disks and logical
// sectors of 4096 bytes, which it does not read, and which are proven by
// construction only.
//
// Locks: none of its own; those of packages extent and block.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package vhdx
