package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A progress shows on a terminal how far an operation of more than a second is:
// as a bar where it is known how much there is to do, else as what was done so
// far. Nothing is shown where stderr is no terminal, nor with -q.
//
// mu is a leaf: only the terminal is written to under it.
type progress struct {
	w     io.Writer // nil: nothing is shown
	what  string
	plain bool         // numbers of things, not of bytes
	total atomic.Int64 // 0: not known
	done  atomic.Int64
	stop  chan struct{}
	ended sync.WaitGroup
	once  sync.Once

	mu    sync.Mutex // guards shown
	shown bool       // the line is there
}

const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
	progressWidth = 24 // of the bar, in columns
)

// startProgress shows the progress in bytes. printing says that the operation
// itself prints on the way: where that goes to the terminal nothing is shown.
func (s *session) startProgress(what string, printing bool) *progress {
	return s.start(&progress{what: what}, printing)
}

// startCount shows how many of total things are done.
func (s *session) startCount(what string, total int64, printing bool) *progress {
	p := &progress{what: what, plain: true}
	p.total.Store(total)
	return s.start(p, printing)
}

func (s *session) start(p *progress, printing bool) *progress {
	p.stop = make(chan struct{})
	if !isTerminal(s.err) || printing && s.out.terminal || s.cli.Bool("quiet") {
		return p
	}
	p.w = s.err
	s.progress = p
	p.ended.Go(p.show)
	return p
}

func (p *progress) add(n int64) { p.done.Add(n) }

// expect says that n more is to be done, where that is known.
func (p *progress) expect(n int64) { p.total.Add(n) }

func (p *progress) show() {
	start := time.Now()
	timer := time.NewTimer(progressAfter)
	defer timer.Stop()
	for {
		select {
		case <-p.stop:
			p.clear()
			return
		case <-timer.C:
		}
		line := p.line(time.Since(start))
		p.mu.Lock()
		p.shown = true
		fmt.Fprint(p.w, "\r\x1b[K"+line)
		p.mu.Unlock()
		timer.Reset(progressEvery)
	}
}

// line is what is shown after a time.
func (p *progress) line(after time.Duration) string {
	done, total := p.done.Load(), p.total.Load()
	number := humanSize
	if p.plain {
		number = func(n int64) string { return fmt.Sprint(n) }
	}
	rate := ""
	if !p.plain {
		rate = fmt.Sprintf(", %s/s", humanSize(int64(float64(done)/after.Seconds())))
	}
	if total <= 0 || done > total {
		return fmt.Sprintf("%s %s%s", p.what, number(done), rate)
	}
	full := int(float64(done) / float64(total) * progressWidth)
	bar := strings.Repeat("=", full) + strings.Repeat(" ", progressWidth-full)
	return fmt.Sprintf("%s [%s] %d%% %s of %s%s", p.what, bar, int(float64(done)/float64(total)*100), number(done), number(total), rate)
}

// expectTree says how much there is at a place, where that is the whole guest:
// of a folder nobody knows before it was walked.
func (s *session) expectTree(p *progress, g *opened, t target) {
	if p.w != nil && t.path == "/" {
		p.expect(bytesUsed(s.ctx, g))
	}
}

// inodesUsed and bytesUsed are about how much there is in a guest's tree; 0
// where that is not known.
func inodesUsed(ctx context.Context, g *opened) (n int64) {
	for _, at := range g.namespace().Attachments() {
		if u, err := at.Tree.FileSystem().Usage(ctx); err == nil && u.FilesFree < u.Files {
			n += int64(min(u.Files-u.FilesFree, math.MaxInt32))
		}
	}
	return n
}

func bytesUsed(ctx context.Context, g *opened) (n int64) {
	for _, at := range g.namespace().Attachments() {
		if u, err := at.Tree.FileSystem().Usage(ctx); err == nil && u.Free < u.Blocks && u.BlockSize > 0 {
			n += int64(min(u.Blocks-u.Free, math.MaxInt64/256/uint64(u.BlockSize))) * int64(u.BlockSize)
		}
	}
	return n
}

// clear takes the line away, for something else to be printed there.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// end takes the line away for good. A second call does nothing.
func (p *progress) end() {
	p.once.Do(func() { close(p.stop) })
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
