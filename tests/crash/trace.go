package crash

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/vfs"
)

// A Trace is a recorded run.
type Trace struct {
	Image []byte // before it
	Ops   []blocktest.Op
	marks []mark
}

// A mark says how far the run was when so many ops were recorded.
type mark struct {
	ops   int
	tree  int // the last tree
	floor int // the last tree that was durable
}

// A Run writes to a filesystem and keeps what a Trace needs.
type Run struct {
	FS    vfs.Changer
	Trees []string

	ctx   context.Context
	rec   *Recorder
	trace Trace
	floor int
	now   vfs.Time
	rand  *rand.Rand
	dirs  []node
	files []node
	next  int
}

type node struct {
	ino, dir vfs.Ino
	name     string
	size     int64
}

// Start opens the filesystem on rec and begins a run.
func Start(ctx context.Context, driver vfs.Driver, image []byte, rec *Recorder, seed uint64) (*Run, error) {
	fs, err := driver.Open(ctx, []block.Device{rec}, vfs.Options{Writable: true})
	if err != nil {
		return nil, err
	}
	changer, ok := fs.(vfs.Changer)
	if !ok {
		return nil, fmt.Errorf("%s cannot be changed", driver.Name)
	}
	r := &Run{FS: changer, ctx: ctx, rec: rec, now: vfs.Time{Sec: 1_700_000_000}, rand: rand.New(rand.NewPCG(seed, 1)),
		dirs: []node{{ino: fs.Root()}}}
	r.trace.Image = image
	return r, r.mark()
}

// mark notes the tree as it is now.
func (r *Run) mark() error {
	tree, err := Tree(r.ctx, r.FS)
	if err != nil {
		return err
	}
	r.Trees = append(r.Trees, tree)
	r.trace.marks = append(r.trace.marks, mark{len(r.rec.Ops()), len(r.Trees) - 1, r.floor})
	return nil
}

// synced notes that all so far is durable.
func (r *Run) synced() {
	r.floor = len(r.Trees) - 1
	r.trace.marks = append(r.trace.marks, mark{len(r.rec.Ops()), len(r.Trees) - 1, r.floor})
}

// change makes one change.
func (r *Run) change(f func(tx vfs.Tx) error) error {
	tx, err := r.FS.Begin(r.ctx, vfs.Op{Time: r.now})
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		tx.Abort()
		return err
	}
	return tx.Commit(false)
}

// Step makes one random operation. Each is one change as far as the tree shows.
func (r *Run) Step() error {
	r.now.Sec++
	if err := r.step(); err != nil {
		return err
	}
	return r.mark()
}

func (r *Run) step() error {
	dir := r.dirs[r.rand.IntN(len(r.dirs))]
	r.next++
	name := fmt.Sprintf("name-%d-%0*d", r.next, 1+r.rand.IntN(60), 0)
	pick := func() int { return r.rand.IntN(len(r.files)) }
	k := r.rand.IntN(14)
	switch {
	case k < 4 || len(r.files) == 0:
		return r.change(func(tx vfs.Tx) error {
			ino, err := tx.Create(r.ctx, dir.ino, name, vfs.New{Mode: 0o100644, UID: uint32(r.next)})
			r.files = append(r.files, node{ino: ino, dir: dir.ino, name: name})
			return err
		})
	case k == 4 && len(r.dirs) < 6:
		return r.change(func(tx vfs.Tx) error {
			ino, err := tx.Create(r.ctx, dir.ino, name, vfs.New{Mode: 0o040755})
			r.dirs = append(r.dirs, node{ino: ino, dir: dir.ino, name: name})
			return err
		})
	case k < 8: // new bytes, behind a hole at times
		f := &r.files[pick()]
		off := f.size + int64(r.rand.IntN(3)*r.rand.IntN(9000))
		p := make([]byte, 1+r.rand.IntN(12_000))
		for i := range p {
			p[i] = byte(r.next + i>>8)
		}
		f.size = off + int64(len(p))
		_, err := vfs.WriteAt(r.ctx, r.FS, f.ino, p, off, r.now)
		return err
	case k == 8:
		i := pick()
		f := r.files[i]
		r.files = append(r.files[:i], r.files[i+1:]...)
		var gone vfs.Ino
		if err := r.change(func(tx vfs.Tx) (err error) {
			gone, err = tx.Unlink(r.ctx, f.dir, f.name, false)
			return err
		}); err != nil {
			return err
		}
		return r.FS.Evict(r.ctx, gone, r.now)
	case k == 9:
		f := &r.files[pick()]
		from, old := f.dir, f.name
		f.dir, f.name = dir.ino, name
		return r.change(func(tx vfs.Tx) error {
			_, err := tx.Rename(r.ctx, from, old, dir.ino, name, 0)
			return err
		})
	case k == 10:
		f := &r.files[pick()]
		f.size = int64(r.rand.IntN(3)) * int64(r.FS.Info().BlockSize)
		return r.FS.Truncate(r.ctx, f.ino, f.size, r.now)
	case k == 11:
		f := r.files[pick()]
		v := make([]byte, r.rand.IntN(500))
		return r.change(func(tx vfs.Tx) error { return tx.SetXattr(r.ctx, f.ino, "user.test", v, 0) })
	case k == 12 && len(r.files) > 1: // over another
		i := pick()
		j := (i + 1) % len(r.files)
		a, b := r.files[i], r.files[j]
		r.files[j].ino, r.files[j].size = a.ino, a.size
		r.files = append(r.files[:i], r.files[i+1:]...)
		var gone vfs.Ino
		if err := r.change(func(tx vfs.Tx) (err error) {
			gone, err = tx.Rename(r.ctx, a.dir, a.name, b.dir, b.name, 0)
			return err
		}); err != nil || gone == (vfs.Ino{}) {
			return err
		}
		return r.FS.Evict(r.ctx, gone, r.now)
	}
	if err := r.FS.Sync(r.ctx); err != nil {
		return err
	}
	r.synced()
	return nil
}

// Trace ends the recording.
func (r *Run) Trace() *Trace {
	r.trace.Ops = r.rec.Ops()
	return &r.trace
}

// bounds are the first and the last tree that a crash after so many ops may
// show: not before the last that was promised, nor after the one that was
// being made.
func (t *Trace) bounds(ops int) (first, last int) {
	for _, m := range t.marks {
		if m.ops <= ops {
			first, last = m.floor, m.tree
		}
	}
	return first, last + 1
}
