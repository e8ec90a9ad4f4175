package txn

import (
	"context"

	"github.com/guestctl/guestctl/formats/block"
)

// A Log is a format's journal.
type Log interface {
	// Recover replays what was committed but is not home yet. home is the
	// volume of a writable mount, or an overlay over it. It is called first,
	// and once.
	Recover(ctx context.Context, home block.Writer) (Replay, error)
}

// A Replay says what a recovery did.
type Replay struct {
	Clean        bool   // there was nothing to do
	First, Last  uint64 // the transactions that were replayed
	Transactions int
	Blocks       int // changed blocks, each counted once
	Revoked      int // changes left out because the log revoked them
	// Torn says why the log ended before its written end, where it did.
	Torn string
}

// An Appender is a log that takes transactions. A Manager calls its methods
// one at a time.
type Appender interface {
	// Append writes a transaction. It is durable when Append returns nil,
	// whole or, after a crash, not there at all.
	Append(ctx context.Context, c Change) error

	// Retire says that all that was appended is home and durable, so that the
	// log may forget it. The room is there again when it returns.
	Retire(ctx context.Context) error

	// Empty leaves the log as an unmounted volume has it. All must be retired.
	Empty(ctx context.Context) error

	// Need is how much of the log a Change of so many blocks and revokes
	// takes, Free how much there is, and Limit the most that one may take.
	Need(blocks, revokes int) int
	Free() int
	Limit() int
}

// A Change is a transaction as a log writes it.
type Change struct {
	Blocks  []Block // in the order of the device, each once
	Revokes []int64 // byte offsets of blocks whose earlier copies count no more
}

// A Block is the new contents of one block, which do not change any more.
type Block struct {
	Off   int64 // byte offset at home
	Bytes []byte
}
