package txn

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/guestctl/guestctl/formats/block/blocktest"
)

// TestStore verifies each buffer once, joins the reads of a prefetch, and hands
// out nothing that failed.
func TestStore(t *testing.T) {
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(i >> 12)
	}
	dev := blocktest.NewFaulty(blocktest.NewMemory(content))
	s := NewStore(dev, 1<<20)
	bad := errors.New("bad")
	verified := 0
	kind := &Kind{Name: "test", Verify: func(b []byte, at Addr) error {
		verified++
		if at.Off == 7<<12 {
			return bad
		}
		return nil
	}}
	addr := func(i int) Addr { return Addr{Off: int64(i) << 12, Len: 4096} }

	var addrs []Addr
	for _, i := range []int{40, 3, 7, 5, 3, 4} {
		addrs = append(addrs, addr(i))
	}
	s.Prefetch(t.Context(), addrs, kind)
	if dev.Reads() != 2 || verified != 5 {
		t.Errorf("%d reads and %d verifications, expected 2 and 5", dev.Reads(), verified)
	}
	for _, i := range []int{3, 4, 5, 40} {
		b, err := s.Read(t.Context(), addr(i), kind)
		if err != nil || !bytes.Equal(b, content[i<<12:(i+1)<<12]) {
			t.Errorf("buffer %d: %v", i, err)
		}
	}
	if dev.Reads() != 2 || verified != 5 {
		t.Errorf("a buffer in memory was read again")
	}
	for range 2 {
		if _, err := s.Read(t.Context(), addr(7), kind); !errors.Is(err, bad) {
			t.Errorf("the bad buffer: %v", err)
		}
	}
	if _, ok := s.Peek(7<<12, kind); ok {
		t.Error("the bad buffer is in memory")
	}
	other := &Kind{Name: "other"}
	if _, ok := s.Peek(3<<12, other); ok {
		t.Error("a buffer of one kind serves another, which never verified it")
	}

	fails := errors.New("fails")
	dev.FailAt(100<<12, 4096, fails)
	if _, err := s.Read(t.Context(), addr(100), kind); !errors.Is(err, fails) {
		t.Errorf("a failed read: %v", err)
	}
	dev.Heal()
	if _, err := s.Read(t.Context(), addr(100), kind); err != nil {
		t.Errorf("after the failure: %v", err)
	}
}

// nowhere is an Appender that keeps nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, Change) error { return nil }
func (nowhere) Retire(context.Context) error         { return nil }
func (nowhere) Empty(context.Context) error          { return nil }
func (nowhere) Need(blocks, revokes int) int         { return blocks + revokes }
func (nowhere) Free() int                            { return 1 << 20 }
func (nowhere) Limit() int                           { return 1 << 18 }

// TestPrefetchChanged: a block that changes after Prefetch has read it, and has
// left the cache again, is not put in as it was.
func TestPrefetchChanged(t *testing.T) {
	const size = 4096
	ctx := t.Context()
	dev := blocktest.NewMemory(make([]byte, 64*size))
	s := NewStore(dev, 1) // each buffer takes the place of the one before
	m := NewManager(s, dev, nowhere{}, size, ManagerOptions{})
	kind := &Kind{Name: "test"}
	addr := func(i int) Addr { return Addr{Off: int64(i) * size, Len: size} }
	changed := false
	kind.Verify = func([]byte, Addr) error {
		if changed {
			return nil
		}
		changed = true
		tx, err := m.Begin(ctx)
		if err != nil {
			return err
		}
		b, err := tx.Fresh(addr(5), kind)
		if err != nil {
			return err
		}
		b[0] = 1
		if _, err := tx.Commit(); err != nil {
			return err
		}
		for i := 6; i < 64; i++ { // it leaves the cache
			if _, err := s.Read(ctx, addr(i), kind); err != nil {
				return err
			}
		}
		return nil
	}
	s.Prefetch(ctx, []Addr{addr(5)}, kind)
	if b, err := s.Read(ctx, addr(5), kind); err != nil || b[0] != 1 || !changed {
		t.Errorf("the block is %d, %v", b[0], err)
	}
	if err := m.Close(); err != nil || dev.Bytes()[5*size] != 1 {
		t.Errorf("the block did not come home: %v", err)
	}
}
