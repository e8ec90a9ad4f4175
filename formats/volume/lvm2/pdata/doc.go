// Package pdata reads what device-mapper's persistent-data library writes: the
// metadata of thin pools and caches, which are B-trees and arrays of blocks of
// 4 KiB that are never changed in place.
//
// # Terms
//
//   - A block is 4 KiB of a metadata device, with a checksum in its first four
//     bytes, and its own number.
//   - A tree maps 64-bit keys to values of one size; its nodes are blocks.
//   - An array is a tree of blocks that each hold many values.
//   - A thin pool's mapping is a tree of trees: by device, then by virtual
//     block. Snapshots share nodes.
//
// The superblock is written last, so that what it leads to is whole whenever a
// machine stops. Every block is checked once when it is read; the depth of a
// tree is bounded.
//
// # Sources
//
// The names and sizes of drivers/md/persistent-data and dm-thin-metadata.c,
// dm-cache-metadata.c; thin_dump and cache_dump of thin-provisioning-tools are
// what the reader is compared with.
//
// This package may change.
package pdata
