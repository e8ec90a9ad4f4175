package qcow2

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// writing is what an image that is open for writing has besides the disk that
// readers have.
type writing struct {
	*disk
	src  block.Writer // the qcow2 file
	data block.Writer // src, or the external data file

	syncing sync.Mutex // one Sync or Close at a time
	closed  bool       // syncing guards it

	alloc sync.Mutex // what changes the mapping, one at a time; guards up to mu
	refs  *refcounts
	free  int64 // no cluster with a lower number is free
	// metadata lists the clusters of what the image had when it was opened:
	// a count that calls one of them free is wrong.
	metadata   []int64
	tableMoved bool   // the header names another refcount table than refs
	oldTables  []span // refcount tables that the header no longer names, still counted
	hole       span   // free clusters whose room the host gets back
	began      bool   // the file says that it was written to
	dirty      bool   // the dirty bit is durable
	grace      grace  // its young and old

	mu        sync.RWMutex // guards disk.l1 and all below; no I/O is done while it is held
	slices    map[int64]*dirtySlice
	l1Dirty   map[int64]struct{}
	newTables map[int64]struct{} // L2 tables that no durable L1 entry names
	freed     []int64            // clusters that the file still refers to, and memory does not
	flushes   uint64             // grows when a slice stops being dirty

	ready  atomic.Bool           // began
	failed atomic.Pointer[error] // after which nothing is written any more

	skip string // of tests: the barrier that is left out
}

// writable is an image that is open for writing.
type writable struct{ *disk }

var _ block.Writer = writable{}

// openWriting makes d an image that is open for writing, and writes nothing.
func (d *disk) openWriting(ctx context.Context, opt image.Options, snapshots []snapshot) error {
	src, ok := d.src.(block.Writer)
	switch {
	case opt.Snapshot != "":
		return ondisk.Unsupported(what, "writing to an internal snapshot (%q)", opt.Snapshot)
	case d.h.incompatible&incompatCorrupt != 0:
		return &ondisk.UnsupportedError{What: what, Detail: "writing to an image that is marked corrupt",
			Remedy: "repair a copy with qemu-img check -r all, or open it read-only"}
	case !ok:
		return fmt.Errorf("opening a qcow2 image for writing: %w", syscall.EROFS)
	}
	data := src
	if d.external {
		if data, ok = d.data.(block.Writer); !ok {
			return fmt.Errorf("opening the external data file %q for writing: %w", d.h.dataFile, syscall.EROFS)
		}
	}
	w := &writing{disk: d, src: src, data: data, slices: make(map[int64]*dirtySlice),
		l1Dirty: make(map[int64]struct{}), newTables: make(map[int64]struct{})}
	var err error
	if w.refs, err = readRefcounts(ctx, src, d.h); err != nil {
		return err
	}
	d.w = w
	if d.h.incompatible&incompatDirty != 0 {
		w.dirty = true
		return w.rebuild(ctx, snapshots)
	}
	return w.listMetadata(snapshots)
}

// fail ends writing for good: nothing that is written from now on could be
// promised. It gives the first failure.
func (w *writing) fail(err error) error {
	w.failed.CompareAndSwap(nil, &err)
	return *w.failed.Load()
}

// err is why nothing is written any more.
func (w *writing) err() error {
	if err := w.failed.Load(); err != nil {
		return fmt.Errorf("the qcow2 image takes no more writes: %w", *err)
	}
	return nil
}

// barrier makes all that was written to the qcow2 file durable. Each has a
// name, and TestEveryBarrierIsNeeded shows what goes wrong without it.
func (w *writing) barrier(ctx context.Context, name string) error {
	if name == w.skip {
		return nil
	}
	if err := w.src.Sync(ctx); err != nil {
		return w.fail(err)
	}
	return nil
}

// begin makes durable, once, that the image is written to by a program that
// keeps none of the autoclear features but one. writing.alloc is held.
func (w *writing) begin(ctx context.Context) error {
	if w.began {
		return nil
	}
	marked, err := w.markBitmaps(ctx)
	if err != nil {
		return err
	}
	// Bitmaps stay as they are, each that tracks writes marked as in use; the
	// raw external data file is kept raw.
	keep := w.h.autoclear & (autoclearBitmaps | autoclearRawData)
	if keep != w.h.autoclear {
		if err := w.putHeader(ctx, offAutoclear, keep); err != nil {
			return err
		}
		marked = true
	}
	if marked {
		if err := w.barrier(ctx, "mark"); err != nil {
			return err
		}
	}
	w.h.autoclear = keep
	w.began = true
	w.ready.Store(true)
	return nil
}

// markDirty writes the dirty bit, once, before the first change that the
// reference counts in the file do not know. It needs no barrier of its own:
// before the first of a Sync nothing in the file refers to what changed.
// Version 2 has no such bit, and the counts are written first. writing.alloc
// is held.
func (w *writing) markDirty(ctx context.Context) error {
	if w.dirty || w.h.version < 3 {
		return nil
	}
	err := w.putHeader(ctx, offIncompatible, w.h.incompatible|incompatDirty)
	w.dirty = err == nil
	return err
}

// putHeader writes a field of 8 bytes.
func (w *writing) putHeader(ctx context.Context, off int64, v uint64) error {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	_, err := w.src.WriteAt(ctx, b[:], off)
	return err
}

// start is what every change does first.
func (w *writing) start(ctx context.Context) error {
	if err := w.err(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.ready.Load() {
		return nil
	}
	w.alloc.Lock()
	defer w.alloc.Unlock()
	return w.begin(context.WithoutCancel(ctx))
}

// ReadAt reads the disk by io.ReaderAt's rules.
func (d writable) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	in := d.w.grace.enter()
	defer d.w.grace.leave(in)
	return d.disk.ReadAt(ctx, p, off)
}

// WriteAt writes p at off. Where it fails, the bytes of p at and after the
// answer are the old or the new ones.
func (d writable) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if block.Clamp(off, int64(len(p)), d.h.size) < int64(len(p)) {
		return 0, io.ErrShortWrite
	}
	if len(p) == 0 {
		return 0, nil
	}
	w := d.w
	if err := w.start(ctx); err != nil {
		return 0, err
	}
	if err := w.relieve(ctx); err != nil {
		return 0, err
	}
	in := w.grace.enter()
	defer w.grace.leave(in)
	for done := int64(0); done < int64(len(p)); {
		n, err := w.write(ctx, p[done:], off+done)
		if err != nil {
			return int(done), err
		}
		done += n
	}
	return len(p), nil
}

// relieve makes the tables durable where too much of them waits for it.
func (w *writing) relieve(ctx context.Context) error {
	w.mu.RLock()
	n := int64(len(w.slices)) * w.sliceLen()
	w.mu.RUnlock()
	if n < maxDirtySlices {
		return nil
	}
	return w.sync(ctx)
}

// write writes a part of p, from its start on: in place where the disk has
// room of its own for it, else by a change of the mapping.
func (w *writing) write(ctx context.Context, p []byte, off int64) (int64, error) {
	e, err := w.extentAt(ctx, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if e.kind == plain && e.owned {
		return e.len, w.writeData(ctx, p[:e.len], e.host)
	}
	// What has a place further on is written there.
	return w.remap(ctx, p[:e.len], off)
}

// writeData writes to the data file, and makes it longer where its last
// cluster was not filled up.
func (w *writing) writeData(ctx context.Context, p []byte, host int64) error {
	if err := growTo(ctx, w.data, host+int64(len(p))); err != nil {
		return err
	}
	_, err := w.data.WriteAt(ctx, p, host)
	return err
}
