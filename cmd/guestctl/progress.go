package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A progress shows on a terminal how far an operation of more than a second is.
type progress struct {
	w     io.Writer // nil: nothing is shown
	what  string
	bytes atomic.Int64
	stop  chan struct{}
	ended sync.WaitGroup
}

const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
)

// startProgress shows progress on stderr where that is a terminal and output
// does not go there, too.
func (s *session) startProgress(what string, printing bool) *progress {
	p := &progress{what: what, stop: make(chan struct{})}
	if !isTerminal(s.err) || printing && s.out.terminal {
		return p
	}
	p.w = s.err
	p.ended.Go(p.show)
	return p
}

func (p *progress) add(n int64) { p.bytes.Add(n) }

func (p *progress) show() {
	start := time.Now()
	timer := time.NewTimer(progressAfter)
	defer timer.Stop()
	shown := false
	for {
		select {
		case <-p.stop:
			if shown {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		case <-timer.C:
		}
		shown = true
		n := p.bytes.Load()
		rate := float64(n) / time.Since(start).Seconds()
		fmt.Fprintf(p.w, "\r\x1b[K%s %s, %s/s", p.what, humanSize(n), humanSize(int64(rate)))
		timer.Reset(progressEvery)
	}
}

// end takes the line away.
func (p *progress) end() {
	close(p.stop)
	p.ended.Wait()
}

// humanSize is a number of bytes in three digits: "1.2G".
func humanSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d", n)
	}
	v, unit := float64(n), 0
	for v >= 999.5 && unit < 6 {
		v /= 1024
		unit++
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f%c", v, " KMGTPE"[unit])
	}
	return fmt.Sprintf("%.0f%c", v, " KMGTPE"[unit])
}
