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
//   - A Client is one of those who change a Tree and show it.
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
// # Writing
//
// A Changer is a FileSystem that can be changed, and a Client changes it: each
// operation takes the locks it needs, makes one Tx, or the chain of them that
// the Changer makes itself, gives the locks back and then tells the other
// Clients. It is durable after Sync. Bytes go home first and are mapped then
// (WriteAt), so that no crash shows another file's.
//
// An inode that loses its last name is freed at once, or, where a Client has it
// open, when the last one releases it. What a Tree without a Changer shows, or
// one that is read-only, answers EROFS to every change.
//
// The inodes of a writable Tree are not cached: each question reads the inode
// anew under its lock, and ReadAt and the seeks keep the lock until they are
// done. So what a reader sees is one state, and no block that it reads becomes
// another file's meanwhile. No lock is held while a listing is consumed: entries
// are taken in large pieces, and a Cursor keeps its place between them as well
// as the FileSystem can.
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
//	inode locks of a writable Tree: all that an operation needs, in ascending order of (Ino.Tree, Ino.Num)
//	  FileSystem.Begin (waits for log room)
//	    the driver's own locks, the metadata cache's locks
//	Namespace.mu, inodeLocks.mu, writable.mu and inomap.mu are leaves: nothing is called under them.
//
// An operation locks what it names: the directories whose entries it changes
// and the file whose bytes or attributes it changes, never one after it has
// another; so the order needs no knowledge of who is whose ancestor. An inode
// that only loses or gains a name is not locked: one Tx is open at a time, and
// looks at it anew. Device I/O under a lock is that of the locked inode only.
// Clients are told with no lock held.
//
// Readers of a read-only FileSystem take no inode lock: nothing changes.
package vfs
