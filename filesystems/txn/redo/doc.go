// Package redo is a log beside the volume, for formats without a usable
// journal: ext2, ext4 without one, FAT.
//
// # Terms
//
//   - The sidecar is where the log lies: most often a file beside the image
//     (File). Whoever opens a volume says where its sidecar is.
//   - A frame is a transaction in the log: blocks as they are to be, and for
//     each sector of them a CRC-32C of what it was at home when the frame was
//     written and of what it becomes.
//   - The owner is what a driver says of the volume's identity: its UUID, and
//     what every other user of it changes when he mounts it.
//
// # What is in the sidecar
//
// A header of one sector, and frames behind it, as layout.go has them. Frames
// of earlier generations may follow the last one; the salt of the header,
// which is new in each generation, is in all checksums of its frames. A
// sidecar that is empty, or not there, says that the volume is whole.
//
// # Protocol
//
// The Manager of package txn runs it, with the barriers of its comment. Here:
//
//   - Start makes the header durable, then the driver makes the volume's own
//     dirty mark durable (BarrierActivate), then the first frame is written.
//   - Append: what a frame maps is durable at home (BarrierLog) before the
//     frame is written; the frame is durable when it returns (BarrierCommit).
//     There is one barrier on each device, and no commit record: a frame is
//     whole when its checksum is right.
//   - Retire: all is home and durable. A header with a new salt, without
//     frames, is made durable (BarrierTail) before the old frames are written
//     over, and before the volume's mark goes.
//   - At the end the driver takes the mark away, durably (BarrierClosed), and
//     then Remove takes the sidecar.
//
// The tests of these barriers are TestRedoBarriers and TestRedoRecovered in
// tests/crash.
//
// # Recovery
//
// Frames are replayed only if every sector that they change is, at home, one
// that the log knows: what it was before the first of them, or what one of
// them makes it. A crash leaves only those, down to single sectors. Anything
// else says that somebody else has changed the volume, and that the log may
// not be replayed: a ForeignError, which names the place. Nothing is written
// then, and the sidecar is kept. A block that a later frame revokes is neither
// compared nor written.
//
// The log is durable without the sidecar's fsync of a folder on filesystems
// that make a new file durable with its own fsync; File syncs the folder too.
//
// # Limits
//
// The log holds maxBytes; one transaction a quarter of it. Recovery holds the
// checksums of what the log changes, not its blocks.
//
// A Log has no lock: its methods are called one at a time, but for Need and
// Limit.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package redo
