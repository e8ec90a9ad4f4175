package blocktest

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// A Faulty is a Device that fails where and when it is told to.
type Faulty struct {
	block.Device

	mu     sync.Mutex // guards faults
	faults []fault
	reads  atomic.Int64
}

type fault struct {
	off, n int64 // the bytes that cannot be read, where n > 0
	nth    int64 // else: the read that fails, from 1
	err    error
}

// NewFaulty makes a Device of dev that does not fail yet.
func NewFaulty(dev block.Device) *Faulty { return &Faulty{Device: dev} }

// FailAt makes reads that touch the n bytes at off fail with err, after they
// gave what lies before; nil is EIO.
func (f *Faulty) FailAt(off, n int64, err error) { f.add(fault{off: off, n: n, err: err}) }

// FailNth makes the nth read from now on, counted from 1, fail with err; nil
// is EIO.
func (f *Faulty) FailNth(nth int64, err error) { f.add(fault{nth: f.reads.Load() + nth, err: err}) }

// Heal removes all faults.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Reads is the number of reads so far.
func (f *Faulty) Reads() int64 { return f.reads.Load() }

func (f *Faulty) add(x fault) {
	if x.err == nil {
		x.err = syscall.EIO
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, x)
}

// ReadAt reads, or fails.
func (f *Faulty) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	nth := f.reads.Add(1)
	good, failure := int64(len(p)), error(nil)
	f.mu.Lock()
	for _, x := range f.faults {
		switch {
		case x.n > 0 && off < x.off+x.n && x.off < off+good:
			good, failure = max(0, x.off-off), x.err
		case x.n == 0 && x.nth == nth:
			good, failure = 0, x.err
		}
	}
	f.mu.Unlock()
	if failure == nil {
		return f.Device.ReadAt(ctx, p, off)
	}
	n, err := f.Device.ReadAt(ctx, p[:good], off)
	if err == nil {
		err = failure
	}
	return n, err
}

// Locate answers what the device answers, but Opaque for Data, so that all
// reads come by here.
func (f *Faulty) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	r, err := f.Device.Locate(ctx, off, n)
	if r.Kind == block.Data {
		r = block.Run{Kind: block.Opaque, Len: r.Len}
	}
	return r, err
}
