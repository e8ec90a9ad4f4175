// Package vfs is the contract between filesystem drivers and everything that
// shows or changes files, and the one path on which file data moves.
//
// # Terms
//
//   - A Driver recognises and opens one kind of filesystem.
//   - A FileSystem is an opened one. It maps names to inodes and file offsets to
//     places on a device; it never moves file data.
//   - An Ino names an inode within a FileSystem: its number, the tree it is in
//     (a btrfs subvolume; 0 elsewhere) and its generation.
//   - A Tree is an attached FileSystem: it owns the inode locks and the cache of
//     inodes.
//   - A Namespace puts trees together: it resolves paths, crosses mount points,
//     resolves symlinks inside the guest and gives each (tree, inode) a number
//     that is unique in the whole.
//   - A Node is a place in a Namespace: a Tree and an Ino.
//
// A Namespace is put together first and shown then: a mount tells the kernel to
// keep names, and the absence of names, for a day.
//
// # Reading
//
// Inode.Map answers where a part of a file lies (Linux calls it iomap), and
// block.Device.Locate where a part of a volume lies. ReadAt in this package
// joins the two and fills the caller's buffer, in parallel where a request
// spans several places. Holes and unwritten extents are zeros.
//
// # Names
//
// Names are bytes, as the filesystem has them, without NUL or slash; they need
// not be UTF-8. A name longer than Info.NameMax is ENAMETOOLONG, decided here
// and not by drivers.
//
// # Errors
//
// Errors unwrap to a syscall.Errno where the kernel would answer one: ENOENT,
// ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG, EROFS, EUCLEAN, EBADMSG, EOPNOTSUPP.
// Here, at the boundary, an OpError adds what was tried, on which volume and
// inode. Drivers add nothing of that.
//
// # Locks, in order
//
//	Tree inode locks: ancestors first, then ascending numbers
//	  FileSystem.Begin (waits for log room)
//	    the driver's own locks, the metadata cache's locks
//	Namespace.mu and Tree.mu are leaves: nothing is called under them.
//
// Readers of a read-only FileSystem take no inode lock: nothing changes.
package vfs
