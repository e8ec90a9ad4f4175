package txn

import "context"

// A Barrier is the name of a Sync in the protocol of the package comment.
type Barrier string

// The barriers. Each has a test of its name that fails without it.
const (
	BarrierActivate  Barrier = "activate"
	BarrierLog       Barrier = "log"
	BarrierCommit    Barrier = "commit"
	BarrierHome      Barrier = "home"
	BarrierTail      Barrier = "tail"
	BarrierRecovered Barrier = "recovered"
	BarrierEmpty     Barrier = "empty"
	BarrierClosed    Barrier = "closed"
	BarrierData      Barrier = "data" // an fsync that has no metadata to commit
)

type barrierKey struct{}

// With gives the context of the Sync that is this barrier, so that whoever
// implements block.Writer, a test that loses one barrier, can tell which it is.
func (b Barrier) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, barrierKey{}, b)
}

// BarrierOf is the barrier that a Sync with this context is; empty for others.
func BarrierOf(ctx context.Context) Barrier {
	b, _ := ctx.Value(barrierKey{}).(Barrier)
	return b
}
