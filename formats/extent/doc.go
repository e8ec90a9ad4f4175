// Package extent is what the formats have in common that cut a disk into
// blocks: a table says of each block that it is zero, that its bytes lie
// plainly in a file, or that they lie there compressed.
//
// A format answers one question, Config.Map: what is at this offset of the
// disk? A Disk makes of it a block.Device with everything that readers want:
// neighbouring extents are read at once, compressed blocks are decoded by
// several goroutines, kept in a bounded cache and decoded ahead of a
// sequential reader, and Locate says what lies plainly in a host file.
//
//	extent.go  an Extent, and joining a table's entries to one
//	disk.go    ReadAt, Locate, Prefetch and Close
//	packed.go  compressed blocks: merged reads, parallel decoding
//	pages.go   an image's tables, kept in pieces
//	related.go files that an image names: extents, parents
//
// # Memory
//
// Tables are kept in pages of 64 KiB up to the limit given to NewPages,
// decoded blocks up to Config.CacheBytes. Nothing else grows with the image.
//
// # Concurrency
//
// All types are safe for any number of goroutines. A Disk with compressed
// blocks has up to GOMAXPROCS goroutines for read-ahead, which end when there
// is nothing to do and which Close waits for (package ahead).
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package extent
