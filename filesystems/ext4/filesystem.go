package ext4

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// defaultCacheBytes bounds the metadata cache where the caller does not.
const defaultCacheBytes = 48 << 20

// nameMax is the length of the longest name, in bytes.
const nameMax = 255

// FileSystem is an opened ext2, ext3 or ext4 filesystem.
type FileSystem struct {
	opt  vfs.Options
	log  *slog.Logger
	base block.Device // as given

	// dev is what all structures are read from: base, or the replay overlay
	// over it. use sets it and the fields up to kinds together.
	dev   block.Device
	store *txn.Store
	sb    superblock
	geo   *geometry
	descs descTable
	kinds kinds

	replay  txn.Replay // what recovery did
	edits   *edits     // what fast commits change; nil for most filesystems
	orphans orphans    // what the kernel would free

	w *writer // nil where the filesystem is read-only
}

// kinds are the types of metadata buffers, verified as they enter memory.
type kinds struct {
	inodes   *txn.Kind // a piece of an inode table; each inode is verified at its use
	extents  *txn.Kind // a block of the extent tree
	indirect *txn.Kind // a block of block numbers
	dir      *txn.Kind // a directory block: entries or an index node
	xattrs   *txn.Kind // a block of extended attributes
	orphans  *txn.Kind // a block of the orphan file

	// Of a writer only.
	super       *txn.Kind // the block that holds the superblock
	descs       *txn.Kind // a block of group descriptors; each is verified at its use
	blockBitmap *txn.Kind // verified with its descriptor, once
	inodeBitmap *txn.Kind
}

// Driver is the driver of ext2, ext3 and ext4.
func Driver() vfs.Driver { return vfs.Driver{Name: "ext4", Probe: probe, Open: open} }

// probe looks at the superblock's magic. What else is wrong with it is open's
// to say.
func probe(ctx context.Context, dev block.Device) (vfs.Info, error) {
	sb, err := readSuper(ctx, dev)
	if err != nil {
		return vfs.Info{}, err
	}
	geo, err := newGeometry(sb, superOffset)
	if err != nil {
		geo = nil
	}
	return superInfo(sb, geo), nil
}

// open reads the superblock and the group descriptors, recovers the journal
// into memory and reads the root.
func open(ctx context.Context, devs []block.Device, opt vfs.Options) (vfs.FileSystem, error) {
	if len(devs) != 1 {
		return nil, syscall.EINVAL
	}
	fs := &FileSystem{opt: opt, log: opt.Log, base: devs[0]}
	if fs.log == nil {
		fs.log = slog.New(slog.DiscardHandler)
	}
	if err := fs.use(ctx, devs[0]); err != nil {
		return nil, err
	}
	if have := devs[0].Size(); have < fs.geo.bytes() {
		fs.log.Warn("the device is smaller than its ext4 filesystem; what lies beyond its end cannot be read",
			"device", have, "filesystem", fs.geo.bytes())
	}
	if opt.Writable {
		dev, ok := devs[0].(block.Writer)
		if !ok {
			return nil, fmt.Errorf("ext4: the device cannot be written: %w", syscall.EROFS)
		}
		if err := openWriter(ctx, fs, dev); err != nil {
			return nil, err
		}
	} else if !opt.NoRecovery {
		if err := recoverJournal(ctx, fs); err != nil {
			return nil, err
		}
	}
	root, err := fs.iget(ctx, rootIno)
	if err != nil {
		return nil, err
	}
	if root.fileType() != syscall.S_IFDIR || root.raw.links() == 0 {
		return nil, ondisk.Corrupt("ext4 root inode", fs.inodeOffset(ctx, rootIno), "mode %#o with %d links is no directory", root.raw.mode(), root.raw.links())
	}
	return fs, nil
}

// use makes dev the device of the filesystem, with an empty metadata cache,
// and reads the superblock and the group descriptors from it.
func (fs *FileSystem) use(ctx context.Context, dev block.Device) error {
	sb, geo, err := openSuper(ctx, dev)
	if err != nil {
		return err
	}
	limit := fs.opt.CacheBytes
	if limit <= 0 {
		limit = defaultCacheBytes
	}
	fs.dev, fs.sb, fs.geo = dev, sb, geo
	fs.store = txn.NewStore(dev, limit)
	fs.kinds = kinds{
		inodes:   &txn.Kind{Name: "ext4 inode table"},
		extents:  &txn.Kind{Name: "ext4 extent block", Verify: fs.verifyExtentBlock},
		indirect: &txn.Kind{Name: "ext4 indirect block"},
		dir:      &txn.Kind{Name: "ext4 directory block", Verify: fs.verifyDirBlock},
		xattrs:   &txn.Kind{Name: "ext4 xattr block", Verify: fs.verifyXattrBlock},
		orphans:  &txn.Kind{Name: "ext4 orphan block", Verify: fs.verifyOrphanBlock},
	}
	fs.writerKinds()
	return fs.loadDescs(ctx)
}

