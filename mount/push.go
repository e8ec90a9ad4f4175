package mount

import (
	"cmp"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// pushFile is the largest file that is pushed, in bytes.
	pushFile = 128 << 10
	// pushAhead is how many bytes are kept pushed ahead of the reader.
	pushAhead = 1 << 20
	// pushCount is how many files at most.
	pushCount = 1024
	// pushGap is how many bytes between two files are read along rather than read around.
	pushGap = 64 << 10
	// pushQueue bounds the READs that wait for the pusher; what comes beyond is not missed.
	pushQueue = 64
	// pushMisses is how many files in a row the kernel may not know before a run ends.
	pushMisses = 8
	// pushAgain is how long after a push a READ of what was pushed means that the kernel has dropped it.
	pushAgain = 2 * time.Second
)

// A kernel is what takes data into the page cache, and forgets what it knows: *fuse.Server.
type kernel interface {
	InodeNotifyStoreCache(node uint64, offset int64, data []byte) fuse.Status
	InodeNotify(node uint64, off, length int64) fuse.Status
	EntryNotify(parent uint64, name string) fuse.Status
}

// A pusher sends small files to the kernel before they are asked for. A READ of a small file says that its directory is
// being read through, as tar, cp and grep do: the next files of the listing follow it, about 1 MiB ahead, whole, read
// from the disk in few large pieces. A file that is there needs no request at all. One file in the middle of what was
// sent is left out: its READ is the sign to send more, long before the reader runs dry.
//
// Only the kernel knows which nodes it knows: it refuses to store into others, and some refusals in a row end a run. It
// marks a page as good only where data covers it up to the end of the file, so files go whole or not at all. One
// goroutine does it, holding no lock, since storing waits for pages whose READ another goroutine has yet to answer.
type pusher struct {
	m    *fileSystem
	conn kernel
	jobs chan place
	done sync.WaitGroup

	stores, stored atomic.Int64

	// The rest is the goroutine's own.
	batch  []pushed
	buf    []byte
	misses int // refusals in a row
}

// pushState is what the pusher knows about a window. The zero value is nothing pushed.
type pushState struct {
	sent  []uint64 // a bit for each entry
	mark  int      // the entry that was left out, and 1
	since time.Time
}

func (s *pushState) isSent(i int) bool { return len(s.sent) > i/64 && s.sent[i/64]>>(i%64)&1 != 0 }

func (s *pushState) setSent(i, n int) {
	if s.sent == nil {
		s.sent = make([]uint64, (n+63)/64)
	}
	s.sent[i/64] |= 1 << (i % 64)
}

// pushed is a file on its way.
type pushed struct {
	id    uint64
	file  vfs.Inode
	size  int
	dev   block.Device // where the whole file lies in one place, else nil
	off   int64
	data  []byte // Inline
	order int    // which of the batch's devices dev is
}

func newPusher(m *fileSystem) *pusher { return &pusher{m: m, jobs: make(chan place, pushQueue)} }

func (p *pusher) start(conn kernel) {
	p.conn = conn
	p.done.Go(func() {
		for {
			select {
			case at := <-p.jobs:
				p.guarded(at)
			case <-p.m.ctx.Done():
				return
			}
		}
	})
}

func (p *pusher) wait() { p.done.Wait() }

// wasRead tells of a READ of a small file. It never waits.
func (p *pusher) wasRead(id uint64) {
	if at, ok := p.m.places.get(id); ok && at.index > 0 {
		at.index--
		select {
		case p.jobs <- at:
		default:
		}
	}
}

func (p *pusher) guarded(at place) {
	defer func() {
		if r := recover(); r != nil {
			p.m.panicked(r)
		}
	}()
	p.run(at)
}

// run pushes what comes after one entry.
func (p *pusher) run(at place) {
	dir, err := p.m.node(at.dir)
	if err != nil {
		return
	}
	w, err := p.m.dirs.window(at.dir, dir, uint64(at.index)/uint64(p.m.dirs.size))
	if w == nil || err != nil {
		return
	}
	i := int(at.index) % p.m.dirs.size
	s := &w.pushed
	if s.isSent(i) {
		if time.Since(s.since) < pushAgain {
			return // the reader was faster
		}
		*s = pushState{}
	}
	p.choose(dir, w, i)
	if len(p.batch) == 0 {
		return
	}
	s.since = time.Now()
	p.locate()
	p.store()
	s.since = time.Now()
}

