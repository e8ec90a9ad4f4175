// Package layout is the on-disk format of XFS: every offset stands here, once,
// as in the publication "XFS Algorithms & Data Structures". The views edit and
// read the bytes in place; what they do not name stays as it is.
//
// Numbers are big-endian, but for checksums, which are little-endian. A view
// is as long as its comment says; that is for whoever makes one to see to.
//
// Metadata of version 5 describes itself: a Header says where a block of each
// kind keeps its checksum, its own address, its owner, the UUID and the
// sequence number of the log that wrote it. Version 4 has none of that.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package layout
