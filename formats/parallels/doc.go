// Package parallels reads the expandable images of Parallels (.hds, .hdd), by
// QEMU's docs/interop/parallels, whose sections are cited.
//
// The disk is cut in clusters, of 1 MiB for the most part; the BAT behind the
// header says where each is, in sectors or, with the newer magic, in clusters.
// One that is nowhere is zero.
//
//	open.go    the header and the BAT
//	layout.go  every offset, once
//
// Both magics are read, with clusters of any number of sectors. An image that
// was not closed is read, and Info.Damaged says so. The format extension holds
// dirty bitmaps, which say nothing about the disk.
//
// The image of a snapshot has no mark of it: what it does not have is in its
// parent, which only the bundle's DiskDescriptor.xml names, and that is not
// read. Such an image reads as zeros there, as in QEMU. Refused by name are
// versions other than 2, and writing.
//
// QEMU writes the newer kind and reads both, and is the oracle; the older one
// is built by the tests.
//
// Locks: none of its own; those of package extent.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package parallels
