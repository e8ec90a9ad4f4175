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
// Segments: linear and striped, error and zero.
//
// # Proof
//
// Labels, areas and the mapping of linear and striped volumes are compared with
// lvm2's own tools (lvs), which write and read images on loop devices without
// device-mapper; the bytes are compared with what device-mapper reads in an
// emulated Debian (testdata/lvm.sh of package volume).
//
// # Sources
//
// LVM2's own manual pages (lvmsystemid, lvm.conf, pvck --dump), and the names
// and sizes of its lib/format_text/layout.h.
//
// This package may change.
package lvm2
