package ext4

import (
	"context"
	"fmt"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// superAddr is the block that holds the superblock, and where in it.
func (fs *FileSystem) superAddr() (at txn.Addr, in int) {
	size := fs.geo.blockSize
	return txn.Addr{Off: superOffset &^ int64(size-1), Len: size}, superOffset & (size - 1)
}

// sealSuper is the Seal of the superblock.
func (fs *FileSystem) sealSuper(b []byte, _ txn.Addr) {
	_, in := fs.superAddr()
	sb := superblock(b[in : in+superSize])
	if fs.geo.metadataCsum {
		sb.setChecksum(ondisk.CRC32C(^uint32(0), sb[:superChecksum]))
	}
}

// marked says whether a superblock has the mark of a filesystem that is being
// written: needs_recovery, or without a journal that it is not unmounted.
func (fs *FileSystem) marked(sb superblock) bool {
	if fs.w.redo != nil {
		return sb.state()&stateValid == 0
	}
	return sb.hasIncompat(incompatRecover)
}

// mark sets that mark.
func (fs *FileSystem) mark(sb superblock) {
	if fs.w.redo != nil {
		sb.setState(sb.state() &^ stateValid)
		return
	}
	sb.setFeatureIncompat(sb.featureIncompat() | incompatRecover)
}

// activate marks the filesystem as one that whoever finds it must recover. The
// log beside it is there before.
func (fs *FileSystem) activate(ctx context.Context) error {
	if fs.w.redo != nil {
		if err := fs.w.redo.Start(ctx, fs.w.dev); err != nil {
			return err
		}
	}
	return fs.markSuper(ctx, txn.BarrierActivate, fs.mark)
}

// markClean takes the mark away.
func (fs *FileSystem) markClean(ctx context.Context) error {
	return fs.markSuper(ctx, txn.BarrierClosed, func(sb superblock) {
		if fs.w.redo != nil {
			sb.setState(sb.state() | stateValid)
		} else {
			sb.setFeatureIncompat(sb.featureIncompat() &^ incompatRecover)
		}
		sb.setFeatureRoCompat(sb.featureRoCompat() &^ roOrphanPresent)
	})
}

// markSuper changes the superblock at home, beside the log. It is called where
// what is home is what was committed last.
func (fs *FileSystem) markSuper(ctx context.Context, barrier txn.Barrier, set func(sb superblock)) error {
	sb := make(superblock, superSize)
	if err := block.ReadFull(ctx, fs.w.dev, sb, superOffset); err != nil {
		return fmt.Errorf("reading the superblock: %w", err)
	}
	set(sb)
	if fs.geo.metadataCsum {
		sb.setChecksum(ondisk.CRC32C(^uint32(0), sb[:superChecksum]))
	}
	if _, err := fs.w.dev.WriteAt(ctx, sb, superOffset); err != nil {
		return err
	}
	return fs.w.dev.Sync(barrier.With(ctx))
}

// editSuper gives the superblock to be changed.
func (fs *FileSystem) editSuper(ctx context.Context, t *txn.Tx) (superblock, error) {
	at, in := fs.superAddr()
	b, err := t.Edit(ctx, at, fs.kinds.super)
	if err != nil {
		return nil, err
	}
	sb := superblock(b[in : in+superSize])
	fs.mark(sb) // what the log brings home is marked, as home is by then
	return sb, nil
}
