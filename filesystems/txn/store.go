package txn

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/guestctl/guestctl/formats/block"
)

// An Addr says where a metadata buffer lies and to whom it belongs.
type Addr struct {
	Off   int64  // byte offset in the device
	Len   int    // bytes
	Owner uint64 // inode number whose checksum seed the buffer has; 0 where none
	Gen   uint32 // that inode's generation
}

// A Kind is one type of metadata buffer.
type Kind struct {
	Name string
	// Verify says whether b is what belongs at at: magic, own address,
	// bounds, checksum. It answers *ondisk.CorruptError and keeps nothing. It
	// may put b right where the format keeps bytes elsewhere, as NTFS does with
	// the ends of sectors: b is not shared before Verify returns.
	Verify func(b []byte, at Addr) error
	// Seal makes b what Verify accepts: it sets the checksum. It is called once,
	// on the private copy of a change that is whole. nil has nothing to do.
	Seal func(b []byte, at Addr)
}

// A Store is the cache of verified metadata of one device. Buffers are shared
// and must not be changed.
type Store struct {
	dev   block.Device
	cache *block.Cache[storeKey, []byte]
	bufs  sync.Pool // *[]byte, for the reads of Prefetch

	// manager is set once, before the first change: it has the blocks that
	// are newer than dev's. Reads that find a buffer in the cache never ask it.
	manager *Manager

	// publishing is held while a buffer that changed takes the place of the
	// older one, and while Prefetch adds what it has found to be no older.
	publishing sync.Mutex
}

type storeKey struct {
	off  int64
	kind *Kind
}

// storeCost is what a cached buffer costs besides its bytes.
const storeCost = 160

// NewStore makes a Store over dev that keeps at most limit bytes.
func NewStore(dev block.Device, limit int64) *Store {
	return &Store{dev: dev, cache: block.NewCache[storeKey, []byte](limit)}
}

// CacheStats say how the cache does.
func (s *Store) CacheStats() block.CacheStats { return s.cache.Stats() }

// Device is what the store reads.
func (s *Store) Device() block.Device { return s.dev }

// Peek gives the verified buffer at off if it is in memory, without waiting.
func (s *Store) Peek(off int64, kind *Kind) ([]byte, bool) {
	return s.cache.Peek(storeKey{off, kind})
}

// Read gives the verified buffer at at. An error is what the device or the
// Kind answered.
func (s *Store) Read(ctx context.Context, at Addr, kind *Kind) ([]byte, error) {
	// Most reads find the buffer: they make nothing, not even the closure below.
	if b, ok := s.cache.Peek(storeKey{at.Off, kind}); ok {
		return b, nil
	}
	return s.load(ctx, at, kind)
}

func (s *Store) load(ctx context.Context, at Addr, kind *Kind) ([]byte, error) {
	return s.cache.Get(ctx, storeKey{at.Off, kind}, func(ctx context.Context) ([]byte, int64, error) {
		b, ok := s.pending(at)
		if !ok {
			b = make([]byte, at.Len)
			if err := block.ReadFull(ctx, s.dev, b, at.Off); err != nil {
				return nil, 0, err
			}
		}
		if kind.Verify != nil {
			if err := kind.Verify(b, at); err != nil {
				return nil, 0, err
			}
		}
		return b, int64(len(b)) + storeCost, nil
	})
}

// pending is the block at at where it is newer than the device's.
func (s *Store) pending(at Addr) ([]byte, bool) {
	if s.manager == nil {
		return nil, false
	}
	b, ok := s.manager.pending(at.Off)
	return b, ok && len(b) == at.Len
}

// publish makes b the buffer at off, for all who read from now on. A read of
// the device that is under way does not put its older bytes in.
func (s *Store) publish(off int64, kind *Kind, b []byte) {
	key := storeKey{off, kind}
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.cache.Remove(key)
	s.cache.Add(key, b, int64(len(b))+storeCost)
}

// forget takes the buffer at off out of the cache.
func (s *Store) forget(off int64, kind *Kind) { s.cache.Remove(storeKey{off, kind}) }

const (
	// prefetchGap is how many unwanted bytes are read to save a request.
	prefetchGap = 64 << 10
	// prefetchMax bounds one read.
	prefetchMax = 1 << 20
	// prefetchJobs is how many reads are under way at once.
	prefetchJobs = 4
)

// Prefetch reads the buffers at addrs into the cache, in few large reads in
// the order of the device, and returns when that is done. What cannot be read
// or verified is left out; Read finds the reason again.
func (s *Store) Prefetch(ctx context.Context, addrs []Addr, kind *Kind) {
	want := make([]Addr, 0, len(addrs))
	for _, a := range addrs {
		if _, ok := s.cache.Peek(storeKey{a.Off, kind}); !ok {
			want = append(want, a)
		}
	}
	slices.SortFunc(want, func(a, b Addr) int { return cmp.Compare(a.Off, b.Off) })
	want = slices.CompactFunc(want, func(a, b Addr) bool { return a.Off == b.Off })
	var wg sync.WaitGroup
	slots := make(chan struct{}, prefetchJobs)
	for len(want) > 0 && ctx.Err() == nil {
		n, end := 1, want[0].Off+int64(want[0].Len)
		for n < len(want) && want[n].Off <= end+prefetchGap && want[n].Off+int64(want[n].Len)-want[0].Off <= prefetchMax {
			end = max(end, want[n].Off+int64(want[n].Len))
			n++
		}
		batch := want[:n]
		want = want[n:]
		if len(want) == 0 {
			s.readBatch(ctx, batch, end, kind)
			break
		}
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			s.readBatch(ctx, batch, end, kind)
			<-slots
		}()
	}
	wg.Wait()
}

// readBatch reads [batch[0].Off, end) at once and puts the verified buffers in.
func (s *Store) readBatch(ctx context.Context, batch []Addr, end int64, kind *Kind) {
	base := batch[0].Off
	buf, _ := s.bufs.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer s.bufs.Put(buf)
	if int64(cap(*buf)) < end-base {
		*buf = make([]byte, end-base)
	}
	b := (*buf)[:end-base]
	epoch := s.epoch()
	if block.ReadFull(ctx, s.dev, b, base) != nil {
		return
	}
	for _, a := range batch {
		// A copy of its own, so that one kept buffer does not keep the whole read, which serves the next one.
		one := append([]byte(nil), b[a.Off-base:a.Off-base+int64(a.Len)]...)
		if kind.Verify == nil || kind.Verify(one, a) == nil {
			s.addRead(a, kind, one, epoch)
		}
	}
}

// addRead puts a buffer in that was read from the device in an epoch, unless a
// change may have come after the read. Then Read finds the block.
func (s *Store) addRead(at Addr, kind *Kind, b []byte, epoch uint64) {
	if s.manager != nil {
		s.publishing.Lock()
		defer s.publishing.Unlock()
		if _, newer := s.pending(at); newer || s.epoch() != epoch {
			return
		}
	}
	s.cache.Add(storeKey{at.Off, kind}, b, int64(len(b))+storeCost)
}

// epoch counts the changes that were published.
func (s *Store) epoch() uint64 {
	if s.manager == nil {
		return 0
	}
	return s.manager.epoch.Load()
}
