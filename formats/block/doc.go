// Package block is the bottom of GuestCtl: bytes at offsets.
//
// A Device is anything with bytes: a host file, the flat disk inside a qcow2
// image, a partition of it, a decrypted volume. Layers stack by wrapping one
// Device in another: a Section is a part of a Device, a Concat several of them
// in a row, an Overlay a Device with changes held in memory.
//
// A Device answers two questions. ReadAt: which bytes are there. Locate: where
// do they lie. Locate lets a reader skip what is known to be zero, read in the
// order of the host file, and report holes, without knowing any format.
//
// Terms
//
//   - Offset and length are in bytes, always, and fit an int64.
//   - A Run is the longest stretch at an offset that has one answer.
//   - Opaque: the bytes exist but are not plainly in a host file: compressed,
//     encrypted, overlaid. They can be read only through ReadAt.
//
// Concurrency: every Device may be used by any number of goroutines. A Run is
// valid until an overlapping write. Locks in this package are leaves: nothing
// is called and no I/O is done while one is held.
//
// Errors: what is beyond Size is io.EOF, by io.ReaderAt's rules. A Device that
// finds damage answers *ondisk.CorruptError of its own format.
//
// This package imports the standard library only and may change; the stable
// packages are vfs, formats, filesystems and daemon/client.
package block
