package qcow2

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"syscall"
)

// Sync makes all that was written durable, with the tables that lead to it.
func (d writable) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.w.sync(ctx)
}

// sync writes what changed. Data and tables that nothing refers to yet go
// first, then the barrier, then what refers to them, then the barrier.
func (w *writing) sync(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	w.syncing.Lock()
	defer w.syncing.Unlock()
	return w.syncLocked(ctx)
}

func (w *writing) syncLocked(ctx context.Context) error {
	if err := w.err(); err != nil {
		return err
	}
	f, err := w.prepare(ctx)
	if err != nil {
		w.putBack(f)
		return err
	}
	if err := w.commit(ctx, f); err != nil {
		w.putBack(f)
		return err
	}
	w.done(f)
	w.alloc.Lock()
	defer w.alloc.Unlock()
	w.grace.young = append(w.grace.young, f.freed...)
	return w.settle(ctx, w.grace.ripe())
}

// prepare takes what is to be written and, in version 2, has the reference
// counts in the file first, so that they are never too low.
func (w *writing) prepare(ctx context.Context) (flush, error) {
	w.alloc.Lock()
	defer w.alloc.Unlock()
	f := w.capture()
	if w.h.version >= 3 {
		return f, nil
	}
	return f, w.flushRefcounts(ctx)
}

func (w *writing) commit(ctx context.Context, f flush) error {
	isNew := func(at int64) bool {
		_, ok := f.newTables[at&^(w.h.cluster()-1)]
		return ok
	}
	places := slices.Sorted(maps.Keys(f.slices))
	for _, at := range places {
		if isNew(at) {
			if err := w.writeSlice(ctx, at, f.slices[at]); err != nil {
				return err
			}
		}
	}
	if w.external {
		if err := w.data.Sync(ctx); err != nil {
			return w.fail(err)
		}
	}
	// Without this one an entry could be durable before the cluster that it
	// names, or before the dirty bit.
	if err := w.barrier(ctx, "data"); err != nil {
		return err
	}
	if len(f.slices)+len(f.l1) == 0 {
		return nil
	}
	for _, at := range places {
		if !isNew(at) {
			if err := w.writeSlice(ctx, at, f.slices[at]); err != nil {
				return err
			}
		}
	}
	for _, i := range slices.Sorted(maps.Keys(f.l1)) {
		var b [entryLen]byte
		binary.BigEndian.PutUint64(b[:], f.l1[i])
		if _, err := w.src.WriteAt(ctx, b[:], w.h.l1Offset+i*entryLen); err != nil {
			return err
		}
	}
	return w.barrier(ctx, "tables")
}

// writeSlice writes the part of an L2 slice that changed.
func (w *writing) writeSlice(ctx context.Context, at int64, s dirtySlice) error {
	_, err := w.src.WriteAt(ctx, s.b[s.from:s.to], at+s.from)
	return err
}

// Close makes everything durable, the reference counts last but for the dirty
// bit, which is cleared when they are. An error leaves the image as a crash
// does: marked dirty, with all that was synced.
func (d writable) Close() error {
	err := d.disk.Close()
	if errors.Is(err, syscall.EINVAL) {
		return err
	}
	return d.w.close(context.Background())
}

func (w *writing) close(ctx context.Context) error {
	w.syncing.Lock()
	defer w.syncing.Unlock()
	if w.closed {
		return syscall.EINVAL
	}
	w.closed = true
	defer func() { _ = w.fail(syscall.EBADF) }()
	if !w.ready.Load() && !w.dirty {
		return w.err()
	}
	if err := w.syncLocked(ctx); err != nil {
		return err
	}
	w.alloc.Lock()
	defer w.alloc.Unlock()
	// Nobody reads or writes any more.
	left := append(w.grace.old, w.grace.young...)
	w.grace.old, w.grace.young = nil, nil
	if err := w.settle(ctx, left); err != nil {
		return err
	}
	if err := w.flushRefcounts(ctx); err != nil {
		return err
	}
	// Without this one the image could say that its counts are right before
	// they are.
	if err := w.barrier(ctx, "close"); err != nil {
		return err
	}
	if w.dirty {
		if err := w.putHeader(ctx, offIncompatible, w.h.incompatible&^incompatDirty); err != nil {
			return err
		}
		if err := w.barrier(ctx, "closed"); err != nil {
			return err
		}
	}
	return nil
}
