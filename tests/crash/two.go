package crash

import (
	"context"
	"io"
	"math/rand/v2"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/vfs"
)

// A volume and the log beside it are recorded as one device: the log lies
// behind the volume. A barrier of one says nothing of the other.

// WithSidecar gives a driver of such devices: of the first size bytes, with a
// sidecar in the others.
func WithSidecar(driver vfs.Driver, size int64) vfs.Driver {
	return vfs.Driver{Name: driver.Name, Open: func(ctx context.Context, devs []block.Device, opt vfs.Options) (vfs.FileSystem, error) {
		opt.Sidecar = sidecar{part{devs[0], size, devs[0].Size() - size}}
		return driver.Open(ctx, []block.Device{part{devs[0], 0, size}}, opt)
	}}
}

// part is a stretch of a device with barriers of its own.
type part struct {
	dev      block.Device
	from, to int64 // to is its length
}

type partKey struct{}

func (p part) Size() int64 { return p.to }
func (p part) ReadAt(ctx context.Context, b []byte, off int64) (int, error) {
	if off >= p.to {
		return 0, io.EOF
	}
	return p.dev.ReadAt(ctx, b[:min(int64(len(b)), p.to-off)], p.from+off)
}
func (p part) Locate(context.Context, int64, int64) (block.Run, error) {
	return block.Run{}, nil
}
func (p part) WriteAt(ctx context.Context, b []byte, off int64) (int, error) {
	if off+int64(len(b)) > p.to {
		return 0, io.ErrShortWrite
	}
	return p.dev.(block.Writer).WriteAt(ctx, b, p.from+off)
}
func (p part) Zero(ctx context.Context, off, n int64) error {
	_, err := p.WriteAt(ctx, make([]byte, n), off)
	return err
}
func (p part) Sync(ctx context.Context) error {
	return p.dev.(block.Writer).Sync(context.WithValue(ctx, partKey{}, p.from))
}

// sidecar is a redo.Sidecar in a part. An empty one is zeros.
type sidecar struct{ p part }

func (s sidecar) Size() (int64, error) { return s.p.to, nil }
func (s sidecar) ReadAt(b []byte, off int64) (int, error) {
	return s.p.ReadAt(context.Background(), b, off)
}
func (s sidecar) WriteAt(b []byte, off int64) (int, error) {
	return s.p.WriteAt(context.Background(), b, off)
}
func (s sidecar) Sync(ctx context.Context) error { return s.p.Sync(ctx) }
func (s sidecar) String() string                 { return "the sidecar" }
func (s sidecar) Remove() error {
	_, err := s.WriteAt(make([]byte, sector), 0)
	return err
}

// twoStates is States for a device of two parts, the second from at on.
type twoStates struct {
	image   []byte
	ops     []blocktest.Op
	parts   map[int]int64 // of each barrier in ops, where its part begins
	between int64
}

// pending are the writes before place at that no barrier of their part follows.
func (s *twoStates) pending(at int) []int {
	var out []int
	synced := [2]bool{}
	for i := at - 1; i >= 0; i-- {
		op := s.ops[i]
		switch {
		case op.Sync && s.parts[i] == s.between:
			synced[1] = true
		case op.Sync:
			synced[0] = true
		case op.Off >= s.between && !synced[1], op.Off < s.between && !synced[0]:
			out = append(out, i)
		}
	}
	return out
}

// Pending is the number of writes at place at that no barrier follows.
func (s *twoStates) Pending(at int) int { return len(s.pending(at)) }

// Build gives the device of a crash after the first at ops.
func (s *twoStates) Build(at int, loss Loss, r *rand.Rand) []byte {
	pending := s.pending(at)
	lost := make(map[int]bool, len(pending))
	victim := -1
	if len(pending) > 0 {
		victim = pending[r.IntN(len(pending))]
	}
	for i := len(pending) - 1; i >= 0; i-- {
		at := pending[i]
		lost[at] = loss == All || (loss == One || loss == Torn) && at == victim || loss == Half && r.IntN(2) == 0
	}
	image := append([]byte(nil), s.image...)
	for i, op := range s.ops[:at] {
		switch {
		case op.Sync:
		case loss == Torn && lost[i]:
			tear(image, op, r)
		case !lost[i]:
			apply(image, op)
		}
	}
	return image
}
