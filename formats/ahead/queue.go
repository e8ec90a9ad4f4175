package ahead

import (
	"context"
	"runtime"
	"sync"
	"syscall"
)

const (
	// jobSize is how much of what is to be read ahead one goroutine takes, in
	// bytes of the disk.
	jobSize = 512 << 10
	// queueLength bounds the jobs that wait.
	queueLength = 64
)

// A Queue runs jobs of read-ahead in up to GOMAXPROCS goroutines, which end
// when there is nothing more to do.
type Queue struct {
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	do   func(ctx context.Context, j Job)

	mu      sync.Mutex // guards all below
	queue   []Job
	running int
	closed  bool
	wg      sync.WaitGroup
}

// A Job is a range of the disk.
type Job struct{ Off, Len int64 }

// NewQueue makes a Queue whose jobs do does. A panic of do is its own to catch.
func NewQueue(do func(ctx context.Context, j Job)) *Queue {
	q := &Queue{do: do}
	q.ctx, q.stop = context.WithCancel(context.Background())
	return q
}

// Add queues n bytes at off, cut at multiples of blocks of that size, and drops
// what is too much.
func (q *Queue) Add(off, n, block int64) {
	for step := max(jobSize, block); n > 0; {
		part := min(n, step-off%step)
		q.add(Job{off, part})
		off, n = off+part, n-part
	}
}

func (q *Queue) add(j Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.queue) >= queueLength {
		return
	}
	q.queue = append(q.queue, j)
	if q.running < runtime.GOMAXPROCS(0) {
		q.running++
		q.wg.Go(q.run)
	}
}

func (q *Queue) run() {
	for {
		q.mu.Lock()
		if q.closed || len(q.queue) == 0 {
			q.running--
			q.mu.Unlock()
			return
		}
		j := q.queue[0]
		q.queue = q.queue[1:]
		q.mu.Unlock()
		q.do(q.ctx, j)
	}
}

// Close stops all jobs and waits for their goroutines. EINVAL where the Queue
// was closed before.
func (q *Queue) Close() error {
	q.mu.Lock()
	again := q.closed
	q.closed, q.queue = true, nil
	q.mu.Unlock()
	if again {
		return syscall.EINVAL
	}
	q.stop()
	q.wg.Wait()
	return nil
}
