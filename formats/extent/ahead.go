package extent

import (
	"context"
	"runtime"
	"sync"
)

const (
	// aheadWindow is how far before a sequential reader blocks are decoded at
	// most, in bytes of the disk, and aheadJob how much of it one goroutine
	// takes. The window is as long as what the reader has read so far.
	aheadWindow = 16 << 20
	aheadJob    = 512 << 10
	// aheadQueue bounds the jobs that wait.
	aheadQueue = 64
	// streamSlack is how far from where a stream should go on a read may be:
	// the kernel sends the reads of one stream at the same time, in any order.
	streamSlack = 1 << 20
	// streamStart is the number of reads in a row that make a stream.
	streamStart = 2
	// streamCount is the number of sequential readers that are told apart.
	streamCount = 8
)

// streams finds sequential readers among all reads.
type streams struct {
	mu   sync.Mutex // guards all below
	all  [streamCount]stream
	tick uint64
}

type stream struct {
	start int64 // where the reader began
	next  int64 // where the reader goes on
	ahead int64 // up to where read-ahead was asked for
	hits  int
	used  uint64
}

// note takes note of a read of [off, end) and gives the range that is to be
// read ahead, empty where there is none: at most window bytes.
func (s *streams) note(off, end, window int64) (from, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick++
	oldest := &s.all[0]
	for i := range s.all {
		st := &s.all[i]
		if st.used < oldest.used {
			oldest = st
		}
		if st.used == 0 || off < st.next-streamSlack || off > st.next+streamSlack {
			continue
		}
		st.used = s.tick
		if end <= st.next {
			return 0, 0
		}
		st.next = end
		st.hits++
		if st.hits < streamStart {
			return 0, 0
		}
		window = min(window, end-st.start)
		from = max(st.ahead, end)
		if to = end + window; to-from < min(window, aheadJob) {
			return 0, 0
		}
		st.ahead = to
		return from, to
	}
	*oldest = stream{start: off, next: end, hits: 1, used: s.tick}
	return 0, 0
}

// ahead runs jobs of read-ahead in goroutines of its own, which end when there
// is nothing more to do.
type ahead struct {
	ctx  context.Context // ends with close
	stop context.CancelFunc
	do   func(ctx context.Context, j job)

	mu      sync.Mutex // guards all below
	queue   []job
	running int
	closed  bool
	wg      sync.WaitGroup
}

// job is a range of the disk.
type job struct{ off, n int64 }

func newAhead(do func(ctx context.Context, j job)) *ahead {
	a := &ahead{do: do}
	a.ctx, a.stop = context.WithCancel(context.Background())
	return a
}

// add queues j, or drops it where enough is waiting.
func (a *ahead) add(j job) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || len(a.queue) >= aheadQueue {
		return
	}
	a.queue = append(a.queue, j)
	if a.running < runtime.GOMAXPROCS(0) {
		a.running++
		a.wg.Go(a.run)
	}
}

func (a *ahead) run() {
	for {
		a.mu.Lock()
		if a.closed || len(a.queue) == 0 {
			a.running--
			a.mu.Unlock()
			return
		}
		j := a.queue[0]
		a.queue = a.queue[1:]
		a.mu.Unlock()
		a.do(a.ctx, j)
	}
}

// close stops all jobs and waits for their goroutines.
func (a *ahead) close() {
	a.mu.Lock()
	a.closed, a.queue = true, nil
	a.mu.Unlock()
	a.stop()
	a.wg.Wait()
}
