package files

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// batchEntries and batchBytes bound what is planned at once and kept
	// until it is emitted; looseEntries where no bytes are kept.
	batchEntries = 4096
	batchBytes   = 16 << 20
	looseEntries = 16384
	// batchesAhead bounds the batches that are planned and not yet emitted.
	batchesAhead = 2
	// smallBytes is the largest file that is read whole.
	smallBytes = 1 << 20
	// spanBytes bounds one read that several files share.
	spanBytes = 1 << 20
	// spanGap is the largest stretch between two files that is read for
	// nothing, since that takes less time than another read.
	spanGap = 64 << 10
)

// An item is an Entry on its way through bulk.
type item struct {
	*Entry
	// data is what a small regular file holds, for work, and for emit where
	// the plan keeps it. err says that it could not be read to its end; the
	// rest is zeros. Files that are not small have neither.
	small bool
	data  []byte
	err   error

	result any // what work answered

	dev  block.Device // where the whole file lies in one place
	off  int64        // of the first byte, and for sorting
	task *task
}

// A task is one read and the work on what it read.
type task struct {
	items []*item
	dev   block.Device // nil: each item is read by itself
	off   int64
	n     int64
	done  chan struct{}
}

// A plan says what bulk does.
type plan struct {
	workers int // 0: GOMAXPROCS
	// wants says whether the bytes of a regular file are needed. nil: yes.
	wants func(*Entry) bool
	// work is done on every wanted file, by a worker, once its bytes are
	// there. nil: nothing.
	work func(ctx context.Context, it *item) any
	// keep says that emit needs the bytes.
	keep bool
}

