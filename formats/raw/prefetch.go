package raw

import (
	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/formats/block"
)

const (
	// prefetchers bounds the prefetches that run at the same time; one more
	// is dropped, since by then the host has enough to do.
	prefetchers = 4
	// prefetchMax bounds one prefetch, in bytes.
	prefetchMax = 64 << 20
	// prefetchPiece is what one fadvise asks for. Linux silently reads no
	// more than the device's read-ahead or largest request at once, and
	// 128 KiB is the smallest of those in use.
	prefetchPiece = 128 << 10
)

// Prefetch has the host read n bytes at off into its page cache, in the
// background.
func (f *File) Prefetch(off, n int64) {
	if n = min(block.Clamp(off, n, f.Size()), prefetchMax); n == 0 {
		return
	}
	select {
	case f.slots <- struct{}{}:
	default:
		return
	}
	f.closing.Lock()
	closed := f.closed
	if !closed {
		f.ahead.Add(1)
	}
	f.closing.Unlock()
	if closed {
		<-f.slots
		return
	}
	go func() {
		defer f.ahead.Done()
		defer func() { <-f.slots }()
		// A failed hint is no failure: the read itself shows what is wrong.
		_ = f.conn.Control(func(fd uintptr) {
			for end := off + n; off < end; off += prefetchPiece {
				if unix.Fadvise(int(fd), off, min(prefetchPiece, end-off), unix.FADV_WILLNEED) != nil {
					return
				}
			}
		})
	}()
}
