// Package images makes the disk images that tests and benchmarks read: by recipe, from the tools that make such images
// in the world (debootstrap, mke2fs, the kernel's own drivers, qemu-img), never by our own code.
//
// A recipe is a shell script below recipes/. It runs as root in a mount and pid namespace of its own, so that however it
// ends no mount, loop device or process outlives it. What it makes is one file, kept in the cache under the recipe's name
// and a hash of everything the recipe is made of: change a recipe and its image, and the images made from it, are made
// anew; nothing else is. The cache is
//
//	${GUESTCTL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/guestctl}/images
//
// An image is built under another name and renamed when it is complete; a lock lets one process build while the others
// wait. Images are shared by every test on the machine: open them read-only, or take Copy.
//
// A test that lacks what it needs (root, a tool, /dev/fuse) is skipped with the reason, or fails where CI=true.
package images
