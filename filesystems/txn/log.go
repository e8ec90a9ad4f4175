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
