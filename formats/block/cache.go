package block

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
)

// cacheShards divides a Cache's lock. A power of two.
const cacheShards = 16

// A Cache keeps values that were expensive to make: decompressed clusters, L2
// tables, verified metadata blocks. It is bounded in bytes, and of several
// callers that miss the same key at the same time one fills it.
//
// A value is immutable from the moment it is in the cache: callers share it and
// must not change it. An evicted value stays valid for those that hold it.
//
// What was not used for longest is evicted first. A second chance for values in
// use (CLOCK) is no better here and hurts: when all old values were used once,
// as behind a sequential reader, it evicts those that were just read ahead.
type Cache[K comparable, V any] struct {
	seed   maphash.Seed
	shards [cacheShards]cacheShard[K, V]
}

type cacheShard[K comparable, V any] struct {
	mu      sync.Mutex // guards all below; nothing is called while it is held
	entries map[K]*cacheEntry[K, V]
	queue   cacheEntry[K, V] // head of the ring of filled entries: next was not used for longest
	used    int64
	limit   int64
	stats   CacheStats
}

// CacheStats count what a cache was asked for.
type CacheStats struct {
	Hits   int64 // answered from memory
	Misses int64 // values that had to be made
}

// Add adds what other counts.
func (s *CacheStats) Add(other CacheStats) {
	s.Hits += other.Hits
	s.Misses += other.Misses
}

// A Cached says how its caches do. Images and filesystems may be.
type Cached interface{ CacheStats() CacheStats }

type cacheEntry[K comparable, V any] struct {
	key    K
	value  V
	err    error
	cost   int64
	gone   bool          // removed while it was being filled
	filled chan struct{} // closed when value or err is set; nil once in the queue

	prev, next *cacheEntry[K, V] // in the queue
}

// NewCache makes a cache that holds at most limit bytes, by the costs that its
// fill functions state.
func NewCache[K comparable, V any](limit int64) *Cache[K, V] {
	c := &Cache[K, V]{seed: maphash.MakeSeed()}
	for i := range c.shards {
		s := &c.shards[i]
		s.entries = make(map[K]*cacheEntry[K, V])
		s.queue.prev, s.queue.next = &s.queue, &s.queue
		s.limit = limit / cacheShards
	}
	return c
}

func (c *Cache[K, V]) shard(key K) *cacheShard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, key)%cacheShards]
}

// Stats are the counts since the cache was made.
func (c *Cache[K, V]) Stats() (all CacheStats) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		all.Add(s.stats)
		s.mu.Unlock()
	}
	return all
}

// Peek gives the value of key if it is there, without waiting.
func (c *Cache[K, V]) Peek(key K) (V, bool) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil && e.filled == nil {
		s.stats.Hits++
		s.use(e)
		return e.value, true
	}
	var none V
	return none, false
}

// Get gives the value of key, made by fill where it is not there. fill answers
// the value and its cost in bytes. An error is not kept. A caller whose own
// ctx is alive does not see the cancellation of the caller that was filling.
func (c *Cache[K, V]) Get(ctx context.Context, key K, fill func(ctx context.Context) (V, int64, error)) (V, error) {
	s := c.shard(key)
	for {
		s.mu.Lock()
		e := s.entries[key]
		if e == nil {
			e = &cacheEntry[K, V]{key: key, filled: make(chan struct{})}
			s.entries[key] = e
			s.stats.Misses++
			s.mu.Unlock()
			return s.fill(ctx, e, fill)
		}
		s.stats.Hits++
		if e.filled == nil {
			s.use(e)
			v := e.value
			s.mu.Unlock()
			return v, nil
		}
		wait := e.filled
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
		if e.err == nil {
			return e.value, nil
		}
		if ctx.Err() == nil && (errors.Is(e.err, context.Canceled) || errors.Is(e.err, context.DeadlineExceeded)) {
			continue
		}
		return e.value, e.err
	}
}

// errFillPanicked is what those see who waited for a fill that panicked.
var errFillPanicked = errors.New("a cache fill panicked")

// fill makes the value of e and puts it into the queue. A panic in make leaves
// no entry behind that others would wait for.
func (s *cacheShard[K, V]) fill(ctx context.Context, e *cacheEntry[K, V], make func(ctx context.Context) (V, int64, error)) (V, error) {
	e.err = errFillPanicked
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(e.filled)
		switch {
		case e.gone:
		case e.err != nil:
			delete(s.entries, e.key)
		default:
			s.insert(e)
		}
	}()
	e.value, e.cost, e.err = make(ctx)
	return e.value, e.err
}

// Add puts a value in, if the key is not there or being filled.
func (c *Cache[K, V]) Add(key K, value V, cost int64) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[key] != nil {
		return
	}
	e := &cacheEntry[K, V]{key: key, value: value, cost: cost}
	s.entries[key] = e
	s.insert(e)
}

// Remove forgets key. A fill under way still answers its callers.
func (c *Cache[K, V]) Remove(key K) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil {
		return
	}
	delete(s.entries, key)
	if e.filled != nil {
		e.gone = true
		return
	}
	s.drop(e)
}

// insert puts e at the end of the queue, after evicting down to the limit. A
// value larger than the whole limit is kept until the next insert. s.mu is held.
func (s *cacheShard[K, V]) insert(e *cacheEntry[K, V]) {
	e.filled = nil
	for s.used+e.cost > s.limit && s.queue.next != &s.queue {
		oldest := s.queue.next
		s.drop(oldest)
		delete(s.entries, oldest.key)
	}
	s.push(e)
}

// use moves e to the end of the queue. s.mu is held.
func (s *cacheShard[K, V]) use(e *cacheEntry[K, V]) {
	s.drop(e)
	s.push(e)
}

// push puts e at the end of the queue. s.mu is held.
func (s *cacheShard[K, V]) push(e *cacheEntry[K, V]) {
	e.prev, e.next = s.queue.prev, &s.queue
	e.prev.next, e.next.prev = e, e
	s.used += e.cost
}

// drop takes e out of the queue. s.mu is held.
func (s *cacheShard[K, V]) drop(e *cacheEntry[K, V]) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	s.used -= e.cost
}
