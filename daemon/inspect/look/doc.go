// Package look reads the files of a guest for inspection, each of which is
// hostile: what is read has a bound that the caller states, only regular files
// are opened, symlinks are resolved inside the guest, directories are listed up
// to a bound, and text is cleaned before it becomes a fact.
//
// A fact is valid UTF-8 without control characters, so that neither a terminal
// nor XML can be hurt by it (Clean, CleanText).
//
// An FS is safe for any number of goroutines.
//
// This package knows vfs and what is below it. It may change; the stable
// packages are vfs, formats, filesystems and daemon/client.
package look
