package txn

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/formats/block"
)

const (
	// defaultInterval is how long a change may wait for its commit.
	defaultInterval = 5 * time.Second
	// maxRunning is the size of a running transaction, in bytes, that is
	// committed without waiting for the interval.
	maxRunning = 8 << 20
	// maxPending is how much may be committed and not home, in bytes.
	maxPending = 32 << 20
	// maxCredits is the most blocks that one Tx may change.
	maxCredits = 64
)

// ManagerOptions are what a driver has a Manager do.
type ManagerOptions struct {
	// Activate marks the volume as one that must be recovered, and syncs
	// that with BarrierActivate. It is called before the first Append.
	Activate func(ctx context.Context) error

	// Clean takes the mark away, and syncs that with BarrierClosed. It is
	// called last, where Activate was, or where the volume was marked before.
	Clean  func(ctx context.Context) error
	Marked bool

	// BeforeCommit adds to a transaction what changes once in each: the counts
	// of a superblock. It must edit few blocks.
	BeforeCommit func(ctx context.Context, tx *Tx) error

	Interval time.Duration // of the commits that nobody asks for; 0 is five seconds
	Log      *slog.Logger
}

// A Manager makes changes: it runs the protocol of the package comment over
// one Store. Close it.
type Manager struct {
	store     *Store
	home      block.Writer
	log       Appender
	opt       ManagerOptions
	blockSize int
	credits   int

	flush  sync.Mutex // one commit or checkpoint at a time; before writer
	active bool       // guarded by flush: the log may be written

	writer sync.Mutex // held by the open Tx; before mu

	epoch atomic.Uint64 // changes published

	mu         sync.RWMutex // guards all below; never held during I/O
	running    *transaction
	committing *transaction
	committed  map[int64][]byte // the newest committed contents, not home yet
	logged     map[int64]bool   // blocks of which the log holds a copy
	durable    uint64           // the last transaction that is
	failed     error

	stop chan struct{} // closed by Close
	kick chan struct{} // asks for a commit
	done chan struct{} // closed when the goroutine of the interval has ended
}

// A transaction is the joined changes of Txs.
type transaction struct {
	id      uint64
	blocks  map[int64][]byte
	revokes map[int64]bool
	commit  []func()
}

func newTransaction(id uint64) *transaction {
	return &transaction{id: id, blocks: make(map[int64][]byte), revokes: make(map[int64]bool)}
}

func (t *transaction) empty() bool { return len(t.blocks) == 0 && len(t.revokes) == 0 }

// NewManager makes a Manager of the Store, whose device is home. The log was
// recovered. blockSize is that of the log in bytes; all buffers that change
// have it.
func NewManager(store *Store, home block.Writer, log Appender, blockSize int, opt ManagerOptions) *Manager {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Interval <= 0 {
		opt.Interval = defaultInterval
	}
	m := &Manager{store: store, home: home, log: log, opt: opt, blockSize: blockSize,
		running: newTransaction(1), committed: make(map[int64][]byte), logged: make(map[int64]bool),
		stop: make(chan struct{}), kick: make(chan struct{}, 1), done: make(chan struct{})}
	// Two Txs must fit a transaction, or one that goes beyond, and the few blocks of BeforeCommit.
	m.credits = maxCredits
	for m.credits > 8 && log.Need(2*m.credits+8, 2*m.credits) > log.Limit() {
		m.credits--
	}
	store.manager = m
	go m.commitAtIntervals()
	return m
}

// Credits is how many blocks one Tx may change, which see.
func (m *Manager) Credits() int { return m.credits }

// Begin opens a Tx. It waits for the one that is open and, where the running
// transaction is full, for its commit. The error unwraps to EROFS where an
// earlier transaction could not be written.
func (m *Manager) Begin(ctx context.Context) (*Tx, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := m.failure(); err != nil {
			return nil, err
		}
		m.writer.Lock()
		m.mu.RLock()
		id := m.running.id
		fits := m.log.Need(len(m.running.blocks)+m.credits+8, len(m.running.revokes)+m.credits) <= m.log.Limit()
		fits = fits || m.running.empty()
		m.mu.RUnlock()
		if fits {
			return m.newTx(), nil
		}
		m.writer.Unlock()
		if err := m.Flush(id); err != nil {
			return nil, err
		}
	}
}

