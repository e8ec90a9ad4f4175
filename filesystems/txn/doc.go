// Package txn is what stands between a filesystem driver and its metadata: the
// cache of verified metadata blocks, and the transactions and logs that change
// them.
//
// A metadata buffer has a Kind. The Store verifies it once, when it enters
// memory, and will seal it once, when it leaves; drivers never checksum by
// hand. A buffer that fails its verification is never handed out.
//
// A Log is a journal that a format defines: jbd2, the XFS log, or the redo
// log beside an image whose format has none. On a read-only mount only Recover
// is used, and home is a block.Overlay, so that the image stays as it is.
//
// Locks: the Store's are those of block.Cache, leaves.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package txn
