// Package vhd reads Microsoft's virtual disks, version 1 (VHD, QEMU's vpc), by
// the "Virtual Hard Disk Image Format Specification", version 1.0.
//
// # How a disk lies in the file
//
// A fixed disk is its bytes and a footer of 512 bytes. A dynamic one is cut in
// blocks, of 2 MiB for the most part: a table says where each is, and before
// each stands a bitmap of its sectors. In a differencing disk the bitmap says
// which of them are in this file and which in the parent. A copy of the footer
// stands at the beginning of both.
//
//	footer.go  the footer, and how the format is recognised
//	open.go    the dynamic disk header, the table, the parent
//	layout.go  every offset, once
//
// # What is read
//
// Fixed, dynamic and differencing disks. The footer at the end counts, or its
// copy where that is damaged, and Info.Damaged says so. The size of the disk is
// the footer's; but Virtual PC, Virtual Server and QEMU (unless force_size is
// on) show a guest the geometry's, which is rounded down, and so it is here,
// unless it is the largest one. QEMU does the same also for creators that it
// does not know, VirtualBox among them, and so cuts off the end of their disks.
// The bitmaps of dynamic disks are not looked at, as in QEMU.
//
// A parent is found by its relative name, its URL, its name, or the last
// element of its absolute path, whichever is there first, and must have the
// unique ID that the child says.
//
// # How it is recognised
//
// By the copy of the footer at the beginning; a fixed disk by a footer at the
// end that says so, with a good checksum and the size of the file. See probe
// for why nothing else at the end counts: the last sector of a raw disk is the
// guest's (CVE-2010-3851). A dynamic disk whose copy at the beginning is lost
// is read with --format=vpc.
//
// # What is refused by name
//
// Other disk types, other versions, writing.
//
// # Proof
//
// QEMU writes fixed and dynamic disks and is the oracle, also for what size
// which creator has. Differencing disks are built by the tests from the layout;
// QEMU reads none, so that they are proven by construction only.
//
// Locks: none of its own; those of package extent.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package vhd
