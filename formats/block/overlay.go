package block

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
)

// overlayRegion is the granularity, in bytes, at which an Overlay knows that
// nothing was changed, so that large reads elsewhere pay nothing for it.
const overlayRegion = 1 << 20

// An Overlay is a device with changes on top that its base never sees: the
// replayed journal of a read-only mount. A changed block is either bytes held
// in memory or a place on another device that already holds them, a journal
// block, which costs no memory for the bytes. It is a Writer; Sync has nothing
// to do, for nothing is ever durable.
//
// Changed blocks are Opaque to Locate.
type Overlay struct {
	base  Device
	block int64
	limit int64

	mu      sync.RWMutex // guards all below; not held during I/O
	blocks  map[int64]overlayBlock
	regions map[int64]int // changed blocks in each region
	held    int64         // bytes in memory
}

type overlayBlock struct {
	bytes []byte // never changed once set; nil: the bytes are at off in dev
	dev   Device
	off   int64
}

// ErrOverlayFull says that a replay needs more memory than its limit. It
// unwraps to ENOMEM.
var ErrOverlayFull = fmt.Errorf("the changes of the journal exceed the memory limit of the replay overlay: %w", syscall.ENOMEM)

// overlayCost is what one changed block costs besides its bytes.
const overlayCost = 96

// NewOverlay puts an empty overlay over base. Changes are kept in blocks of
// the given size, a power of two of 512 to 1 MiB bytes; limit bounds the memory.
func NewOverlay(base Device, block, limit int64) (*Overlay, error) {
	if block < 512 || block > overlayRegion || block&(block-1) != 0 {
		return nil, fmt.Errorf("overlay block of %d bytes: %w", block, syscall.EINVAL)
	}
	return &Overlay{base: base, block: block, limit: limit,
		blocks: make(map[int64]overlayBlock), regions: make(map[int64]int)}, nil
}

// Size is the base's.
func (o *Overlay) Size() int64 { return o.base.Size() }

// Len is the number of changed blocks.
func (o *Overlay) Len() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.blocks)
}

// Base is the device below, without the changes.
func (o *Overlay) Base() Device { return o.base }

// Redirect makes the block at off, which must be a whole one, read as the
// bytes at srcOff of src.
func (o *Overlay) Redirect(off int64, src Device, srcOff int64) error {
	if off < 0 || off%o.block != 0 || off > o.Size()-o.block || srcOff < 0 || srcOff > src.Size()-o.block {
		return fmt.Errorf("overlay redirect of %d to %d: %w", off, srcOff, syscall.EINVAL)
	}
	return o.set(off/o.block, overlayBlock{dev: src, off: srcOff})
}

// Restore makes the block at off read as the base's again: a revoked change.
func (o *Overlay) Restore(off int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := off / o.block
	if old, ok := o.blocks[n]; ok {
		o.held -= int64(len(old.bytes)) + overlayCost
		delete(o.blocks, n)
		r := n * o.block / overlayRegion
		if o.regions[r]--; o.regions[r] == 0 {
			delete(o.regions, r)
		}
	}
}

func (o *Overlay) set(n int64, b overlayBlock) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	old, had := o.blocks[n]
	held := o.held + int64(len(b.bytes)-len(old.bytes))
	if !had {
		held += overlayCost
	}
	if held > o.limit {
		return ErrOverlayFull
	}
	o.held = held
	o.blocks[n] = b
	if !had {
		o.regions[n*o.block/overlayRegion]++
	}
	return nil
}

// WriteAt changes len(p) bytes at off, in memory.
func (o *Overlay) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if Clamp(off, int64(len(p)), o.Size()) < int64(len(p)) {
		return 0, io.ErrShortWrite
	}
	done := 0
	for done < len(p) {
		n := (off + int64(done)) / o.block
		at := off + int64(done) - n*o.block
		// The last block may be cut short by the end of the device.
		size := Clamp(n*o.block, o.block, o.Size())
		b := make([]byte, size)
		c := copy(b[at:], p[done:])
		if int64(c) < size {
			if err := ReadFull(ctx, o, b, n*o.block); err != nil {
				return done, err
			}
			copy(b[at:], p[done:])
		}
		if err := o.set(n, overlayBlock{bytes: b}); err != nil {
			return done, err
		}
		done += c
	}
	return done, nil
}

// Zero changes n bytes at off to zeros, in memory.
func (o *Overlay) Zero(ctx context.Context, off, n int64) error {
	zeros := make([]byte, min(n, overlayRegion))
	for n > 0 {
		c, err := o.WriteAt(ctx, zeros[:min(n, overlayRegion)], off)
		if err != nil {
			return err
		}
		off, n = off+int64(c), n-int64(c)
	}
	return nil
}

// Sync does nothing: an overlay is never durable.
func (o *Overlay) Sync(context.Context) error { return nil }

// next finds the first changed block in [off, off+n): its contents, and the
// number of unchanged bytes before it. ok is false where there is none.
func (o *Overlay) next(off, n int64) (b overlayBlock, before int64, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if len(o.blocks) == 0 {
		return overlayBlock{}, n, false
	}
	for at := off; at < off+n; {
		region := at / overlayRegion
		if o.regions[region] == 0 {
			at = (region + 1) * overlayRegion
			continue
		}
		num := at / o.block
		if b, ok := o.blocks[num]; ok {
			return b, max(0, num*o.block-off), true
		}
		at = (num + 1) * o.block
	}
	return overlayBlock{}, n, false
}

// ReadAt reads the changed blocks and, elsewhere, the base.
func (o *Overlay) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := Clamp(off, int64(len(p)), o.Size())
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	done := int64(0)
	for done < n {
		at := off + done
		b, before, changed := o.next(at, n-done)
		if before > 0 {
			got, err := o.base.ReadAt(ctx, p[done:done+before], at)
			done += int64(got)
			if int64(got) < before {
				if err == nil {
					err = io.ErrUnexpectedEOF
				}
				return int(done), err
			}
			continue
		}
		if !changed {
			break
		}
		in := at % o.block
		want := min(o.block-in, n-done)
		if b.bytes != nil {
			copy(p[done:done+want], b.bytes[in:])
		} else if err := ReadFull(ctx, b.dev, p[done:done+want], b.off+in); err != nil {
			return int(done), err
		}
		done += want
	}
	if done < int64(len(p)) {
		return int(done), io.EOF
	}
	return int(done), nil
}

// Locate answers Opaque for a changed block and the base's run elsewhere.
func (o *Overlay) Locate(ctx context.Context, off, n int64) (Run, error) {
	if n = Clamp(off, n, o.Size()); n == 0 {
		return Run{}, io.EOF
	}
	_, before, changed := o.next(off, n)
	if before > 0 {
		return o.base.Locate(ctx, off, before)
	}
	if !changed {
		return Run{}, errors.New("block: overlay lost a block")
	}
	return Run{Kind: Opaque, Len: min(n, o.block-off%o.block)}, nil
}

// Prefetch passes the hint to the base; where blocks are changed it is a
// little too generous, which is harmless.
func (o *Overlay) Prefetch(off, n int64) { Prefetch(o.base, off, n) }
