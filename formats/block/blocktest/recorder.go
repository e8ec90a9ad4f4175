package blocktest

import (
	"context"
	"slices"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// A Recorder is a Writer that keeps every write and barrier in the order in
// which they ended. A test of crashes makes from them each state that a loss
// of power may leave: all before a barrier, and any part of what follows it.
type Recorder struct {
	block.Writer

	mu  sync.Mutex // guards ops
	ops []Op
}

// An Op is one thing that was done to a Writer.
type Op struct {
	Off   int64
	Bytes []byte // what was written; nil for Zero and for a barrier
	Zero  int64  // bytes made zero
	Sync  bool   // a barrier: all before it is durable
	Grow  int64  // the size that the Writer was given
}

// NewRecorder records what is done to w.
func NewRecorder(w block.Writer) *Recorder { return &Recorder{Writer: w} }

// Ops is all that was done so far.
func (r *Recorder) Ops() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ops)
}

func (r *Recorder) keep(op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
}

// WriteAt writes and records what was written, of a short write too.
func (r *Recorder) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := r.Writer.WriteAt(ctx, p, off)
	if n > 0 {
		r.keep(Op{Off: off, Bytes: slices.Clone(p[:n])})
	}
	return n, err
}

// Zero makes zero and records it.
func (r *Recorder) Zero(ctx context.Context, off, n int64) error {
	err := r.Writer.Zero(ctx, off, n)
	if err == nil && n > 0 {
		r.keep(Op{Off: off, Zero: n})
	}
	return err
}

// Grow makes a Grower longer and records it.
func (r *Recorder) Grow(ctx context.Context, size int64) error {
	g, ok := r.Writer.(block.Grower)
	if !ok {
		return syscall.ENOSPC
	}
	err := g.Grow(ctx, size)
	if err == nil {
		r.keep(Op{Grow: size})
	}
	return err
}

// Sync is a barrier. One that failed promises nothing and is not recorded.
func (r *Recorder) Sync(ctx context.Context) error {
	err := r.Writer.Sync(ctx)
	if err == nil {
		r.keep(Op{Sync: true})
	}
	return err
}

// Apply does an Op to w again. A barrier is w's barrier.
func (o Op) Apply(ctx context.Context, w block.Writer) error {
	switch {
	case o.Sync:
		return w.Sync(ctx)
	case o.Grow > 0:
		if g, ok := w.(block.Grower); ok {
			return g.Grow(ctx, o.Grow)
		}
		return syscall.ENOSPC
	case o.Zero > 0:
		return w.Zero(ctx, o.Off, o.Zero)
	}
	_, err := w.WriteAt(ctx, o.Bytes, o.Off)
	return err
}
