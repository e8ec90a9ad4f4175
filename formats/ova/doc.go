// Package ova reads the disks of an OVA, a tar that holds a virtual machine,
// and of an OVF, its description with the files beside it, by DMTF's DSP0243
// "Open Virtualization Format", whose element names are used.
//
// The description names files (References) and says which of them are disks
// (DiskSection); the disks are given in that order. In an OVA they are opened
// where they lie in the tar; nothing is unpacked, and no file of the host is
// opened. Of an OVF each file is opened through image.Options.Related. What is
// inside is found by its content: a stream-optimized VMDK for the most part.
//
//	tar.go       the members of the tar
//	envelope.go  the description
//	open.go      from both to the disks
//
// The digests of the manifest (.mf) are not compared, which would mean to read
// all of the tar.
//
// An OVA is recognised by a description among the first members of a tar, an
// OVF by its root element.
//
// Refused by name are files in chunks or compressed as a whole (ovf:chunkSize,
// ovf:compression), disks without a file (an empty disk is none), an OVA in an
// OVA, files that an image in a tar names, writing.
//
// The tests build OVAs with tar(1) from images of qemu-img, whose own decoding
// is the oracle.
//
// Locks: none of its own.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package ova
