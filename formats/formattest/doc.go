// Package formattest is the suite that every image format joins: what a format
// reads must equal what another program reads from the same image (Run), and
// damage must end in an error (Damage).
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package formattest