// choose fills the batch with the files after entry i that are to be sent.
func (p *pusher) choose(dir vfs.Node, w *window, i int) {
	p.batch = p.batch[:0]
	s := &w.pushed
	s.setSent(i, len(w.entries))
	bytes, count, middle := 0, 0, -1
	var ends []int // the index of each file in the batch
	for i++; i < len(w.entries) && bytes < pushAhead && count < pushCount; i++ {
		e := &w.entries[i]
		if typ := uint32(e.typ) << 12; typ != syscall.S_IFREG && typ != 0 || s.mark == i+1 {
			continue
		}
		n := p.m.ns.Cross(vfs.Node{Tree: dir.Tree, Ino: e.ino})
		f, err := p.m.glance(n, syscall.S_IFREG)
		if err != nil {
			continue
		}
		a := f.Attr()
		if a.Mode&syscall.S_IFMT != syscall.S_IFREG || a.Size <= 0 || a.Size > pushFile || p.m.facts(n.Tree).made {
			continue
		}
		bytes += int(a.Size)
		count++
		if s.isSent(i) {
			continue
		}
		if middle < 0 && bytes >= pushAhead/2 {
			middle = len(p.batch)
		}
		_, id := p.m.number(n)
		p.batch = append(p.batch, pushed{id: id, file: f, size: int(a.Size)})
		ends = append(ends, i)
	}
	if i < len(w.entries) && middle >= 0 {
		s.mark = ends[middle] + 1
		p.batch = slices.Delete(p.batch, middle, middle+1)
		ends = slices.Delete(ends, middle, middle+1)
	}
	for _, at := range ends {
		s.setSent(at, len(w.entries))
	}
}

// locate finds where the files of the batch lie.
func (p *pusher) locate() {
	for i := range p.batch {
		f := &p.batch[i]
		ext, err := f.file.Map(p.m.ctx, 0, int64(f.size))
		if err != nil || ext.Len != int64(f.size) {
			continue
		}
		switch ext.Kind {
		case vfs.Mapped:
			f.dev, f.off = ext.Dev, ext.Off
		case vfs.Inline:
			f.data = ext.Inline
		}
	}
}

// store reads the files of the batch and sends them: those that lie plainly on a device in the order in which they lie,
// neighbours with one read, and then the others.
func (p *pusher) store() {
	var devs []block.Device
	index := func(f *pushed) int {
		i := slices.Index(devs, f.dev)
		if i < 0 {
			i = len(devs)
			devs = append(devs, f.dev)
		}
		return i
	}
	var located, others []*pushed
	for i := range p.batch {
		if f := &p.batch[i]; f.dev != nil {
			f.order = index(f)
			located = append(located, f)
		} else {
			others = append(others, f)
		}
	}
	slices.SortFunc(located, func(a, b *pushed) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.off, b.off))
	})
	if p.buf == nil {
		p.buf = make([]byte, pushAhead)
	}
	p.misses = 0
	for len(located) > 0 {
		n, lo, hi := p.span(located)
		var err error
		if n > 1 {
			err = block.ReadFull(p.m.ctx, located[0].dev, p.buf[:hi-lo], lo)
		}
		if n > 1 && err == nil {
			for _, f := range located[:n] {
				if !p.send(f, p.buf[f.off-lo:][:f.size]) {
					return
				}
			}
		} else if !p.sendEach(located[:n]) {
			return
		}
		located = located[n:]
	}
	p.sendEach(others)
}

// span says how many of the files, sorted, one read gets, and from where to where.
func (p *pusher) span(files []*pushed) (n int, lo, hi int64) {
	lo, hi = files[0].off, files[0].off+int64(files[0].size)
	for n = 1; n < len(files); n++ {
		f := files[n]
		end := max(hi, f.off+int64(f.size))
		if f.order != files[0].order || f.off-hi > pushGap || end-lo > int64(len(p.buf)) {
			break
		}
		hi = end
	}
	return n, lo, hi
}

// sendEach reads and sends files one at a time. One that cannot be read is left to be asked for.
func (p *pusher) sendEach(files []*pushed) bool {
	for _, f := range files {
		data := f.data
		if data == nil {
			data = p.buf[:f.size]
			if n, err := vfs.ReadAt(p.m.ctx, f.file, data, 0); n < len(data) || err != nil && err != io.EOF {
				continue
			}
		}
		if !p.send(f, data) {
			return false
		}
	}
	return true
}

// send puts a whole file into the kernel's page cache, and says whether to go on.
func (p *pusher) send(f *pushed, data []byte) bool {
	switch st := p.conn.InodeNotifyStoreCache(f.id, 0, data); st {
	case fuse.OK:
		p.misses = 0
		p.stores.Add(1)
		p.stored.Add(int64(len(data)))
	default:
		p.misses++
	}
	return p.misses < pushMisses && p.m.ctx.Err() == nil
}
