// Package vfstest is the contract of package vfs as a suite: every driver joins
// it, and what passes it can be shown by a mount and read by every operation.
//
//	vfstest.Run(t, vfstest.Case{
//		Open:   func(t testing.TB) vfs.FileSystem { ... },
//		Oracle: vfstest.FromDir(t, "/the/tree/that/made/the/image"),
//	})
//
// The suite asks the same thing in several ways and compares the answers: an
// entry of a listing with a lookup of its name, a listing with itself taken up
// again at every cursor, a file read whole with the same file read in odd
// pieces, the whole tree with itself read by eight goroutines. With an Oracle it
// compares the tree with what somebody else says it is. With Device and OpenOn
// it damages what the driver read and fails its reads, one after the other:
// that must end soon, without a panic, and a failed read may change nothing
// without an error being seen.
//
// Memory is a FileSystem that holds a tree in memory, of every kind of extent,
// for testing what stands on vfs without an image.
package vfstest
