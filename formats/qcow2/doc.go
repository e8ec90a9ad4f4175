// Package qcow2 reads and writes QEMU's qcow2 images, versions 2 and 3, by the
// specification docs/interop/qcow2 of QEMU. Sections are cited by its headings.
//
// # How a disk lies in the file
//
// The disk is cut in clusters of 512 B to 2 MiB. The L1 table has one entry
// for each L2 table, an L2 table (one cluster) one entry for each cluster:
// where in the file its bytes are, that they are compressed, that they are
// zero, or that the backing file has them. With extended L2 entries the same
// is said of each 32nd of a cluster.
//
//	header.go     the header and its extensions, every number bounded
//	snapshot.go   the snapshot table
//	table.go      L1 and L2: from a guest offset to an extent
//	read.go       from extents to bytes
//	packed.go     compressed clusters: merged reads, parallel decoding
//	ahead.go      read-ahead of compressed clusters
//	locate.go     where the bytes lie, for readers that go to the file
//	layout.go     every offset and bit, once
//
// and for writing
//
//	writer.go     opening, the marks in the header, writing in place
//	remap.go      writing to clusters that have no room of their own
//	zero.go       zeros by entries
//	cluster.go    an L2 entry taken apart and put together
//	writetable.go changed L1 and L2 entries, until a Sync
//	sync.go       Sync and Close: the order of what goes to the file
//	allocate.go   host clusters given and taken back
//	refcount.go   reference counts in memory
//	writeref.go   reference counts to the file
//	rebuild.go    reference counts made anew, and
//	adopt.go      what of the old ones can stay
//	bitmap.go     persistent bitmaps
//	create.go     new images
//
// # What is read
//
// All of it: zlib and zstd clusters, backing files of any format (through
// image.Options.Related), external data files, extended L2 entries, internal
// snapshots. A disk that is larger than its backing file reads as zeros beyond
// it. Bytes of a cluster that lie beyond the end of the file are zeros, as in
// QEMU, which does not fill up the last cluster; a cluster that begins beyond
// it is damage.
//
// The LUKS encryption inside an image (crypt_method 2) is unlocked with
// Options.Keys; the key is looked for by the UUID in its header. What has no
// key is a *crypt.LockedError.
//
// Reading does not look at reference counts. A dirty or corrupt bit is reported
// in Info.Damaged, and the image is read.
//
// Refused by name: incompatible feature bits that the specification does not
// have (with the name that the image's own table gives them), AES encryption
// (crypt_method 1), compression types other than zlib and zstd, versions other
// than 2 and 3. For writing also an image with the corrupt bit, an encrypted
// one and an internal snapshot.
//
// Damage is found where it is met: a reserved bit that is set, an offset that
// is not aligned or outside the file, a compressed cluster that does not give a
// whole cluster. Each is an *ondisk.CorruptError with the offset of the
// structure in the file.
//
// # Writing
//
// A cluster to which only its L2 entry refers (its COPIED flag) is written in
// place. Any other write finds a free cluster, fills up what it leaves of it
// with what the disk had there (from the backing file, from a cluster that a
// snapshot shares, decompressed), and then changes the entry in memory. With
// extended L2 entries the unit of this is the subcluster. What was there
// before is as it was until a Sync, and so is what a Run says: a cluster whose
// bytes outside the write somebody may still read is kept by its snapshot, or
// was compressed and so Opaque. Clusters are never compressed anew. Zero sets
// the zero flag of whole units and gives their room back; version 2 has no
// such flag, so that zeros over a backing file are written. An external data
// file is written at the place that the disk says, and gets a hole for zeros.
//
// Clusters come from what the counts call free, then from the file's end
// (block.Grower). As in QEMU, the counts of an image that says they are right
// are trusted, but for clusters that hold tables when it is opened: a count of
// 0 for one of those is damage.
//
// The order in which things are durable:
//
//	marks     before the first write: bitmaps that follow writes are "in use",
//	          unknown autoclear bits cleared
//	version 3 the dirty bit, in the first epoch that has anything new
//	version 2 new reference counts: blocks, then the table, then the header
//	data      and L2 tables that no L1 entry names yet
//	          - barrier -
//	tables    changed L2 entries, L1 entries
//	          - barrier: here Sync returns -
//	freed     clusters that the file no longer refers to may be used again, once
//	          those have gone that looked them up before (grace)
//	Close     a Sync, the reference counts, barrier, the dirty bit cleared, barrier
//
// So after a crash everything synced is there. Version 3 is marked dirty, and
// who opens it for writing next, we or QEMU, makes the counts anew; version 2
// may have leaked clusters, which qemu-img check -r leaks finds. A barrier that
// fails ends writing for good: from then on nothing could be promised. Any
// other failure is of that call; what a failed write covered is then old or
// new, byte by byte.
//
// Opening for writing writes nothing. A dirty image has its counts made anew in
// memory, with the COPIED flags; they go to the file at Close. One whose tables
// use a cluster for two things is refused. An image that was opened and closed
// without a write is unchanged.
//
// # Memory
//
// L2 tables are kept in slices of at most 64 KiB, all of them for disks of up
// to 256 GiB at the usual cluster size (32 MiB); decompressed clusters up to
// 64 MiB. Options.CacheBytes bounds both together. The L1 table, of at most
// 32 MiB, is kept whole. Writing adds changed L2 slices, up to 16 MiB of them,
// then it does a Sync by itself; the changed refcount blocks since the image
// was opened, a 32,768th of what was allocated at the usual cluster size; and 16 MiB
// of unchanged ones. A repair keeps all counts, of at most 512 MiB.
//
// # Concurrency
//
// An Image is safe for any number of goroutines. A read of several compressed
// clusters decodes them with up to GOMAXPROCS goroutines, which it waits for.
// A sequential reader is noticed, and the clusters before it are decoded by up
// to GOMAXPROCS further goroutines, which end when there is nothing to do and
// which Close waits for (package ahead).
//
// Writes in place go on side by side. What changes the mapping takes
// writing.alloc, also over its I/O; no reader takes it. A Sync takes
// writing.syncing, and alloc only while it takes stock. writing.mu guards the
// entries, for readers too, and no I/O is done while it is held. The order is
// syncing, alloc, mu. Writes that overlap, and a read that overlaps a write,
// give each byte one of the values that it had.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package qcow2
