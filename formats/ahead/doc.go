// Package ahead reads before it is asked to, for formats whose blocks cost time
// to decode: it notices sequential readers, runs what is to be done for them in
// goroutines of its own, and spreads one request over several processors.
//
//	streams.go   which reads are one sequential reader's, and what comes next
//	queue.go     jobs of read-ahead
//	parallel.go  one request on several processors
//
// All types are safe for any number of goroutines. The locks Streams.mu and
// Queue.mu are leaves: nothing is called while one is held.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package ahead
