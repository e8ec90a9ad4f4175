package mount

import (
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

const (
	// scoutAhead is how many directories below the one that was listed, and how many beside it, are read ahead.
	scoutAhead = 8
	// scoutQueue bounds the listings that wait for the scout; what comes beyond is not missed.
	scoutQueue = 16
)

// A scout reads directories before they are listed, on the processor that is idle while the walker works on what it got: who
// lists a directory and then one in it, as find, tar and grep do, lists the next ones soon. One goroutine does it.
type scout struct {
	m    *fileSystem
	jobs chan uint64 // node ids of directories that were listed
	done sync.WaitGroup
}

func newScout(m *fileSystem) *scout { return &scout{m: m, jobs: make(chan uint64, scoutQueue)} }

func (s *scout) start() {
	s.done.Go(func() {
		for {
			select {
			case id := <-s.jobs:
				s.guarded(id)
			case <-s.m.ctx.Done():
				return
			}
		}
	})
}

func (s *scout) wait() { s.done.Wait() }

// wasListed tells that a listing began. It never waits.
func (s *scout) wasListed(id uint64) {
	select {
	case s.jobs <- id:
	default:
	}
}

func (s *scout) guarded(id uint64) {
	defer func() {
		if r := recover(); r != nil {
			s.m.panicked(r)
		}
	}()
	at, ok := s.m.places.get(id)
	if !ok || at.index == 0 {
		return // its own directory was not listed: nobody walks
	}
	s.ahead(id, -1)
	s.ahead(at.dir, int(at.index)-1)
}

// ahead reads the next directories in a listing after entry i.
func (s *scout) ahead(id uint64, i int) {
	dir, err := s.m.node(id)
	if err != nil {
		return
	}
	k := uint64(max(i, 0)) / uint64(s.m.dirs.size)
	w, ok := s.m.dirs.windows.Peek(windowKey{id, k})
	if !ok {
		return
	}
	left := scoutAhead
	for i = i + 1 - int(k)*s.m.dirs.size; i < len(w.entries) && left > 0; i++ {
		e := &w.entries[i]
		if uint32(e.typ)<<12 != syscall.S_IFDIR {
			continue
		}
		left--
		s.visit(s.m.ns.Cross(vfs.Node{Tree: dir.Tree, Ino: e.ino}))
		if s.m.ctx.Err() != nil {
			return
		}
	}
}

// visit reads what a listing of a directory needs. What is wrong with it shows when it is listed.
func (s *scout) visit(n vfs.Node) {
	_, id := s.m.number(n)
	if _, ok := s.m.dirs.windows.Peek(windowKey{id, 0}); ok {
		return
	}
	if w, err := s.m.dirs.window(id, n, 0); w != nil && err == nil {
		s.m.dirs.prefetch(n, w, 0)
		w.scouted.Store(true)
	}
}