// superInfo is what a superblock tells. geo is nil where its numbers are wild.
func superInfo(sb superblock, geo *geometry) vfs.Info {
	info := vfs.Info{
		Type: sb.kind(), UUID: sb.uuidString(), Label: sb.label(), NameMax: nameMax, ReadOnly: true,
		Dirty: sb.hasIncompat(incompatRecover) || sb.state()&stateValid == 0 || sb.state()&stateErrors != 0,
		// The kernel sets ext_attr with the first attribute; the other two store attributes of their own.
		HasXattrs:       sb.hasCompat(compatExtAttr) || sb.hasIncompat(incompatEAInode|incompatInlineData|incompatEncrypt),
		CaseInsensitive: sb.hasIncompat(incompatCasefold),
		Features:        featureNames('C', sb.featureCompat()),
	}
	info.Features = append(info.Features, featureNames('I', sb.featureIncompat())...)
	info.Features = append(info.Features, featureNames('R', sb.featureRoCompat())...)
	if geo != nil {
		info.Size, info.BlockSize = geo.bytes(), geo.blockSize
	}
	return info
}

// CacheStats say how the cache of metadata does.
func (fs *FileSystem) CacheStats() block.CacheStats { return fs.store.CacheStats() }

// Info describes the filesystem.
func (fs *FileSystem) Info() vfs.Info {
	info := superInfo(fs.sb, fs.geo)
	info.ReadOnly = fs.w == nil
	info.HasXattrs = info.HasXattrs || fs.w != nil // somebody may set one
	info.Replayed = fs.replay.Transactions > 0 || fs.edits != nil
	if info.Replayed {
		info.Dirty = true
	}
	return info
}

// Root is inode 2.
func (fs *FileSystem) Root() vfs.Ino { return vfs.Ino{Num: rootIno} }

// Devices are the one device, with the replay overlay where there is one.
func (fs *FileSystem) Devices() []block.Device { return []block.Device{fs.dev} }

// Begin starts a change.
func (fs *FileSystem) Begin(ctx context.Context, op vfs.Op) (vfs.Tx, error) {
	x, err := fs.begin(ctx, op.Time)
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Sync makes durable all that was changed and all data written so far.
func (fs *FileSystem) Sync(context.Context) error {
	if fs.w == nil {
		return nil
	}
	return fs.w.manager.Sync()
}

// Close frees the orphans and leaves the filesystem clean. The device is the
// caller's.
func (fs *FileSystem) Close(ctx context.Context) error {
	if fs.w == nil {
		return nil
	}
	var first error
	for first == nil && len(fs.w.orphans) > 0 {
		first = fs.endOrphan(ctx, fs.w.orphans[len(fs.w.orphans)-1])
	}
	if err := fs.w.manager.Close(); err != nil {
		return err
	}
	if fs.w.redo != nil {
		if err := fs.w.redo.Remove(); err != nil {
			return err
		}
	}
	return first
}

// beyond is the error for a structure that the device's end cuts off.
func (fs *FileSystem) beyond(what string, off int64) error {
	return ondisk.Corrupt(what, off, "beyond the end of the device of %d bytes, though the filesystem has %d: the image is truncated", fs.dev.Size(), fs.geo.bytes())
}

// readBlock gives the verified metadata block number blk that owner refers to.
func (fs *FileSystem) readBlock(ctx context.Context, blk uint64, kind *txn.Kind, owner *inode) ([]byte, error) {
	at, err := fs.blockAddr(blk, kind, owner)
	if err != nil {
		return nil, err
	}
	if owner.tx != nil {
		return owner.tx.Read(ctx, at, kind)
	}
	return fs.store.Read(ctx, at, kind)
}

// blockAddr compares a block number from the disk and makes an address of it.
func (fs *FileSystem) blockAddr(blk uint64, kind *txn.Kind, owner *inode) (txn.Addr, error) {
	if blk <= fs.geo.firstBlock || blk >= fs.geo.blocks {
		return txn.Addr{}, ondisk.Corrupt(kind.Name, int64(min(blk, fs.geo.blocks)<<fs.geo.blockBits),
			"inode %d refers to block %d, expected %d to %d", owner.num, blk, fs.geo.firstBlock+1, fs.geo.blocks-1)
	}
	at := txn.Addr{Off: int64(blk << fs.geo.blockBits), Len: fs.geo.blockSize, Owner: uint64(owner.num), Gen: owner.raw.generation()}
	if !ondisk.Fits(at.Off, int64(at.Len), fs.dev.Size()) {
		return txn.Addr{}, fs.beyond(kind.Name, at.Off)
	}
	return at, nil
}
