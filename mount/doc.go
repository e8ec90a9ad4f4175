// Package mount shows a vfs.Namespace as a directory tree of the host, through FUSE. It is the only importer of go-fuse,
// and may change.
//
// # Terms
//
//   - A node id is what the kernel calls a file by in its requests. It is the Namespace's number of the node, but for
//     the root, which is FUSE_ROOT_ID to the kernel whatever its number. Ids are computed, or kept by the Namespace where
//     they cannot be, so lookups are not counted and FORGET has nothing to do. A number that the kernel brings back after
//     years is as good as on the first day, which is why file handles of NFS work (CAP_EXPORT_SUPPORT).
//   - A window is a part of a directory's listing: up to 128 Ki entries in the order of their inode numbers.
//   - A place is where a node was last listed: its directory and its position there.
//   - The scout and the pusher are the two goroutines that work ahead of requests.
//   - A live mount shows a tree that may change, through the mount itself or another client of the tree.
//   - To push is to send a file's contents to the kernel before it is asked for (FUSE_NOTIFY_STORE).
//
// # What the kernel keeps
//
// The image is ours for as long as the mount lives and does not change, so the kernel may keep all it was told: names, the
// absence of names and attributes for a day, the target of a symlink, a directory's listing and a file's pages for ever.
// OPEN, OPENDIR, FLUSH and FSYNC are answered ENOSYS, by which the kernel learns never to send them. Extended attributes
// are what it does not keep, and ls -l asks for them of each file: where no filesystem of the namespace has any, or with
// -o noxattr, ENOSYS ends that too.
//
// Files of a vfs.Static are made when they are first looked at. They are listed without attributes, and are asked for
// each time.
//
// # Changes
//
// On a live mount nothing latches. OPEN and OPENDIR are answered, so that an inode which loses its last name is kept until
// its last RELEASE; who holds it in another way (O_PATH, a working directory) gets ESTALE then. What the kernel was told
// stays good, since all changes go through it; what another client of the tree changes a messenger has it forget.
// A program that writes waits for each WRITE (write-through): what a killed daemon was told is at home in the image, mtime
// is ours to set, and a close has nothing to say (FOPEN_NOFLUSH). The writeback cache, tried, unpacks small files no faster,
// and large pieces neither; it writes pieces of 4 KiB three times as fast, but has EFBIG and ENOSPC come late, sets wrong
// times after fallocate(2) and truncate(2), and does not see another client's sizes. fsync(2) returns when the image is durable, and everything else is within five seconds.
// access times are not changed by reading.
//
// An open directory is listed as it was when the listing began, so that nothing is missed while a program deletes what it
// is told; but a name is told to the kernel only if it still means the same, or the kernel would believe in it for a day.
//
// # Directories
//
// READDIRPLUS always. Before the first reply the inodes are read in bulk, in the order of their numbers, which is the order
// on the disk. An offset is a position, so that telldir(3)'s places hold though windows are thrown away between two
// requests: the same directory gives the same windows again. A directory of millions of names costs the memory of a few
// windows, and each window's beginning is remembered as the driver's own cursor. A scout reads the next directories of a
// walk while the walker works on what it got.
//
// # Reading and pushing
//
// A READ goes through vfs.ReadAt into the buffer that is sent. A request never ends short because of an error: the kernel
// would take that for the end of the file. Pushing is described at pusher.
//
// # Rights
//
// Without allow_other only the mounting user reaches the mount, and the kernel checks neither owners nor modes: he acts as
// root inside the guest, whose modes are shown as they are, 0000 included. access(2) then asks us, since root too may only
// execute what has an x. With allow_other the kernel checks them (default_permissions), and POSIX ACLs too, which it
// fetches once per inode, where a filesystem has extended attributes. Mounts are always nodev and nosuid, and read-only
// unless Options.Writable.
//
// New files are root's, or Options.UID's, where nobody else reaches the mount, and else the caller's. Set-ID bits
// go when somebody writes who may not keep them, as the kernel tells with each request, and file capabilities when anybody
// does, which the kernel sees to. Even where it checks nothing else it checks itself who deletes in
// sticky directories and who sets ACLs: an ordinary user who is to do that, as cp -a does, sets Options.UID to himself.
//
// # Mounting
//
// Root mounts with mount(2), others through fusermount3, as root does where mount(2) is not permitted to him. go-fuse gets
// the descriptor only, so that what goes wrong is ours to tell: an *Error with a Reason. Unmount tries for about a second;
// Detach is for who must.
//
// # Errors
//
// errno.go is the only place where an error becomes a number. What a number cannot tell (damage, a failed read, what is not
// supported) is logged with its whole text, each text once. A panic in a request is EIO and a log line with the stack;
// the scout's and the pusher's goroutines are guarded likewise.
//
// # Interrupts
//
// FUSE_INTERRUPT is ignored. A Go program gets signals by the hundred (SIGURG), and would see EINTR where no disk gives
// one. Requests end when the connection does.
//
// # Locks
//
// dirHandle.mu is held while a listing is made, before the locks of vfs. The others are leaves: nothing is called under
// places.mu, dirHandles.mu, messenger.mu and faultLog.mu. The messenger and the pusher call the kernel with no lock held,
// since it may wait for a request that waits for us. The pusher stores with no lock held, since a store
// waits for pages that another goroutine has yet to fill.
package mount
