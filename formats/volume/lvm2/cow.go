package lvm2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// The persistent exception store of device-mapper's snapshots
// (Documentation/admin-guide/device-mapper/snapshot.rst, and the names of
// dm-snap-persistent.c). Offsets in bytes; numbers are little-endian.
const (
	cowMagic     = 0  // u32: "SnAp"
	cowValid     = 4  // u32
	cowVersion   = 8  // u32
	cowChunkSize = 12 // u32, sectors
	cowHeader    = 16
	cowEntry     = 16 // u64 chunk of the origin, u64 chunk of the store

	cowMagicNumber = 0x70416e53

	// maxExceptions bounds what is kept in memory: some hundred MiB.
	maxExceptions = 4 << 20
)

// errInvalid says that a snapshot has run out of space: the kernel gave up on it.
var errInvalid = errors.New("the snapshot is invalid: it ran out of space in the guest, and what it had is lost")

// A snapshot is an origin with the chunks that were copied before they changed,
// or that were written to the snapshot itself.
type snapshot struct {
	origin, store block.Device
	size          int64
	chunk         int64
	at            map[int64]int64 // chunks of the origin, and where they are in the store
}

// openSnapshot reads the exceptions of store.
func openSnapshot(ctx context.Context, origin, store block.Device, size int64) (*snapshot, error) {
	h := make([]byte, cowHeader)
	if err := block.ReadFull(ctx, store, h, 0); err != nil {
		return nil, fmt.Errorf("read the header of the exception store: %w", err)
	}
	if u32(h, cowMagic) != cowMagicNumber {
		return nil, ondisk.Corrupt("exception store", 0, "no magic")
	}
	if v := u32(h, cowVersion); v != 1 {
		return nil, ondisk.Unsupported("snapshot", "version %d of the exception store", v)
	}
	if u32(h, cowValid) != 1 {
		return nil, errInvalid
	}
	sectors := u32(h, cowChunkSize)
	if sectors == 0 || sectors&(sectors-1) != 0 || sectors > 1<<20 {
		return nil, ondisk.Corrupt("exception store", cowChunkSize, "chunks of %d sectors", sectors)
	}
	s := &snapshot{origin: origin, store: store, size: min(size, origin.Size()), chunk: int64(sectors) * sector, at: map[int64]int64{}}
	return s, s.load(ctx)
}

// load reads the areas: a chunk of entries, then as many chunks of data, the
// first area behind the header's chunk.
func (s *snapshot) load(ctx context.Context) error {
	perArea := s.chunk / cowEntry
	b := make([]byte, s.chunk)
	for at := int64(1); ; at += perArea + 1 {
		off := at * s.chunk
		if !ondisk.Fits(off, s.chunk, s.store.Size()) {
			return nil // full to the last chunk
		}
		if err := block.ReadFull(ctx, s.store, b, off); err != nil {
			return fmt.Errorf("read the exceptions at byte %d: %w", off, err)
		}
		for i := 0; i < len(b); i += cowEntry {
			from, to := u64(b, i), u64(b, i+8)
			if to == 0 {
				return nil
			}
			if from > math.MaxInt64/uint64(s.chunk) || to > math.MaxInt64/uint64(s.chunk) || !ondisk.Fits(int64(to)*s.chunk, s.chunk, s.store.Size()) {
				return ondisk.Corrupt("exception store", off+int64(i), "chunk %d is at chunk %d of a store of %d bytes", from, to, s.store.Size())
			}
			if len(s.at) == maxExceptions {
				return ondisk.Unsupported("snapshot", "more than %d exceptions", maxExceptions)
			}
			s.at[int64(from)] = int64(to) * s.chunk
		}
	}
}

func (s *snapshot) Size() int64 { return s.size }

func (s *snapshot) find(off int64) (dev block.Device, at, n int64) {
	c, in := off/s.chunk, off%s.chunk
	n = min(s.chunk-in, s.size-off)
	if at, ok := s.at[c]; ok {
		return s.store, at + in, n
	}
	return s.origin, off, n
}

func (s *snapshot) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), s.size)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	for done := int64(0); done < n; {
		dev, at, run := s.find(off + done)
		run = min(run, n-done)
		if err := block.ReadFull(ctx, dev, p[done:done+run], at); err != nil {
			return int(done), err
		}
		done += run
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (s *snapshot) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, s.size); n == 0 {
		return block.Run{}, io.EOF
	}
	dev, at, run := s.find(off)
	return dev.Locate(ctx, at, min(run, n))
}
