package files

import (
	"bytes"
	"context"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// DiffStats count how contents were compared, in bytes of one side.
type DiffStats struct {
	Shared atomic.Int64 // of clones and snapshots, at the same place of the same host file, or holes: not read
	Read   atomic.Int64 // read on both sides
}

// contents says whether two files of one size hold the same bytes. What cannot
// be read is a problem and not a difference.
func (p *pair) contents(ctx context.Context, d *differ) bool {
	c := &comparison{ctx: ctx, d: d, p: p, size: p.diff.From.Attr.Size}
	for off := int64(0); off < c.size && !c.differs && !c.failed; {
		n, shared := c.shared(off, c.size-off)
		if shared {
			c.flush()
			d.opt.Stats.Shared.Add(n)
			c.end = off + n
		} else {
			c.pending, c.end = c.pending+n, off+n
			if c.pending >= pieceBytes {
				c.flush()
			}
		}
		off += n
	}
	if !c.failed {
		c.flush()
	}
	return !c.differs
}

// A comparison goes through two files.
type comparison struct {
	ctx     context.Context
	d       *differ
	p       *pair
	size    int64
	end     int64 // of what was looked at
	pending int64 // bytes before end that must be read
	differs bool
	failed  bool
	bufs    [2][]byte
}

// shared looks at the bytes from off on, at most max: at so many of them, and
// whether they are known to be equal.
func (c *comparison) shared(off, max int64) (n int64, equal bool) {
	a, n, okA := c.place(c.p.diff.From.Inode, off, max)
	b, n, okB := c.place(c.p.diff.To.Inode, off, n)
	return n, okA && okB && a == b
}

// A hostPlace is where bytes lie; the zero hostPlace is a hole.
type hostPlace struct {
	file fileID
	off  int64
}

type fileID struct{ dev, ino uint64 }

// place is where the bytes of a file at off lie in a host file, and how many of
// at most max lie there. ok is false where they must be read. What cannot be
// looked up is found again, and told, by reading it.
func (c *comparison) place(f vfs.Inode, off, max int64) (at hostPlace, n int64, ok bool) {
	ext, err := f.Map(c.ctx, off, max)
	if err != nil || ext.Len <= 0 {
		return at, min(max, pieceBytes), false
	}
	n = min(ext.Len, max)
	switch ext.Kind {
	case vfs.Hole:
		return at, n, true
	case vfs.Mapped:
		run, err := ext.Dev.Locate(c.ctx, ext.Off, n)
		if err != nil || run.Len <= 0 {
			return at, min(n, pieceBytes), false
		}
		n = min(n, run.Len)
		if run.Kind == block.Zero {
			return at, n, true
		}
		if run.Kind == block.Data {
			id, known := c.d.files.id(run.File)
			return hostPlace{id, run.Off}, n, known
		}
	}
	return at, n, false
}

// flush reads what is pending on both sides and compares it.
func (c *comparison) flush() {
	for c.pending > 0 && !c.differs && !c.failed {
		n := min(c.pending, pieceBytes)
		for side, f := range []vfs.Inode{c.p.diff.From.Inode, c.p.diff.To.Inode} {
			if c.bufs[side] == nil {
				c.bufs[side] = make([]byte, min(c.size, pieceBytes))
			}
			off := c.end - c.pending
			if _, err := readFull(c.ctx, f, c.bufs[side][:n], off); err != nil {
				path := []*Entry{c.p.diff.From, c.p.diff.To}[side].Path
				c.p.problems[side] = append(c.p.problems[side], &Error{Op: "read", Path: path, Err: atByte(off, err)})
				c.failed = true
			}
		}
		c.d.opt.Stats.Read.Add(n)
		c.differs = !c.failed && !bytes.Equal(c.bufs[0][:n], c.bufs[1][:n])
		c.pending -= n
	}
}

// hostFiles knows which file of the host an open one is. Two descriptors of one
// file are the same file.
type hostFiles struct{ known sync.Map } // *os.File to fileID

func (h *hostFiles) id(f *os.File) (fileID, bool) {
	if id, ok := h.known.Load(f); ok {
		return id.(fileID), true
	}
	st, err := f.Stat()
	if err != nil {
		return fileID{}, false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, false
	}
	id := fileID{sys.Dev, sys.Ino}
	h.known.Store(f, id)
	return id, true
}
