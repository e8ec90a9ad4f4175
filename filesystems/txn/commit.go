package txn

import (
	"cmp"
	"context"
	"slices"
)

// Flush makes the transaction with that number durable, and all before it.
// Whoever waits for the same transaction shares one commit. It takes no
// context: a commit that has begun is ended.
func (m *Manager) Flush(id uint64) error {
	m.flush.Lock()
	defer m.flush.Unlock()
	m.mu.RLock()
	durable, failed := m.durable, m.failed
	m.mu.RUnlock()
	if durable >= id || failed != nil {
		return failed
	}
	return m.commitRunning(context.Background())
}

// Sync makes durable all that was changed and all data written so far.
func (m *Manager) Sync() error {
	m.flush.Lock()
	defer m.flush.Unlock()
	if err := m.failure(); err != nil {
		return err
	}
	m.mu.RLock()
	empty := m.running.empty()
	m.mu.RUnlock()
	if !empty {
		return m.commitRunning(context.Background())
	}
	if err := m.home.Sync(BarrierData.With(context.Background())); err != nil {
		return m.fail(err)
	}
	return nil
}

// commitRunning commits the running transaction. m.flush is held.
func (m *Manager) commitRunning(ctx context.Context) error {
	t, err := m.freeze(ctx)
	if err != nil {
		return m.fail(err)
	}
	if !t.empty() {
		if err := m.append(ctx, t); err != nil {
			return m.fail(err)
		}
	}
	m.mu.Lock()
	for off := range t.revokes {
		// The block is free now, and may be data soon: nothing goes home there.
		delete(m.committed, off)
	}
	for off, b := range t.blocks {
		m.committed[off] = b
		m.logged[off] = true
	}
	m.committing = nil
	m.durable = t.id
	full := len(m.committed)*m.blockSize >= maxPending
	m.mu.Unlock()
	for _, f := range t.commit {
		f()
	}
	if full || m.log.Free() < m.log.Limit() {
		return m.checkpoint(ctx)
	}
	return nil
}

// freeze sets the running transaction aside and begins the next one.
func (m *Manager) freeze(ctx context.Context) (*transaction, error) {
	m.writer.Lock()
	defer m.writer.Unlock()
	if m.opt.BeforeCommit != nil && !m.running.empty() {
		tx := m.newTx()
		if err := m.opt.BeforeCommit(ctx, tx); err != nil {
			return nil, err
		}
		m.join(tx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.running
	m.committing, m.running = t, newTransaction(t.id+1)
	return t, nil
}

// append writes t to the log, after making room for it.
func (m *Manager) append(ctx context.Context, t *transaction) error {
	if !m.active {
		if m.opt.Activate != nil {
			if err := m.opt.Activate(ctx); err != nil {
				return err
			}
		}
		m.active = true
	}
	c := Change{Blocks: inOrder(t.blocks)}
	for off := range t.revokes {
		c.Revokes = append(c.Revokes, off)
	}
	slices.Sort(c.Revokes)
	if m.log.Need(len(c.Blocks), len(c.Revokes)) > m.log.Free() {
		if err := m.checkpoint(ctx); err != nil {
			return err
		}
	}
	return m.log.Append(ctx, c)
}

// inOrder sorts blocks by their offsets.
func inOrder(blocks map[int64][]byte) []Block {
	out := make([]Block, 0, len(blocks))
	for off, b := range blocks {
		out = append(out, Block{off, b})
	}
	slices.SortFunc(out, func(a, b Block) int { return cmp.Compare(a.Off, b.Off) })
	return out
}

// checkpoint writes home what is committed and lets the log forget it. m.flush
// is held, so that nothing is committed meanwhile.
func (m *Manager) checkpoint(ctx context.Context) error {
	m.mu.RLock()
	blocks, any := inOrder(m.committed), len(m.logged) > 0
	m.mu.RUnlock()
	if !any {
		return nil
	}
	if err := m.writeHome(ctx, blocks); err != nil {
		return m.fail(err)
	}
	if err := m.home.Sync(BarrierHome.With(ctx)); err != nil {
		return m.fail(err)
	}
	if err := m.log.Retire(ctx); err != nil {
		return m.fail(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.committed)
	clear(m.logged)
	return nil
}

// homeRun bounds one write of blocks that lie in a row, in bytes.
const homeRun = 1 << 20

// writeHome writes sorted blocks, those in a row at once.
func (m *Manager) writeHome(ctx context.Context, blocks []Block) error {
	var run []byte
	for len(blocks) > 0 {
		run = run[:0]
		n := 0
		for n < len(blocks) && blocks[n].Off == blocks[0].Off+int64(len(run)) && len(run) < homeRun {
			run = append(run, blocks[n].Bytes...)
			n++
		}
		if _, err := m.home.WriteAt(ctx, run, blocks[0].Off); err != nil {
			return err
		}
		blocks = blocks[n:]
	}
	return nil
}

// Checkpoint commits and brings all home.
func (m *Manager) Checkpoint() error {
	m.flush.Lock()
	defer m.flush.Unlock()
	if err := m.failure(); err != nil {
		return err
	}
	if err := m.commitRunning(context.Background()); err != nil {
		return err
	}
	return m.checkpoint(context.Background())
}

// Close makes everything durable and leaves the volume clean. No Tx may be
// open, and none begins any more.
func (m *Manager) Close() error {
	close(m.stop)
	<-m.done
	if err := m.Checkpoint(); err != nil {
		return err
	}
	m.flush.Lock()
	defer m.flush.Unlock()
	ctx := context.Background()
	if !m.active && !m.opt.Marked {
		if err := m.home.Sync(BarrierClosed.With(ctx)); err != nil { // of data
			return m.fail(err)
		}
		return nil
	}
	if err := m.log.Empty(ctx); err != nil {
		return m.fail(err)
	}
	if m.opt.Clean != nil {
		if err := m.opt.Clean(ctx); err != nil {
			return m.fail(err)
		}
	}
	m.active = false
	return nil
}
