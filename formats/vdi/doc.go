// Package vdi reads VirtualBox's virtual disk images (VDI), version 1.1, whose
// layout VirtualBox's sources document.
//
// The disk is cut in blocks of 1 MiB; a map says of each which block of the
// file it is, that it was discarded (zero), or that it was never written: then
// it is the parent's, or zero.
//
//	open.go    the header, the map, the parent
//	layout.go  every offset, once
//
// Read are dynamic, fixed and differencing images with blocks of any power of
// two. A differencing image knows its parent by its UUID alone, and VirtualBox
// keeps the names elsewhere. The parent is looked for beside the image as
// "{UUID}.vdi", which is how VirtualBox names the images of snapshots; a base
// image must be given that name, and the refusal says so. The parent must have
// the UUIDs that the child says.
//
// Refused by name are version 0, undo images, blocks with extra data, writing.
//
// QEMU writes dynamic and fixed images and is the oracle. Differencing images
// and other block sizes, which QEMU does not read, are built by the tests, and
// proven by construction only.
//
// Locks: none of its own; those of package extent.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package vdi