func (m *Manager) newTx() *Tx {
	return &Tx{m: m, edits: make(map[int64]*edit, 8), frees: make(map[int64]*Kind)}
}

// join puts the edits of a Tx into the running transaction. m.writer is held.
func (m *Manager) join(tx *Tx) uint64 {
	for _, e := range tx.edits {
		if e.kind.Seal != nil {
			e.kind.Seal(e.bytes, e.at)
		}
	}
	m.mu.Lock()
	t := m.running
	for off, e := range tx.edits {
		t.blocks[off] = e.bytes
		delete(t.revokes, off)
	}
	for off := range tx.frees {
		if m.copied(off) {
			t.revokes[off] = true
		}
		delete(t.blocks, off)
	}
	t.commit = append(t.commit, tx.commit...)
	large := len(t.blocks)*m.blockSize >= maxRunning
	m.mu.Unlock()
	// From here on a read of the device finds the blocks of t first.
	m.epoch.Add(1)
	for off, e := range tx.edits {
		m.store.publish(off, e.kind, e.bytes)
	}
	for off, kind := range tx.frees {
		m.store.forget(off, kind)
	}
	if large {
		select {
		case m.kick <- struct{}{}:
		default:
		}
	}
	return t.id
}

// copied says whether the log has, or will have, a copy of the block from a
// transaction before the running one. m.mu is held.
func (m *Manager) copied(off int64) bool {
	if m.logged[off] {
		return true
	}
	if m.committing != nil {
		_, ok := m.committing.blocks[off]
		return ok
	}
	return false
}

// pending is the contents of the block at off where they are newer than the
// device's.
func (m *Manager) pending(off int64) ([]byte, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if b, ok := m.running.blocks[off]; ok {
		return b, true
	}
	if m.committing != nil {
		if b, ok := m.committing.blocks[off]; ok {
			return b, true
		}
	}
	b, ok := m.committed[off]
	return b, ok
}

// whole says that at is one block of the log, which is what can be changed.
func (m *Manager) whole(at Addr) error {
	if at.Len != m.blockSize || at.Off%int64(m.blockSize) != 0 {
		return fmt.Errorf("txn: a change of %d bytes at %d, in blocks of %d: %w", at.Len, at.Off, m.blockSize, syscall.EINVAL)
	}
	return nil
}

// A FailedError says why a volume became read-only. It unwraps to EROFS.
type FailedError struct{ Cause error }

func (e *FailedError) Error() string {
	return fmt.Sprintf("the volume is read-only since a change could not be written: %v", e.Cause)
}

func (e *FailedError) Unwrap() []error { return []error{syscall.EROFS, e.Cause} }

func (m *Manager) failure() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.failed
}

// fail makes the volume read-only, and says so once.
func (m *Manager) fail(cause error) error {
	m.mu.Lock()
	first := m.failed == nil
	if first {
		m.failed = &FailedError{cause}
	}
	err := m.failed
	m.mu.Unlock()
	if first {
		m.opt.Log.Error("a change could not be written; the volume is read-only from here on", slog.Any("err", cause))
	}
	return err
}

// commitAtIntervals commits what nobody has asked for. Close waits for it.
func (m *Manager) commitAtIntervals() {
	defer close(m.done)
	tick := time.NewTicker(m.opt.Interval)
	defer tick.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
		case <-m.kick:
		}
		m.mu.RLock()
		id, empty := m.running.id, m.running.empty()
		m.mu.RUnlock()
		if !empty && m.failure() == nil {
			_ = m.Flush(id) // a failure is logged, and the next Begin answers it
		}
	}
}
