package blocktest

import (
	"context"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// A FaultyWriter is a Grower whose changes fail when it is told to. A write
// that fails has written its first half.
type FaultyWriter struct {
	block.Grower

	mu      sync.Mutex // guards all below
	changes int64
	at      int64 // the change that fails, counted from 1; 0: none
	sticky  bool  // and all after it
	err     error
}

// NewFaultyWriter makes a FaultyWriter of w that does not fail yet.
func NewFaultyWriter(w block.Grower) *FaultyWriter { return &FaultyWriter{Grower: w} }

// FailChange makes the nth change from now on fail with err, counted from 1: a
// WriteAt, Zero, Grow or Sync. Where sticky, all that follow fail too. 0 heals.
func (f *FaultyWriter) FailChange(nth int64, sticky bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes, f.at, f.sticky, f.err = 0, nth, sticky, err
	if f.err == nil {
		f.err = syscall.EIO
	}
}

// Changes is the number of changes since FailChange.
func (f *FaultyWriter) Changes() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

func (f *FaultyWriter) next() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	if f.at > 0 && (f.changes == f.at || f.sticky && f.changes > f.at) {
		return f.err
	}
	return nil
}

// WriteAt writes, or fails after half of p.
func (f *FaultyWriter) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := f.next(); err != nil {
		n, _ := f.Grower.WriteAt(ctx, p[:len(p)/2], off)
		return n, err
	}
	return f.Grower.WriteAt(ctx, p, off)
}

// Zero makes zero, or fails.
func (f *FaultyWriter) Zero(ctx context.Context, off, n int64) error {
	if err := f.next(); err != nil {
		return err
	}
	return f.Grower.Zero(ctx, off, n)
}

// Grow grows, or fails.
func (f *FaultyWriter) Grow(ctx context.Context, size int64) error {
	if err := f.next(); err != nil {
		return err
	}
	return f.Grower.Grow(ctx, size)
}

// Sync syncs, or fails.
func (f *FaultyWriter) Sync(ctx context.Context) error {
	if err := f.next(); err != nil {
		return err
	}
	return f.Grower.Sync(ctx)
}
