package txn

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// A Tx is one change, all of it or none. It belongs to one goroutine, and
// while it is open no other Tx is. It ends with Commit or Abort.
type Tx struct {
	m      *Manager
	edits  map[int64]*edit
	frees  map[int64]*Kind
	done   []func() // OnDone
	commit []func() // OnCommit
	abort  []func() // OnAbort
	over   bool
}

// An edit is the private copy of a buffer.
type edit struct {
	at    Addr
	kind  *Kind
	bytes []byte
}

// errOver says that a Tx is used after its end, which is a bug of the driver.
var errOver = errors.New("txn: the change is over")

// Read gives the buffer at at as this change sees it. It must not be changed,
// and is valid until the next Edit of it.
func (tx *Tx) Read(ctx context.Context, at Addr, kind *Kind) ([]byte, error) {
	if e := tx.edits[at.Off]; e != nil {
		if e.kind != kind {
			return nil, fmt.Errorf("txn: the %s at byte %d is read as %s: %w", e.kind.Name, at.Off, kind.Name, syscall.EUCLEAN)
		}
		return e.bytes, nil
	}
	if _, freed := tx.frees[at.Off]; freed {
		return nil, fmt.Errorf("txn: the %s at byte %d is read after it was freed: %w", kind.Name, at.Off, syscall.EUCLEAN)
	}
	return tx.m.store.Read(ctx, at, kind)
}

// Edit gives the buffer at at to be changed: a copy that nobody sees before
// Commit.
func (tx *Tx) Edit(ctx context.Context, at Addr, kind *Kind) ([]byte, error) {
	b, err := tx.Read(ctx, at, kind)
	if err != nil {
		return nil, err
	}
	if e := tx.edits[at.Off]; e != nil {
		return e.bytes, nil
	}
	if err := tx.m.whole(at); err != nil {
		return nil, err
	}
	e := &edit{at, kind, append([]byte(nil), b...)}
	tx.edits[at.Off] = e
	return e.bytes, nil
}

// Fresh gives a buffer of zeros for a block that was just allocated and has no
// contents.
func (tx *Tx) Fresh(at Addr, kind *Kind) ([]byte, error) {
	if err := tx.m.whole(at); err != nil {
		return nil, err
	}
	delete(tx.frees, at.Off)
	e := &edit{at, kind, make([]byte, at.Len)}
	tx.edits[at.Off] = e
	return e.bytes, nil
}

// Free says that the block at off, of that kind so far, holds no metadata any
// more. It is revoked where the log has a copy. The driver does not give the
// block out again before OnCommit.
func (tx *Tx) Free(off int64, kind *Kind) {
	delete(tx.edits, off)
	tx.frees[off] = kind
}

// OnDone is called when the change is made and can be seen, before any other
// Tx begins.
func (tx *Tx) OnDone(f func()) { tx.done = append(tx.done, f) }

// OnCommit is called when the change is durable, in no Tx's place: it must not
// begin one.
func (tx *Tx) OnCommit(f func()) { tx.commit = append(tx.commit, f) }

// OnAbort is called when the change is given up.
func (tx *Tx) OnAbort(f func()) { tx.abort = append(tx.abort, f) }

// Edits is the number of blocks changed so far. A change that needs more than
// Manager.Credits of them must be made in several Txs. What ends a little above
// that is no error, since a log has room for several: twice as many are.
func (tx *Tx) Edits() int { return len(tx.edits) + len(tx.frees) }

// Commit makes the change. It is visible then, and durable when Manager.Flush
// of the number that it answers returns nil. An error means that nothing was
// changed.
func (tx *Tx) Commit() (id uint64, err error) {
	if tx.over {
		return 0, errOver
	}
	if n := tx.Edits(); n > 2*tx.m.credits {
		tx.Abort()
		return 0, fmt.Errorf("txn: one change of %d blocks, at most %d: %w", n, 2*tx.m.credits, syscall.EFBIG)
	}
	if err := tx.m.failure(); err != nil {
		tx.Abort()
		return 0, err
	}
	tx.over = true
	id = tx.m.join(tx)
	for _, f := range tx.done {
		f()
	}
	tx.m.writer.Unlock()
	return id, nil
}

// Abort gives the change up: nothing was changed. After the end it does nothing.
func (tx *Tx) Abort() {
	if tx.over {
		return
	}
	tx.over = true
	for i := len(tx.abort) - 1; i >= 0; i-- {
		tx.abort[i]()
	}
	tx.m.writer.Unlock()
}
