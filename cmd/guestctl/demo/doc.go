// Package demo makes a small disk image that looks like a Debian guest, so that
// GuestCtl can be tried where there is no image and no tool that makes one.
//
// The image is a 64 MiB raw GPT disk with two ext4 filesystems, a root and one
// that the root's fstab mounts on /srv. It is made by go-diskfs, which only
// guestctl links; what it is asked for is what it does right (new directories
// of few names, files written once, short symlinks, modes, owners and times),
// and the test compares with e2fsck. The file is sparse: it takes about 10 MiB, most of it journals.
package demo
