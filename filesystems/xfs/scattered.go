package xfs

import (
	"context"
	"fmt"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
)

// A directory block can be several filesystem blocks, which need not lie side
// by side. Such a block is put together once and kept by where it is in its
// fork.

type scatteredKey struct {
	ino  uint64
	blk  uint64
	kind *txn.Kind
}

// read gives the verified buffer of count blocks at blk of a fork. ok is false
// where blk is in a hole.
func (f fork) read(ctx context.Context, blk, count uint64, kind *txn.Kind) (b []byte, off int64, ok bool, err error) {
	r, err := f.runAt(ctx, blk)
	if err != nil {
		return nil, 0, false, err
	}
	if !r.mapped {
		return nil, 0, false, nil
	}
	if r.unwritten {
		return nil, 0, false, f.corrupt("block %d was never written", blk)
	}
	at, err := f.n.blockAddr(r.start, min(count, r.len), kind.Name)
	if err != nil {
		return nil, 0, false, err
	}
	if r.len >= count {
		b, err = f.n.fs.store.Read(ctx, at, kind)
	} else {
		b, err = f.n.fs.scattered.Get(ctx, scatteredKey{f.n.num, blk, kind}, func(ctx context.Context) ([]byte, int64, error) {
			return f.assemble(ctx, blk, count, at, kind)
		})
	}
	if err != nil {
		return nil, 0, false, fmt.Errorf("%s of inode %d, block %d: %w", f.which, f.n.num, blk, err)
	}
	return b, at.Off, true, nil
}

// assemble reads the parts of a block, of which first is the first.
func (f fork) assemble(ctx context.Context, blk, count uint64, first txn.Addr, kind *txn.Kind) ([]byte, int64, error) {
	b := make([]byte, 0, count<<f.n.fs.geo.BlockLog)
	for done := uint64(0); done < count; {
		r, err := f.runAt(ctx, blk+done)
		if err != nil {
			return nil, 0, err
		}
		if !r.mapped || r.unwritten {
			return nil, 0, f.corrupt("block %d is a hole", blk+done)
		}
		part := min(r.len, count-done)
		at, err := f.n.blockAddr(r.start, part, kind.Name)
		if err != nil {
			return nil, 0, err
		}
		b = b[:len(b)+at.Len]
		if err := block.ReadFull(ctx, f.n.fs.dev, b[len(b)-at.Len:], at.Off); err != nil {
			return nil, 0, err
		}
		done += part
	}
	first.Len = len(b)
	if err := kind.Verify(b, first); err != nil {
		return nil, 0, err
	}
	return b, int64(len(b)), nil
}
