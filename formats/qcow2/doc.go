// Package qcow2 reads QEMU's qcow2 images, versions 2 and 3, by the
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
// # What is read
//
// All of it: zlib and zstd clusters, backing files of any format (through
// image.Options.Related), external data files, extended L2 entries, internal
// snapshots. A disk that is larger than its backing file reads as zeros beyond
// it. Bytes of a cluster that lie beyond the end of the file are zeros, as in
// QEMU, which does not fill up the last cluster; a cluster that begins beyond
// it is damage.
//
// Reference counts are not read. A dirty or corrupt bit is reported in
// Info.Damaged, and the image is read.
//
// Refused by name: incompatible feature bits that the specification does not
// have (with the name that the image's own table gives them), encryption (AES
// and LUKS), compression types other than zlib and zstd, versions other than 2
// and 3, writing.
//
// Damage is found where it is met: a reserved bit that is set, an offset that
// is not aligned or outside the file, a compressed cluster that does not give a
// whole cluster. Each is an *ondisk.CorruptError with the offset of the
// structure in the file.
//
// # Memory
//
// L2 tables are kept in slices of at most 64 KiB, all of them for disks of up
// to 256 GiB at the usual cluster size (32 MiB); decompressed clusters up to
// 64 MiB. Options.CacheBytes bounds both together. The L1 table, of at most
// 32 MiB, is kept whole.
//
// # Concurrency
//
// An Image is safe for any number of goroutines. A read of several compressed
// clusters decodes them with up to GOMAXPROCS goroutines, which it waits for.
// A sequential reader is noticed (streams), and the clusters before it are
// decoded by up to GOMAXPROCS further goroutines, which end when there is
// nothing to do and which Close waits for. The locks, streams.mu and ahead.mu,
// are leaves: nothing is called while one is held.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package qcow2
