package pdata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// ErrNoDevice says that a pool has no thin device of a number.
var ErrNoDevice = errors.New("the pool has no such thin device")

// A Pool is a thin pool.
type Pool struct {
	store *Store
	data  block.Device
	root  uint64
	block int64 // bytes
}

// OpenPool opens a pool by its metadata and data devices.
func OpenPool(ctx context.Context, metadata, data block.Device) (*Pool, error) {
	s := NewStore(metadata, 4<<20)
	b, err := s.read(ctx, "thin pool superblock", 0, thinSalt, blockNumber)
	if err != nil {
		return nil, err
	}
	if u64(b, superMagic) != thinMagic {
		return nil, ondisk.Corrupt("thin pool superblock", 0, "no magic")
	}
	if v := u32(b, superVersion); v < 1 || v > 2 {
		return nil, ondisk.Unsupported("thin pool", "version %d", v)
	}
	sectors := u32(b, thinBlockSize)
	if sectors < 128 || sectors > 2<<20 || sectors%128 != 0 {
		return nil, ondisk.Corrupt("thin pool superblock", 0, "blocks of %d sectors", sectors)
	}
	return &Pool{store: s, data: data, root: u64(b, thinMapping), block: int64(sectors) * 512}, nil
}

// Device is the thin device of that number, of size bytes. What is not mapped
// is read from origin, and is zeros where there is none.
func (p *Pool) Device(ctx context.Context, id uint64, size int64, origin block.Device) (block.Device, error) {
	v, ok, err := p.store.Get(ctx, p.root, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("thin device %d: %w", id, ErrNoDevice)
	}
	if len(v) != 8 {
		return nil, ondisk.Corrupt("B-tree node", 0, "a thin device has a value of %d bytes", len(v))
	}
	if origin == nil {
		origin = block.Zeros(size)
	}
	return &thin{pool: p, root: u64(v, 0), size: size, origin: origin}, nil
}

// A thin is a thin device.
type thin struct {
	pool   *Pool
	root   uint64
	size   int64
	origin block.Device
}

func (t *thin) Size() int64 { return t.size }

// find says where the bytes at off are: in the pool's data at at, or in the
// origin, and how many.
func (t *thin) find(ctx context.Context, off int64) (at int64, mapped bool, n int64, err error) {
	bs := t.pool.block
	virtual, in := off/bs, off%bs
	k, v, ok, err := t.pool.store.Next(ctx, t.root, uint64(virtual))
	switch {
	case err != nil:
		return 0, false, 0, err
	case !ok || k > uint64(math.MaxInt64/bs):
		return 0, false, t.size - off, nil
	case k > uint64(virtual):
		return 0, false, min(int64(k)*bs, t.size) - off, nil
	case len(v) != 8:
		return 0, false, 0, ondisk.Corrupt("B-tree node", 0, "a thin block has a value of %d bytes", len(v))
	}
	// The low 24 bits are the time of the mapping.
	data := u64(v, 0) >> 24
	if data > uint64(math.MaxInt64/bs) || !ondisk.Fits(int64(data)*bs, min(bs, t.size-off+in), t.pool.data.Size()) {
		return 0, false, 0, ondisk.Corrupt("B-tree node", 0, "virtual block %d is at block %d of the pool, which ends before", virtual, data)
	}
	return int64(data)*bs + in, true, min(bs-in, t.size-off), nil
}

func (t *thin) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), t.size)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	done := int64(0)
	for done < n {
		at, mapped, run, err := t.find(ctx, off+done)
		if err != nil {
			return int(done), err
		}
		run = min(run, n-done)
		if mapped {
			err = block.ReadFull(ctx, t.pool.data, p[done:done+run], at)
		} else {
			err = readOrigin(ctx, t.origin, p[done:done+run], off+done)
		}
		if err != nil {
			return int(done), err
		}
		done += run
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// readOrigin reads an origin, which may be shorter than the device over it.
func readOrigin(ctx context.Context, origin block.Device, p []byte, off int64) error {
	n := block.Clamp(off, int64(len(p)), origin.Size())
	clear(p[n:])
	if n == 0 {
		return ctx.Err()
	}
	return block.ReadFull(ctx, origin, p[:n], off)
}

func (t *thin) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, t.size); n == 0 {
		return block.Run{}, io.EOF
	}
	at, mapped, run, err := t.find(ctx, off)
	if err != nil {
		return block.Run{}, err
	}
	run = min(run, n)
	switch {
	case mapped:
		return t.pool.data.Locate(ctx, at, run)
	case off < t.origin.Size():
		return t.origin.Locate(ctx, off, min(run, t.origin.Size()-off))
	}
	return block.Run{Kind: block.Zero, Len: run}, nil
}
