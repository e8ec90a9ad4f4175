package vfs

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// writable is what a Tree has whose FileSystem is open for writing.
type writable struct {
	fs    Changer
	locks inodeLocks

	removals atomic.Uint64 // names taken away so far

	mu       sync.Mutex // guards all below; a leaf
	clients  map[*Client]bool
	nameless map[inodeKey]Ino // in use, and without a name
}

func newWritable(fs Changer) *writable {
	return &writable{fs: fs, locks: inodeLocks{locks: make(map[inodeKey]*inodeLock)},
		clients: make(map[*Client]bool), nameless: make(map[inodeKey]Ino)}
}

// A Client is one of those who change and show a Tree: a mount, a command. It
// learns what the others change. It is safe for any number of goroutines.
//
// A Client checks no permissions: it does what root may do. It neither clears
// set-ID bits nor security attributes; whoever speaks for others does.
type Client struct {
	t      *Tree
	notify func(Event)
	open   map[inodeKey]int // guarded by writable.mu
}

// An Event says what another Client has changed.
type Event struct {
	Ino      Ino    // the inode, whose attributes are new
	Name     string // the entry of Ino, a directory, that is new, gone or another; "" for none
	Contents bool   // the bytes of Ino are new
}

// Client gives the Tree another Client, to be closed. notify is called after
// each change that another one makes, outside of locks; it must not wait. nil
// is for those that want to know nothing. The Client of a read-only Tree changes nothing.
func (t *Tree) Client(notify func(Event)) *Client {
	c := &Client{t: t, notify: notify, open: make(map[inodeKey]int)}
	if t.w != nil {
		t.w.mu.Lock()
		defer t.w.mu.Unlock()
		t.w.clients[c] = true
	}
	return c
}

// Close ends all uses of the Client.
func (c *Client) Close(ctx context.Context) {
	w := c.t.w
	if w == nil {
		return
	}
	w.mu.Lock()
	delete(w.clients, c)
	var last []Ino
	for key := range c.open {
		if ino, ok := w.nameless[key]; ok {
			last = append(last, ino)
		}
	}
	w.mu.Unlock()
	for _, ino := range last {
		w.evict(ctx, ino)
	}
}

// Open says that an inode is in use, until Release: it is kept though it lose
// its last name. With write its contents are to be changed, at their end only
// where toEnd: EROFS, EPERM where a flag of the inode forbids it.
func (c *Client) Open(ctx context.Context, ino Ino, write, toEnd bool) error {
	w := c.t.w
	if w == nil {
		if write {
			return syscall.EROFS
		}
		return nil
	}
	defer w.locks.share(ino)()
	f, err := w.fs.Inode(ctx, ino)
	if err != nil {
		return c.t.failed("open inode", ino, err)
	}
	if flags := f.Attr().Flags; write && (flags&FlagImmutable != 0 || flags&FlagAppend != 0 && !toEnd) {
		return syscall.EPERM
	}
	c.use(ino)
	return nil
}

func (c *Client) use(ino Ino) {
	c.t.w.mu.Lock()
	defer c.t.w.mu.Unlock()
	c.open[inodeKey{ino.Tree, ino.Num}]++
}

// Release ends a use.
func (c *Client) Release(ctx context.Context, ino Ino) {
	w := c.t.w
	if w == nil {
		return
	}
	key := inodeKey{ino.Tree, ino.Num}
	w.mu.Lock()
	c.open[key]--
	if c.open[key] <= 0 {
		delete(c.open, key)
	}
	ino, nameless := w.nameless[key]
	w.mu.Unlock()
	if nameless {
		w.evict(ctx, ino)
	}
}

// evict frees an inode that has no name and is in no use. Where that fails the
// filesystem knows of it, and whoever opens it next frees it.
func (w *writable) evict(ctx context.Context, ino Ino) {
	defer w.locks.lock(ino)()
	f, err := w.fs.Inode(ctx, ino)
	named := err != nil || f.Attr().Nlink > 0
	if w.keeps(ino, named) || named {
		return
	}
	_ = w.fs.Evict(ctx, f.Ino(), now())
}

// keeps says whether an inode is in use, and remembers it if it has no name.
func (w *writable) keeps(ino Ino, named bool) bool {
	key := inodeKey{ino.Tree, ino.Num}
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.clients {
		if c.open[key] > 0 {
			if !named {
				w.nameless[key] = ino
			}
			return true
		}
	}
	delete(w.nameless, key)
	return false
}

// tell tells the other Clients what c has changed.
func (c *Client) tell(events ...Event) {
	w := c.t.w
	w.mu.Lock()
	var others []*Client
	for o := range w.clients {
		if o != c && o.notify != nil {
			others = append(others, o)
		}
	}
	w.mu.Unlock()
	for _, o := range others {
		for _, e := range events {
			o.notify(e)
		}
	}
}

// Sync makes durable all that was changed, by whomever.
func (c *Client) Sync(ctx context.Context) error {
	if err := c.t.fs.Sync(ctx); err != nil {
		return c.t.failed("sync inode", c.t.fs.Root(), err)
	}
	return nil
}

// now is the time that changes get.
func now() Time {
	t := time.Now()
	return Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

// failed is the error of an operation on an inode: what a driver says in a
// number is what the kernel would say, and stays bare.
func (t *Tree) failed(op string, ino Ino, err error) error {
	if errno, bare := any(err).(syscall.Errno); bare && errno != syscall.EIO {
		return errno
	}
	return &OpError{Op: op, Volume: t.name, Ino: ino, Err: err}
}
