package ahead

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Parallel calls do for 0 to n-1 from up to workers goroutines, its own among
// them, and waits for all. It gives one of the errors; after the first no
// other call begins. A panic of a call is the caller's.
func Parallel(n, workers int, do func(i int) error) error {
	workers = min(workers, n, runtime.GOMAXPROCS(0))
	var next atomic.Int64
	var once sync.Once
	var failed atomic.Bool
	var first error
	var panicked any
	run := func() {
		defer func() {
			if p := recover(); p != nil {
				failed.Store(true)
				once.Do(func() { panicked = p })
			}
		}()
		for !failed.Load() {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if err := do(i); err != nil {
				failed.Store(true)
				once.Do(func() { first = err })
			}
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(run)
	}
	run()
	wg.Wait()
	if panicked != nil {
		panic(panicked)
	}
	return first
}
