// Command guestunmount unmounts what guestmount mounted and returns when the
// daemon has ended and the image is released, so that the next command may use
// or change the image.
//
// It unmounts through umount2 as root and through fusermount3 otherwise, as
// `umount` and `fusermount3 -u` do, which are as safe but do not wait. What
// waits is the daemon's record (package cmd/internal/mounts). Of a daemon that
// was killed only the dead mount and the record are left; both are removed.
package main
