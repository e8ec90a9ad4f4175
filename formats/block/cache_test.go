package block_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/guestctl/guestctl/formats/block"
)

func TestCacheFillsOnce(t *testing.T) {
	c := block.NewCache[int, string](1 << 20)
	var fills atomic.Int64
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			v, err := c.Get(ctx, 1, func(context.Context) (string, int64, error) {
				fills.Add(1)
				<-gate
				return "one", 10, nil
			})
			if v != "one" || err != nil {
				t.Error(v, err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	if _, ok := c.Peek(1); ok {
		t.Error("Peek sees what is not there yet")
	}
	close(gate)
	wg.Wait()
	if fills.Load() != 1 {
		t.Errorf("%d fills", fills.Load())
	}
	if v, ok := c.Peek(1); v != "one" || !ok {
		t.Error(v, ok)
	}
}

func TestCacheKeepsNoError(t *testing.T) {
	c := block.NewCache[int, string](1 << 20)
	bad := errors.New("bad")
	if _, err := c.Get(ctx, 1, func(context.Context) (string, int64, error) { return "", 0, bad }); err != bad {
		t.Error(err)
	}
	if v, err := c.Get(ctx, 1, func(context.Context) (string, int64, error) { return "good", 1, nil }); v != "good" || err != nil {
		t.Error(v, err)
	}
}

func TestCachePanicInFill(t *testing.T) {
	c := block.NewCache[int, string](1 << 20)
	waiting := make(chan struct{})
	got := make(chan error)
	go func() {
		<-waiting
		_, err := c.Get(ctx, 1, func(context.Context) (string, int64, error) { return "", 0, errors.New("second fill") })
		got <- err
	}()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was lost")
			}
		}()
		c.Get(ctx, 1, func(context.Context) (string, int64, error) {
			close(waiting)
			time.Sleep(20 * time.Millisecond)
			panic("ours")
		})
	}()
	if err := <-got; err == nil {
		t.Error("who waited for a panic saw no error")
	}
	if v, err := c.Get(ctx, 1, func(context.Context) (string, int64, error) { return "good", 1, nil }); v != "good" || err != nil {
		t.Error(v, err)
	}
}

// TestCacheCancelledFill: whose context lives is not told of another's end.
func TestCacheCancelledFill(t *testing.T) {
	c := block.NewCache[int, string](1 << 20)
	mine, cancel := context.WithCancel(ctx)
	started := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Get(mine, 1, func(ctx context.Context) (string, int64, error) {
			close(started)
			<-ctx.Done()
			return "", 0, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	<-started
	wg.Go(func() {
		v, err := c.Get(ctx, 1, func(context.Context) (string, int64, error) { return "good", 1, nil })
		if v != "good" || err != nil {
			t.Error(v, err)
		}
	})
	time.Sleep(10 * time.Millisecond)
	cancel()
	wg.Wait()
	// And who waits with an ended context does not wait.
	gate := make(chan struct{})
	started = make(chan struct{})
	wg.Go(func() {
		c.Get(ctx, 2, func(context.Context) (string, int64, error) { close(started); <-gate; return "", 1, nil })
	})
	<-started
	if _, err := c.Get(mine, 2, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(gate)
	wg.Wait()
}

func TestCacheIsBounded(t *testing.T) {
	const limit, cost = 16 << 10, 64
	c := block.NewCache[int, int](limit)
	for i := range 10_000 {
		c.Get(ctx, i, func(context.Context) (int, int64, error) { return i, cost, nil })
	}
	have := 0
	for i := range 10_000 {
		if v, ok := c.Peek(i); ok {
			have++
			if v != i {
				t.Fatalf("%d is %d", i, v)
			}
		}
	}
	if have*cost > limit || have*cost < limit/2 {
		t.Errorf("%d values of %d bytes in a cache of %d", have, cost, limit)
	}
	// A value larger than everything is given, and is gone by the next.
	c.Add(-1, 7, limit*10)
	for i := range 2000 {
		c.Add(20_000+i, 1, cost)
	}
	if _, ok := c.Peek(-1); ok {
		t.Error("the huge value stayed")
	}
}

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := block.NewCache[int, int](64 << 10)
	for i := range 100 {
		c.Add(i, i, 64)
	}
	for i := range 5000 { // a scan, with the hundred in use all the while
		c.Add(1000+i, i, 64)
		if i%4 == 0 {
			for j := range 100 {
				c.Peek(j)
			}
		}
	}
	lost := 0
	for i := range 100 {
		if _, ok := c.Peek(i); !ok {
			lost++
		}
	}
	if lost > 10 {
		t.Errorf("a scan pushed out %d of 100 values in use", lost)
	}
}

func TestCacheRemove(t *testing.T) {
	c := block.NewCache[string, int](1 << 20)
	c.Add("a", 1, 1)
	c.Add("a", 2, 1) // there already
	if v, ok := c.Peek("a"); v != 1 || !ok {
		t.Error(v, ok)
	}
	c.Remove("a")
	c.Remove("a")
	if _, ok := c.Peek("a"); ok {
		t.Error("removed and there")
	}
	// Removed while it is filled: its caller gets it, nobody else.
	v, err := c.Get(ctx, "b", func(context.Context) (int, int64, error) { c.Remove("b"); return 5, 1, nil })
	if v != 5 || err != nil {
		t.Error(v, err)
	}
	if _, ok := c.Peek("b"); ok {
		t.Error("removed while it was filled, and there")
	}
}

func TestCacheRace(t *testing.T) {
	c := block.NewCache[int, string](4 << 10)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				k := (i*7 + g*13) % 200
				want := fmt.Sprint(k)
				switch i % 5 {
				case 0:
					c.Remove(k)
				case 1:
					c.Add(k, want, 32)
				default:
					v, err := c.Get(ctx, k, func(context.Context) (string, int64, error) {
						if i%11 == 0 {
							return "", 0, errors.New("now and then")
						}
						return want, 32, nil
					})
					if err == nil && v != want {
						t.Errorf("%d is %q", k, v)
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestCacheKeepsTheNewest: what was read ahead is there when its reader comes.
func TestCacheKeepsTheNewest(t *testing.T) {
	const cost, fit = 64, 1024
	c := block.NewCache[int, int](fit * cost)
	for i := range 10 * fit {
		c.Add(i, i, cost)
		if i >= fit/8 {
			if _, ok := c.Peek(i - fit/8); !ok {
				t.Fatalf("value %d is gone after %d others, of %d that fit", i-fit/8, fit/8, fit)
			}
		}
	}
}