// bulk reads what walk visits in the order of the disk and gives it to emit in
// the order of the walk. emit runs on the caller's goroutine; its error ends
// bulk. All goroutines have ended when bulk returns.
func bulk(ctx context.Context, p plan, walk func(ctx context.Context, visit func(*Entry) error) error, emit func(*item) error) error {
	ctx, cancel := context.WithCancel(ctx)
	b := &bulkRun{plan: p, maxEntries: looseEntries, maxBytes: math.MaxInt64, batches: make(chan []*item, batchesAhead-1)}
	if b.keep {
		b.maxEntries, b.maxBytes = batchEntries, batchBytes
	}
	b.tasks = make(chan *task, (batchesAhead+2)*b.maxEntries)
	if b.workers <= 0 {
		b.workers = runtime.GOMAXPROCS(0)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	var walkErr error
	wg.Go(func() {
		defer close(b.batches)
		defer close(b.tasks)
		defer guard(&walkErr)
		walkErr = walk(ctx, func(e *Entry) error { return b.add(ctx, e) })
		if walkErr == nil {
			walkErr = b.flush(ctx)
		}
	})
	for range b.workers {
		wg.Go(func() {
			scratch := make([]byte, spanBytes)
			for t := range b.tasks {
				b.run(ctx, t, scratch)
			}
		})
	}
	for batch := range b.batches {
		for _, it := range batch {
			if it.task != nil {
				select {
				case <-it.task.done:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := emit(it); err != nil {
				return err
			}
			it.data = nil
		}
	}
	// The batches are closed: the walk has ended.
	return walkErr
}

type bulkRun struct {
	plan
	maxEntries int
	maxBytes   int64
	tasks      chan *task
	batches    chan []*item

	// Of the walk's goroutine: the batch that is being collected.
	items []*item
	bytes int64
}

func (b *bulkRun) add(ctx context.Context, e *Entry) error {
	it := &item{Entry: e}
	b.items = append(b.items, it)
	if e.Err == nil && e.Type() == syscall.S_IFREG && (b.wants == nil || b.wants(e)) {
		it.task = &task{items: []*item{it}}
		if e.Attr.Size <= smallBytes {
			it.small = true
			b.bytes += e.Attr.Size
		}
	}
	if len(b.items) >= b.maxEntries || b.bytes >= b.maxBytes {
		return b.flush(ctx)
	}
	return nil
}

// flush plans the batch and sends it on its way.
func (b *bulkRun) flush(ctx context.Context) error {
	items := b.items
	b.items, b.bytes = nil, 0
	tasks := planTasks(ctx, items)
	select {
	case b.batches <- items:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, t := range tasks {
		b.tasks <- t // has room for all batches that may be in flight
	}
	return nil
}

// planTasks sorts the wanted files by place and joins those that lie together.
func planTasks(ctx context.Context, items []*item) []*task {
	var wanted []*item
	for _, it := range items {
		if it.task != nil {
			locate(ctx, it)
			wanted = append(wanted, it)
		}
	}
	order := map[block.Device]int{}
	for _, it := range wanted {
		if _, ok := order[it.dev]; !ok {
			order[it.dev] = len(order)
		}
	}
	slices.SortStableFunc(wanted, func(a, b *item) int {
		return cmp.Or(cmp.Compare(order[a.dev], order[b.dev]), cmp.Compare(a.off, b.off))
	})
	var tasks []*task
	for _, it := range wanted {
		if n := len(tasks); n > 0 && tasks[n-1].join(it) {
			continue
		}
		t := &task{items: []*item{it}, dev: it.dev, off: it.off, n: it.Attr.Size, done: make(chan struct{})}
		if !it.small {
			t.dev = nil
		}
		it.task = t
		tasks = append(tasks, t)
	}
	return tasks
}

// locate finds where a file lies. dev stays nil where a small file lies in
// several places, or none.
func locate(ctx context.Context, it *item) {
	size := it.Attr.Size
	if size == 0 {
		return
	}
	ext, err := it.Inode.Map(ctx, 0, size)
	if err == nil && ext.Kind == vfs.Mapped && ext.Len > 0 {
		it.off = ext.Off
		if ext.Len >= size {
			it.dev = ext.Dev
		}
	}
}

// join adds a small file to a span where it lies near enough.
func (t *task) join(it *item) bool {
	if t.dev == nil || t.dev != it.dev || !it.small {
		return false
	}
	end := max(t.off+t.n, it.off+it.Attr.Size)
	if it.off-(t.off+t.n) > spanGap || end-t.off > spanBytes {
		return false
	}
	t.n = end - t.off
	t.items = append(t.items, it)
	it.task = t
	return true
}

// run reads a task and works on its files. scratch is the worker's own.
func (b *bulkRun) run(ctx context.Context, t *task, scratch []byte) {
	defer close(t.done)
	if ctx.Err() != nil {
		return
	}
	if !b.readSpan(ctx, t, scratch) {
		for _, it := range t.items {
			if it.small {
				b.readOne(ctx, it, scratch)
			}
			b.workOn(ctx, it)
		}
		return
	}
	for _, it := range t.items {
		b.workOn(ctx, it)
	}
}

func (b *bulkRun) workOn(ctx context.Context, it *item) {
	if b.work != nil {
		defer guard(&it.err)
		it.result = b.work(ctx, it)
	}
	if !b.keep {
		it.data = nil // it is the worker's scratch
	}
}

// readSpan reads files that lie together in one go. It answers false where
// there is no span, or where somebody's bytes are bad: reading each file by
// itself then shows whose.
func (b *bulkRun) readSpan(ctx context.Context, t *task, scratch []byte) bool {
	if t.dev == nil || len(t.items) < 2 {
		return false
	}
	var err error
	func() {
		defer guard(&err)
		err = block.ReadFull(ctx, t.dev, scratch[:t.n], t.off)
	}()
	if err != nil {
		return false
	}
	var kept []byte
	if b.keep {
		total := int64(0)
		for _, it := range t.items {
			total += it.Attr.Size
		}
		kept = make([]byte, 0, total)
	}
	for _, it := range t.items {
		at := it.off - t.off
		it.data = scratch[at : at+it.Attr.Size : at+it.Attr.Size]
		if b.keep {
			kept = append(kept, it.data...)
			it.data = kept[len(kept)-len(it.data):]
		}
	}
	return true
}

func (b *bulkRun) readOne(ctx context.Context, it *item, scratch []byte) {
	it.data = scratch[:it.Attr.Size]
	if b.keep {
		it.data = make([]byte, it.Attr.Size)
	}
	n, err := readFull(ctx, it.Inode, it.data, 0)
	clear(it.data[n:])
	if err != nil {
		it.err = &Error{Op: "read", Path: it.Path, Err: err}
	}
}
