// Package compressed reads raw disks that were compressed as a whole: gzip
// (RFC 1952), xz (the .xz file format 1.2) and Zstandard (RFC 8878).
//
// # Random access
//
// None of the three was made for it. A file is cut into pieces that can be
// decoded on their own; the pieces that readers want are decoded by several
// goroutines, kept in a bounded cache and decoded ahead of a sequential reader
// (package extent).
//
//   - gzip: the whole file is decoded once when it is opened, which is the only
//     way to know how large it is, and compares every checksum. After each two
//     megabytes of the disk a Cut of the stream and the 32 KiB before it are
//     kept, compressed: up to 16 MiB of memory for each GiB that is not zero.
//     A read decodes two megabytes.
//   - xz: the index at the end of the file says where its blocks are; opening
//     costs nothing. A read decodes a block: xz -T0 makes blocks of 24 MiB at
//     its default level.
//   - zstd: the frames are found by the lengths of their blocks; those that do
//     not say how large they are get decoded once. A read decodes a frame.
//
// A block or frame of more than 192 MiB is refused by name: its end could be
// read only by decoding all of it. So are most files that xz made with one
// thread, and zstd without more frames (pzstd makes them).
//
// Each piece is verified by the checksum that the format has for it, gzip's by
// one that is taken when the file is opened.
//
// Refused by name are writing, an image of another format inside (which must
// be unpacked), xz filters other than LZMA2, Zstandard's dictionaries and
// windows of more than 8 MiB, and version 0 of lzip's and lzma's own files by
// not being recognised.
//
//	format.go  the three formats, the disk of pieces
//	gzip.go    the pass over a gzip file
//	member.go  headers and trailers of gzip's members
//	xz.go      streams, indexes and blocks of xz
//	xzblock.go one block
//	zstd.go    frames
//	window.go  reading a file from its beginning to its end
//
// The tests compare with what gzip, pigz, xz and zstd made.
//
// Locks: none of its own; those of package extent.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package compressed
