package jbd2

import (
	"bytes"
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
)

// recoverCopy recovers copies of the journal and the volume, and gives the
// bytes of the volume.
func recoverCopy(t *testing.T, journal, home *blocktest.Memory) []byte {
	t.Helper()
	h := blocktest.NewMemory(home.Bytes())
	j, err := Open(t.Context(), blocktest.NewMemory(journal.Bytes()), testBlock, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := j.Recover(t.Context(), h)
	if err != nil || r.Torn != "" {
		t.Fatalf("replay %+v, %v", r, err)
	}
	return h.Bytes()
}

// TestWriterRecovers: after each commit, what the log and the volume hold is,
// recovered, what was committed, and nothing of what was not. The transactions
// go around the ring many times and their numbers around 32 bits; blocks are
// revoked, written again, and begin with the magic.
func TestWriterRecovers(t *testing.T) {
	for name, want := range map[string]Features{"plain": {}, "wide": {Wide: true}, "checked": {Checksums: true}, "both": {Checksums: true, Wide: true}} {
		t.Run(name, func(t *testing.T) {
			const blocks, ring = 256, 200
			r := rand.New(rand.NewPCG(1, 2))
			l := newLog(ring, 0, 0, math.MaxUint32-40, 0)
			journal, home := blocktest.NewMemory(l.b), blocktest.NewMemory(make([]byte, blocks*testBlock))
			j, err := Open(t.Context(), journal, testBlock, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := j.Recover(t.Context(), home); err != nil {
				t.Fatal(err)
			}
			w, err := NewWriter(t.Context(), j, journal, want)
			if err != nil {
				t.Fatal(err)
			}
			kind := &txn.Kind{Name: "test"}
			m := txn.NewManager(txn.NewStore(home, 1<<20), home, w, testBlock, txn.ManagerOptions{})
			model := home.Bytes()
			freed := map[int64]bool{}
			change := func() *txn.Tx {
				tx, err := m.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for range 1 + r.IntN(6) {
					off := r.Int64N(blocks) * testBlock
					if r.IntN(5) == 0 {
						tx.Free(off, kind)
						freed[off] = true
						continue
					}
					b, err := tx.Fresh(txn.Addr{Off: off, Len: testBlock}, kind)
					if err != nil {
						t.Fatal(err)
					}
					delete(freed, off)
					copy(b, blockOf(byte(r.Uint32()), r.IntN(3) == 0))
					copy(model[off:], b)
				}
				return tx
			}
			for i := range 150 {
				// A change that is given up leaves nothing.
				keep, kept := bytes.Clone(model), maps.Clone(freed)
				tx := change()
				if i%7 == 3 {
					tx.Abort()
					copy(model, keep)
					freed = kept
					continue
				}
				id, err := tx.Commit()
				if err != nil {
					t.Fatal(err)
				}
				if i%3 == 0 {
					continue
				}
				if err := m.Flush(id); err != nil {
					t.Fatal(err)
				}
				// The owner of a freed block writes what it likes there, once that is durable.
				for off := range freed {
					copy(model[off:], blockOf('D', false))
					if _, err := home.WriteAt(t.Context(), blockOf('D', false), off); err != nil {
						t.Fatal(err)
					}
					delete(freed, off)
				}
				if got := recoverCopy(t, journal, home); !bytes.Equal(got, model) {
					for n := range blocks {
						if a, b := got[n*testBlock:][:testBlock], model[n*testBlock:][:testBlock]; !bytes.Equal(a, b) {
							t.Fatalf("after change %d block %d is %q, want %q", i, n, a[:4], b[:4])
						}
					}
				}
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if j, err := Open(t.Context(), journal, testBlock, nil); err != nil || !j.Clean() {
				t.Errorf("after Close the journal is not clean: %v", err)
			}
			if !bytes.Equal(home.Bytes(), model) {
				t.Error("after Close not all is home")
			}
		})
	}
}

// TestWriterRefuses: what cannot be written to, by name.
func TestWriterRefuses(t *testing.T) {
	l := newLog(40, 0, 0, 1, 0)
	put32(l.b, 0x20, 0xFFFFFFFB) // EIO
	dev := blocktest.NewMemory(l.b)
	j, err := Open(t.Context(), dev, testBlock, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewWriter(t.Context(), j, dev, Features{}); err == nil {
		t.Error("a journal with a recorded error is written to")
	}
	var _ block.Writer = dev
}

// forgetful is a log that loses revoke records.
type forgetful struct{ txn.Appender }

func (f forgetful) Append(ctx context.Context, c txn.Change) error {
	c.Revokes = nil
	return f.Appender.Append(ctx, c)
}

// TestRevoke: a freed metadata block that became data is not written over by
// recovery; without its revoke record it is.
func TestRevoke(t *testing.T) {
	for _, lose := range []bool{false, true} {
		l := newLog(64, 0, 0, 1, 0)
		journal, home := blocktest.NewMemory(l.b), blocktest.NewMemory(make([]byte, 16*testBlock))
		j, err := Open(t.Context(), journal, testBlock, nil)
		if err != nil {
			t.Fatal(err)
		}
		var w txn.Appender
		if w, err = NewWriter(t.Context(), j, journal, Features{Checksums: true}); err != nil {
			t.Fatal(err)
		}
		if lose {
			w = forgetful{w}
		}
		m := txn.NewManager(txn.NewStore(home, 1<<20), home, w, testBlock, txn.ManagerOptions{})
		kind := &txn.Kind{Name: "test"}
		change := func(f func(tx *txn.Tx)) {
			tx, err := m.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f(tx)
			id, err := tx.Commit()
			if err == nil {
				err = m.Flush(id)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		change(func(tx *txn.Tx) {
			b, _ := tx.Fresh(txn.Addr{Off: 3 * testBlock, Len: testBlock}, kind)
			copy(b, blockOf('m', false))
		})
		change(func(tx *txn.Tx) { tx.Free(3*testBlock, kind) })
		if _, err := home.WriteAt(t.Context(), blockOf('d', false), 3*testBlock); err != nil {
			t.Fatal(err)
		}
		got := recoverCopy(t, journal, home)[3*testBlock:][:testBlock]
		if same := bytes.Equal(got, blockOf('d', false)); same == lose {
			t.Errorf("revoke records lost: %v, the data is whole: %v", lose, same)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBarrierTail: when the log goes on over old transactions that were
// retired, the tail beyond them is durable. Without that, recovery begins with
// what is left of the old ones, and undoes what is home.
func TestBarrierTail(t *testing.T) {
	for _, lost := range []txn.Barrier{"", txn.BarrierTail} {
		l := newLog(30, 0, 0, 1, 0)
		journal := blocktest.NewRecorder(blocktest.NewMemory(l.b))
		start := bytes.Clone(l.b)
		dev := &losing{journal, lost}
		j, err := Open(t.Context(), dev, testBlock, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(t.Context(), j, dev, Features{Checksums: true})
		if err != nil {
			t.Fatal(err)
		}
		change := func(n int, fill byte) {
			var c txn.Change
			for i := range n {
				c.Blocks = append(c.Blocks, txn.Block{Off: int64(i+1) * testBlock, Bytes: blockOf(fill, false)})
			}
			if err := w.Append(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		change(1, 'a') // blocks 1 to 3
		change(9, 'b') // and 4 to 14, which both write block 1
		change(9, 'c') // and 15 to 25
		if err := w.Retire(t.Context()); err != nil {
			t.Fatal(err)
		}
		change(5, 'd') // 26 to 29, and over 1 to 3
		// The new superblock is lost where nothing made it durable before the blocks behind it were written.
		ops := journal.Ops()
		image := bytes.Clone(start)
		last := len(ops) - 2 // the commit block was not written yet
		barrier := 0
		for i, op := range ops[:last-1] {
			if op.Sync {
				barrier = i
			}
		}
		for i, op := range ops[:last] {
			if i > barrier && op.Off == 0 && !op.Sync {
				continue
			}
			if !op.Sync {
				copy(image[op.Off:], op.Bytes)
			}
		}
		home := blocktest.NewMemory(make([]byte, 16*testBlock))
		for i := range int64(9) { // all that was retired is home
			if _, err := home.WriteAt(t.Context(), blockOf('c', false), (i+1)*testBlock); err != nil {
				t.Fatal(err)
			}
		}
		got := home.Bytes()
		jj, err := Open(t.Context(), blocktest.NewMemory(image), testBlock, nil)
		if err == nil {
			_, err = jj.Recover(t.Context(), home)
		}
		whole := err == nil && bytes.Equal(got, home.Bytes())
		if whole != (lost == "") {
			t.Errorf("barrier lost: %q, the volume is as it was: %v (%v)", lost, whole, err)
		}
	}
}

// losing is a Writer that loses one barrier.
type losing struct {
	block.Writer
	lost txn.Barrier
}

func (l *losing) Sync(ctx context.Context) error {
	if b := txn.BarrierOf(ctx); b != "" && b == l.lost {
		return nil
	}
	return l.Writer.Sync(ctx)
}
