package ext4

import (
	"context"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// tx is a change: a txn.Tx with what this format keeps besides. Everything it
// reads it sees as it has changed it.
type tx struct {
	fs     *FileSystem
	t      *txn.Tx
	now    vfs.Time
	inodes map[uint32]*inode      // those it edits
	groups map[uint32]*groupDelta // those whose descriptors it edits
	id     uint64                 // of the transaction, after commit
}

// groupDelta is what a change does to a group.
type groupDelta struct {
	blocks, inodes, dirs int64 // added to the counts of free blocks, free inodes, directories
	blockMap, inodeMap   bool  // the bitmap was edited
}

// begin starts a change at a time.
func (fs *FileSystem) begin(ctx context.Context, now vfs.Time) (*tx, error) {
	if fs.w == nil {
		return nil, syscall.EROFS
	}
	if err := fs.w.settle(); err != nil {
		return nil, err
	}
	return fs.beginFree(ctx, now)
}

// beginFree starts a change that frees blocks and takes none.
func (fs *FileSystem) beginFree(ctx context.Context, now vfs.Time) (*tx, error) {
	if fs.w == nil {
		return nil, syscall.EROFS
	}
	t, err := fs.w.manager.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &tx{fs: fs, t: t, now: now, inodes: make(map[uint32]*inode), groups: make(map[uint32]*groupDelta)}, nil
}

// scarce is how many blocks must be free to begin a change without waiting for
// those that a commit would free.
const scarce = 256

// settle commits where the disk is full but for blocks that wait for that.
func (w *writer) settle() error {
	waiting := w.waiting.Load()
	if waiting == 0 {
		return nil
	}
	w.mu.Lock()
	short := w.blocks < uint64(waiting)+scarce
	w.mu.Unlock()
	if !short {
		return nil
	}
	return w.manager.Sync()
}

// Abort gives the change up.
func (x *tx) Abort() { x.t.Abort() }

// Commit makes the change, durable where wait says so.
func (x *tx) Commit(wait bool) error {
	if err := x.finish(context.Background()); err != nil {
		x.t.Abort()
		return err
	}
	id, err := x.t.Commit()
	if err != nil {
		return err
	}
	x.id = id
	if wait {
		return x.fs.w.manager.Flush(id)
	}
	return nil
}

// finish sets the checksums: inodes, then bitmaps, then descriptors.
func (x *tx) finish(ctx context.Context) error {
	g := x.fs.geo
	for num, n := range x.inodes {
		g.sealInode(n.raw, num)
	}
	for group, delta := range x.groups {
		d, err := x.desc(ctx, group)
		if err != nil {
			return err
		}
		if delta.blockMap && g.metadataCsum {
			b, err := x.t.Edit(ctx, x.fs.at(d.blockBitmap()), x.fs.kinds.blockBitmap)
			if err != nil {
				return err
			}
			d.setBlockBitmapChecksum(g.bitmapChecksum(d, b, g.blocksPerGroup))
		}
		if delta.inodeMap && g.metadataCsum {
			b, err := x.t.Edit(ctx, x.fs.at(d.inodeBitmap()), x.fs.kinds.inodeBitmap)
			if err != nil {
				return err
			}
			d.setInodeBitmapChecksum(g.bitmapChecksum(d, b, uint64(g.inodesPerGroup)))
		}
		if sum, has := g.descChecksum(x.fs.sb, d, group); has {
			d.setChecksum(sum)
		}
	}
	x.t.OnDone(x.count)
	return nil
}

// count brings the allocators' table up to date.
func (x *tx) count() {
	w := x.fs.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for group, delta := range x.groups {
		g := &w.groups[group]
		g.free = uint32(int64(g.free) + delta.blocks)
		g.inodes = uint32(int64(g.inodes) + delta.inodes)
		g.dirs = uint32(int64(g.dirs) + delta.dirs)
		w.blocks = uint64(int64(w.blocks) + delta.blocks)
		w.inodes = uint64(int64(w.inodes) + delta.inodes)
	}
}

// at is the address of a block that has no owner.
func (fs *FileSystem) at(blk uint64) txn.Addr {
	return txn.Addr{Off: int64(blk << fs.geo.blockBits), Len: fs.geo.blockSize}
}

// readDesc reads a descriptor as it is outside of any change.
func (fs *FileSystem) readDesc(ctx context.Context, group uint32) (groupDesc, error) {
	b, err := fs.store.Read(ctx, fs.at(fs.descBlock(group/fs.geo.descPerBlock)), fs.kinds.descs)
	if err != nil {
		return nil, fmt.Errorf("reading the descriptor of group %d: %w", group, err)
	}
	d := fs.descIn(b, group)
	return d, fs.verifyDesc(d, group)
}

// descIn is a group's descriptor in its block.
func (fs *FileSystem) descIn(b []byte, group uint32) groupDesc {
	at := int(group%fs.geo.descPerBlock) * fs.geo.descSize
	return groupDesc(b[at : at+fs.geo.descSize : at+fs.geo.descSize])
}

// desc gives a descriptor to be changed.
func (x *tx) desc(ctx context.Context, group uint32) (groupDesc, error) {
	b, err := x.t.Edit(ctx, x.fs.at(x.fs.descBlock(group/x.fs.geo.descPerBlock)), x.fs.kinds.descs)
	if err != nil {
		return nil, err
	}
	d := x.fs.descIn(b, group)
	if x.groups[group] == nil {
		if err := x.fs.verifyDesc(d, group); err != nil {
			return nil, err
		}
		x.fs.w.mu.Lock()
		err := x.fs.verifyBitmaps(ctx, d, group)
		x.fs.w.mu.Unlock()
		if err != nil {
			return nil, err
		}
		x.groups[group] = &groupDelta{}
	}
	return d, nil
}

// inode gives an inode to be changed.
func (x *tx) inode(ctx context.Context, num uint32) (*inode, error) {
	if n := x.inodes[num]; n != nil {
		return n, nil
	}
	raw, err := x.slot(ctx, num)
	if err != nil {
		return nil, err
	}
	if x.fs.geo.metadataCsum {
		if err := x.fs.geo.verifyInode(raw, num, x.fs.inodeOffset(ctx, num)); err != nil {
			return nil, err
		}
	}
	n := &inode{fs: x.fs, raw: raw, num: num, tx: x.t}
	if err := n.check(ctx); err != nil {
		return nil, err
	}
	x.inodes[num] = n
	return n, nil
}

// slot gives the bytes of an inode to be changed, whatever they are.
func (x *tx) slot(ctx context.Context, num uint32) (rawInode, error) {
	g := x.fs.geo
	if num == 0 || num > g.inodes {
		return nil, fmt.Errorf("ext4 inode %d of %d: %w", num, g.inodes, syscall.ENOENT)
	}
	off := x.fs.inodeOffset(ctx, num)
	if off < 0 {
		return nil, ondisk.Corrupt("ext4 inode table", off, "of inode %d: its group's descriptor is damaged", num)
	}
	in := int(off & int64(g.blockSize-1))
	b, err := x.t.Edit(ctx, txn.Addr{Off: off - int64(in), Len: g.blockSize}, x.fs.kinds.inodes)
	if err != nil {
		return nil, err
	}
	return rawInode(b[in : in+g.inodeSize : in+g.inodeSize]), nil
}

// named gives the inode that ino names, to be changed.
func (x *tx) named(ctx context.Context, ino vfs.Ino) (*inode, error) {
	num, err := x.fs.number(ino)
	if err != nil {
		return nil, err
	}
	n, err := x.inode(ctx, num)
	if err != nil {
		return nil, err
	}
	if n.raw.mode() == 0 {
		return nil, syscall.ENOENT
	}
	if ino.Gen != 0 && ino.Gen != uint64(n.raw.generation()) {
		return nil, syscall.ESTALE
	}
	return n, nil
}

// block gives a metadata block of an inode to be changed.
func (x *tx) block(ctx context.Context, blk uint64, kind *txn.Kind, owner *inode) ([]byte, error) {
	at, err := x.fs.blockAddr(blk, kind, owner)
	if err != nil {
		return nil, err
	}
	return x.t.Edit(ctx, at, kind)
}

// fresh gives a new metadata block of an inode, of zeros.
func (x *tx) fresh(blk uint64, kind *txn.Kind, owner *inode) ([]byte, error) {
	at, err := x.fs.blockAddr(blk, kind, owner)
	if err != nil {
		return nil, err
	}
	return x.t.Fresh(at, kind)
}
