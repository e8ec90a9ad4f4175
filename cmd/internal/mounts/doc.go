// Package mounts is what guestmount and guestunmount agree on, so that
// guestunmount can return when the image is released and not before.
//
// # Records
//
// A daemon that has mounted something writes a Record: its pid, the mount
// point, the mount's device number, the images. It holds an exclusive flock on
// the record for as long as it lives, removes the file as the last thing it
// does, and the kernel drops the lock when the process is gone, however it
// went. So for a record:
//
//	locked        the daemon lives; waiting for the lock waits for its end
//	not locked    the daemon was killed; the record is stale and anybody who
//	              can removes it
//
// Records lie in /run/guestctl/mounts for root and in
// $XDG_RUNTIME_DIR/guestctl/mounts for others, without that variable in
// /run/user/UID or in a folder of the user's own below the temporary folder.
// Root finds the records of a user in the last two places only.
// A folder that somebody else could write is not used: a record names a process
// to wait for, and nothing else is done on its word.
//
// The device number is what ties a record to a mount: the kernel gives each
// live mount of a FUSE server its own, in every mount namespace. Paths alone
// would confuse two mounts, one over the other.
//
// A daemon that has a control socket has it beside the record, with the suffix
// .sock; whoever removes the record removes it too.
//
// # The mount table
//
// Table reads /proc/self/mountinfo, which asks no filesystem anything: a dead
// or hanging mount cannot hang the reader, as stat of its mount point would.
package mounts
