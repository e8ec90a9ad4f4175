package vfstest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// damageLimit bounds one walk over a damaged filesystem.
const damageLimit = 10 * time.Second

// A bad is a device that remembers what was read and damages it on the way.
type bad struct {
	block.Device
	mu    sync.Mutex // guards all below
	reads [][2]int64 // offset and length, of small reads: metadata
	count int
	fail  int             // the number of the read that fails; 0: none
	flips map[int64]uint8 // offset -> what to xor
}

// maxMetadata is the longest read that is taken for metadata.
const maxMetadata = 64 << 10

func (b *bad) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	b.mu.Lock()
	b.count++
	count := b.count
	if len(p) <= maxMetadata && len(b.reads) < 1<<16 {
		b.reads = append(b.reads, [2]int64{off, int64(len(p))})
	}
	b.mu.Unlock()
	if b.fail != 0 && count == b.fail {
		return 0, syscall.EIO
	}
	n, err := b.Device.ReadAt(ctx, p, off)
	for at, x := range b.flips { // never changed while the device is in use
		if at >= off && at < off+int64(n) {
			p[at-off] ^= x
		}
	}
	return n, err
}

// Locate hides where the bytes lie, so that every read comes through here.
func (b *bad) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	run, err := b.Device.Locate(ctx, off, n)
	if run.Kind == block.Data {
		run = block.Run{Kind: block.Opaque, Len: run.Len}
	}
	return run, err
}

// outcome opens the filesystem on dev and reads all of it. It fails the test
// where that panics or takes too long.
func outcome(t *testing.T, c Case, what string, dev block.Device) (tree Tree, errs map[string]error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), damageLimit)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				t.Errorf("%s: panic: %v\n%s", what, r, debug.Stack())
			}
		}()
		fsys, err := c.OpenOn(ctx, dev)
		if err != nil {
			errs = map[string]error{"open": err}
			return
		}
		defer fsys.Close(context.Background())
		tree, errs = snapshot(ctx, fsys, 1<<20)
		if p, ok := fsys.(vfs.Prefetcher); ok {
			p.Prefetch(ctx, []vfs.Ino{fsys.Root(), {Num: 12}, {Num: 1 << 20}})
		}
	}()
	select {
	case <-done:
	case <-time.After(2 * damageLimit):
		t.Fatalf("%s: still running %v after it was cancelled", what, damageLimit)
	}
	if ctx.Err() != nil {
		t.Errorf("%s: took more than %v", what, damageLimit)
	}
	return tree, errs
}

// testDamage flips bytes in what the driver reads as metadata.
func testDamage(t *testing.T, c Case) {
	clean := &bad{Device: c.Device(t)}
	if _, errs := outcome(t, c, "undamaged", clean); len(errs) > 0 {
		t.Fatalf("undamaged, it has errors: %v", errs)
	}
	if len(clean.reads) == 0 {
		t.Fatal("the driver read nothing")
	}
	for round := range c.DamageRounds {
		rnd := rand.New(rand.NewPCG(uint64(round), 7))
		dev := &bad{Device: clean.Device, flips: map[int64]uint8{}}
		for range 1 + rnd.IntN(8) {
			r := clean.reads[rnd.IntN(len(clean.reads))]
			// Headers and small numbers stand in front.
			span := r[1]
			if rnd.IntN(2) == 0 {
				span = min(span, 128)
			}
			dev.flips[r[0]+rnd.Int64N(max(span, 1))] = uint8(1 + rnd.IntN(255))
		}
		outcome(t, c, fmt.Sprintf("damage round %d", round), dev)
	}
}

// testReadErrors fails one read after the other: the tree must be whole, or an
// error must have been seen.
func testReadErrors(t *testing.T, c Case) {
	clean := &bad{Device: c.Device(t)}
	want, errs := outcome(t, c, "undamaged", clean)
	if len(errs) > 0 {
		t.Fatalf("undamaged, it has errors: %v", errs)
	}
	step := max(1, clean.count/c.DamageRounds)
	for n := 1; n <= clean.count; n += step {
		what := fmt.Sprintf("read %d of %d fails", n, clean.count)
		got, errs := outcome(t, c, what, &bad{Device: clean.Device, fail: n})
		if lines := Differences(got, want, 0); len(errs) == 0 && len(lines) > 0 {
			t.Errorf("%s: no error was seen, and: %s", what, lines[0])
		}
	}
}
