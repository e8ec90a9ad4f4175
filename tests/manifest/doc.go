// Package manifest writes down everything that a program can see of a directory tree, so that two views of one filesystem
// (our mount, the kernel's, debugfs) can be compared entry by entry.
//
// Walk reads a mounted tree, Debugfs an ext2, ext3 or ext4 image through e2fsprogs' debugfs, for what the kernel cannot
// mount. Diff compares. Paths are relative to the root, which is ".", and are never joined into one the kernel must
// resolve, so trees deeper than PATH_MAX are walked too.
package manifest
