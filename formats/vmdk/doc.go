// Package vmdk reads VMware's virtual disks, by VMware's "Virtual Disk Format
// 5.0" (sections are cited by its headings) and, for seSparse, which VMware has
// not published, by what QEMU's driver reads.
//
// # How a disk lies in its files
//
// A descriptor, a text, names the extents that make the disk up in a row, and
// the parent of a delta. It is a file of its own, or lies inside the only
// extent. An extent is flat (the bytes themselves), or sparse: a grain
// directory has the places of grain tables, and these those of grains, of
// 64 KiB for the most part. A grain that is not there is the parent's, or zero.
// A stream-optimized extent has its grains compressed, each with a marker that
// says how long it is; where its header was written first, a footer at the end
// has the place of the grain directory.
//
//	descriptor.go  the text
//	open.go        from a descriptor to the parts of the disk, the parent
//	sparse.go      hosted sparse, stream-optimized and COWD extents
//	sesparse.go    seSparse extents
//	layout.go      every offset and bit, once
//
// Package extent does the rest: reading, decoding in parallel, read-ahead. The
// grain tables are the index of a stream; nothing is scanned.
//
// # What is read
//
// Versions 1 to 3, createTypes monolithicSparse, monolithicFlat,
// twoGbMaxExtentSparse and Flat, streamOptimized, vmfs, vmfsThin and their
// kind, vmfsSparse (COWD), seSparse, custom: any row of the extents FLAT, VMFS,
// SPARSE, VMFSSPARSE, SESPARSE and ZERO. The createType itself decides nothing.
// Deltas are read over their parents, which are found by parentFileNameHint and
// must have the CID that the delta says; of a path on a Windows host the last
// element is looked for. Descriptors may have either kind of line end, spaces
// around "=", any case and no quotes. An image that was renamed is read.
//
// A descriptor that says parentCID=ffffffff has no parent, whatever it hints
// at, as VMware has it.
//
// # What is refused by name
//
// Raw devices (fullDevice, partitionedDevice, RDM), NOACCESS extents,
// compression other than deflate, versions above 3, an seSparse extent whose
// journal was not written back, an extent of a disk without its descriptor,
// writing.
//
// The redundant grain directory is not used, and the LBA in a grain's marker
// is not compared.
//
// # Proof
//
// QEMU writes and reads most of this and is the oracle. COWD, seSparse, vmfs,
// a stream with a footer and disks of three extents are built by the tests from
// the layout, and read by QEMU too. ZERO extents and the quirks of descriptors
// that QEMU does not read are proven by construction only.
//
// Locks: none of its own; those of package extent.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package vmdk
