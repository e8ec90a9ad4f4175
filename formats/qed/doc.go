// Package qed reads QEMU's older QED images, by QEMU's docs/interop/qed_spec,
// whose sections are cited.
//
// The disk is cut in clusters. The L1 table has the places of L2 tables, these
// those of clusters, or that one is zero; one that is nowhere is the backing
// file's, or zero.
//
//	open.go    the header, the tables, the backing file
//	layout.go  every offset and bit, once
//
// All of the format is read. An image that needs a check is read, and
// Info.Damaged says so. Refused by name are features that the specification
// does not have, and writing.
//
// QEMU writes the format and is the oracle.
//
// Locks: none of its own; those of package extent.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package qed
