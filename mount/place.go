package mount

import "sync"

// placesKept bounds each of the two generations of places.
const placesKept = 64 << 10

// A place is where a node was listed or found last.
type place struct {
	dir   uint64 // node id of the directory
	index uint32 // position in its listing, and 1; 0 where it was not listed
}

type placed struct {
	id uint64
	at place
}

// places remembers the place of directories, for "..", and of small files, to find their siblings. The newest 64 Ki are
// kept, and the oldest of them thrown away in bulk.
type places struct {
	mu       sync.Mutex // guards both
	new, old map[uint64]place
}

func newPlaces() *places { return &places{new: make(map[uint64]place)} }

func (p *places) get(id uint64) (place, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.new[id]
	if !ok {
		at, ok = p.old[id]
	}
	return at, ok
}

func (p *places) put(id uint64, at place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(id, at)
}

func (p *places) putAll(list []placed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range list {
		p.add(e.id, e.at)
	}
}

// add is called with p.mu held.
func (p *places) add(id uint64, at place) {
	if len(p.new) >= placesKept {
		p.old, p.new = p.new, make(map[uint64]place)
	}
	p.new[id] = at
}
