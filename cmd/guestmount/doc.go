// Command guestmount shows the files of a virtual machine's disk image in a
// folder. Its options are libguestfs's, with the same meanings; the short form
// `guestmount IMAGE DIR` is ours.
//
// # Parent and daemon
//
// Unless --no-fork is given, the process that was typed only reads its command
// line, starts itself again in a session of its own and waits on a pipe. The
// second process, the daemon, opens the image and mounts it; until then its
// stdout and stderr are those of the first, so its errors and warnings stand
// where they belong. When the mount answers, it lets go of the terminal and
// writes one byte into the pipe; the first process leaves with status 0. A
// pipe that ends without the byte means that the daemon failed: the first
// process leaves with the daemon's status.
//
// # mount(8)
//
// Called by the name mount.guestmount or mount.fuse.guestmount the program is
// mount(8)'s helper: the line is translated into guestmount's own (helper.go),
// and all the rest is the same. There is no umount helper: umount(8) takes the
// mount away, and guestunmount also waits for the image's release.
//
// # End
//
// The daemon ends when its mount is gone, whoever took it away. SIGTERM,
// SIGINT and SIGHUP unmount; a mount in use is taken out of the tree at once
// and served until its last user is gone, and a second signal does not wait
// for that. A mount that is written is committed and its image made durable
// before the daemon ends, whatever ended it but a kill; what fsync(2) promised
// holds even then. Handlers are installed before readiness is told. At the end the
// filesystems and images are closed, then the record that guestunmount waits
// for is removed, then the process ends.
package main
