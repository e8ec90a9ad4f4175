// Package blocktest tests Devices and gives the ones that tests need: Memory
// holds its bytes in memory, Faulty fails where it is told to, Recorder keeps
// every write and barrier for tests of what a crash leaves. Run is the suite
// that every Device joins.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package blocktest
