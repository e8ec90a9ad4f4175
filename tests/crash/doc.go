// Package crash shows what a loss of power, or a kill, leaves of a filesystem
// that is being written, and that it can be recovered.
//
// # Method
//
// A Trace records every write and barrier of a run of operations at the
// block.Writer, and after each operation what the tree looks like. A crash is
// a place in the record: what came before the last barrier is durable, and of
// what follows any part may be, down to the 512 bytes of a sector. For each
// place states are built: everything so far (a killed process), one write
// lost, a random half lost, one write torn. Only the two sectors of the ext4
// superblock are taken to be written together, as the kernel takes them: its
// flags are in one and its checksum is in the other, and no log protects the
// flag that says whether there is a log.
//
// Each state is recovered twice. Our driver opens it for writing, and the tree
// must be the one after some operation, none before the last fsync that had
// returned. e2fsck replays and checks a copy, and our driver then reads the
// same tree, or that of another operation in the same bounds. Recovery itself
// is recorded and cut short.
//
// A filesystem without a journal is recorded with the log beside it as one
// device of two parts, each with barriers of its own. Nobody else replays that
// log: e2fsck sees what our recovery leaves.
//
// A run can lose one barrier by its name, as if the code had forgotten it. The
// tests that are named after barriers find, for each, a state that is wrong:
// so the barrier is needed, and the search would notice its loss.
package crash
