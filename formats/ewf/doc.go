// Package ewf reads forensic images of the Expert Witness Compression Format,
// version 1 (E01, and SMART's s01), by libewf's "Expert Witness Compression
// Format specification".
//
// An image is a row of segment files, each a chain of sections. A volume
// section says how large the disk and its chunks (32 KiB for the most part)
// are, table sections where each chunk lies, compressed by zlib or not.
//
//	segment.go  sections, the volume and the tables
//	open.go     the segments, and from tables to chunks
//	layout.go   every offset, once
//
// All tables are found when the image is opened, which reads one descriptor
// for each half gigabyte; their entries are read when they are needed. Every
// chunk that is read is verified: an Adler-32 follows it or is in its zlib
// stream. The checksums of section descriptors, volume and table headers are
// verified too; the digests of the whole disk are not.
//
// Segments are found by the name of the first, .E01 or .s01, and must have the
// numbers that they should. An image that lacks chunks is read as far as it
// goes, and Info.Damaged says so.
//
// Refused by name are version 2 (Ex01), logical evidence (L01), writing.
//
// The tests make images with ewfacquirestream of libewf from bytes that they
// know.
//
// Locks: none of its own; those of package extent.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package ewf
