package xfs

import (
	"context"
	"log/slog"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// defaultCacheBytes bounds the metadata cache where the caller does not.
	defaultCacheBytes = 64 << 20
	// scatteredBytes bounds the cache of directory blocks whose parts do not
	// lie side by side.
	scatteredBytes = 8 << 20

	// nameMax is the length of the longest name, in bytes.
	nameMax = 255
)

// FileSystem is an opened XFS filesystem.
type FileSystem struct {
	opt     vfs.Options
	log     *slog.Logger
	headers *layout.Headers
	base    block.Device // as given

	// dev is what all structures are read from: base, or the replay overlay
	// over it. use sets it and the fields up to kinds together.
	dev       block.Device
	store     *txn.Store
	scattered *block.Cache[scatteredKey, []byte]
	sb        layout.Superblock
	geo       *layout.Geometry
	kinds     kinds

	replay   txn.Replay // what recovery did
	edits    *edits     // what intents in the log change; nil for most filesystems
	unlinked unlinked   // what the kernel would free
}

// kinds are the types of metadata buffers, verified as they enter memory.
type kinds struct {
	inodes   *txn.Kind // a piece of a cluster; each inode is verified at its use
	agf, agi *txn.Kind
	inobt    *txn.Kind
	bmap     *txn.Kind // a block of a file's map
	dirData  *txn.Kind // a directory block with entries
	dirIndex *txn.Kind // a directory block with hashes
	attrs    *txn.Kind // a block of attributes, or a node above
	remote   *txn.Kind // a block of a remote attribute value
}

// Driver is the driver of XFS.
func Driver() vfs.Driver { return vfs.Driver{Name: "xfs", Probe: probe, Open: open} }

// probe looks at the superblock's magic. What else is wrong with it is open's
// to say, and whether the log is clean.
func probe(ctx context.Context, dev block.Device) (vfs.Info, error) {
	sb, err := readSuper(ctx, dev)
	if err != nil {
		return vfs.Info{}, err
	}
	geo, err := layout.NewGeometry(sb, 0)
	if err != nil {
		geo = nil
	}
	return superInfo(sb, geo), nil
}

// open reads the superblock, recovers the log into memory and reads the root.
func open(ctx context.Context, devs []block.Device, opt vfs.Options) (vfs.FileSystem, error) {
	if len(devs) != 1 {
		return nil, syscall.EINVAL
	}
	if opt.Writable {
		return nil, &ondisk.UnsupportedError{What: "xfs filesystem", Detail: "writing", Remedy: "open it read-only"}
	}
	fs := &FileSystem{opt: opt, log: opt.Log, base: devs[0], headers: layout.NewHeaders()}
	if fs.log == nil {
		fs.log = slog.New(slog.DiscardHandler)
	}
	if err := fs.use(ctx, devs[0]); err != nil {
		return nil, err
	}
	if have := devs[0].Size(); have < fs.geo.Bytes() {
		fs.log.Warn("the device is smaller than its xfs filesystem; what lies beyond its end cannot be read",
			"device", have, "filesystem", fs.geo.Bytes())
	}
	if !opt.NoRecovery {
		if err := fs.recoverLog(ctx); err != nil {
			return nil, err
		}
	}
	root, err := fs.iget(ctx, fs.geo.RootIno)
	if err != nil {
		return nil, err
	}
	if root.fileType() != syscall.S_IFDIR || root.links() == 0 {
		return nil, root.corrupt("the root has the mode %#o and %d links", root.raw.Mode(), root.links())
	}
	return fs, nil
}

// use makes dev the device of the filesystem, with empty caches, and reads the
// superblock from it.
func (fs *FileSystem) use(ctx context.Context, dev block.Device) error {
	sb, geo, err := openSuper(ctx, dev, fs.headers)
	if err != nil {
		return err
	}
	limit := fs.opt.CacheBytes
	if limit <= 0 {
		limit = defaultCacheBytes
	}
	fs.dev, fs.sb, fs.geo = dev, sb, geo
	fs.store = txn.NewStore(dev, limit)
	fs.scattered = block.NewCache[scatteredKey, []byte](min(limit, scatteredBytes))
	fs.kinds = kinds{
		inodes:   &txn.Kind{Name: "xfs inode cluster"},
		agf:      &txn.Kind{Name: "xfs AGF", Verify: fs.verifyAGF},
		agi:      &txn.Kind{Name: "xfs AGI", Verify: fs.verifyAGI},
		inobt:    &txn.Kind{Name: "xfs inode B+tree", Verify: fs.verifyInobt},
		bmap:     &txn.Kind{Name: "xfs extent B+tree", Verify: fs.verifyBmap},
		dirData:  &txn.Kind{Name: "xfs directory block", Verify: fs.verifyDirData},
		dirIndex: &txn.Kind{Name: "xfs directory index", Verify: fs.verifyDirIndex},
		attrs:    &txn.Kind{Name: "xfs attribute block", Verify: fs.verifyAttrs},
		remote:   &txn.Kind{Name: "xfs remote attribute value", Verify: fs.verifyRemote},
	}
	return nil
}

// CacheStats say how the cache of metadata does.
func (fs *FileSystem) CacheStats() block.CacheStats { return fs.store.CacheStats() }

// Info describes the filesystem.
func (fs *FileSystem) Info() vfs.Info {
	info := superInfo(fs.sb, fs.geo)
	info.Replayed = fs.replay.Transactions > 0 || fs.edits != nil
	info.Dirty = fs.dirty()
	return info
}

// dirty says whether the log was not clean, as far as it was looked at.
func (fs *FileSystem) dirty() bool { return !fs.opt.NoRecovery && !fs.replay.Clean }

// Root is the inode that the superblock names.
func (fs *FileSystem) Root() vfs.Ino { return vfs.Ino{Num: fs.geo.RootIno} }

// Devices are the one device, with the replay overlay where there is one.
func (fs *FileSystem) Devices() []block.Device { return []block.Device{fs.dev} }

// Begin answers EROFS: this driver reads.
func (fs *FileSystem) Begin(context.Context, vfs.Op) (vfs.Tx, error) { return nil, syscall.EROFS }

// Sync has nothing to do.
func (fs *FileSystem) Sync(context.Context) error { return nil }

// Close has nothing to do: the device is the caller's.
func (fs *FileSystem) Close(context.Context) error { return nil }

// beyond is the error for a structure that the device's end cuts off.
func (fs *FileSystem) beyond(what string, off int64) error {
	return ondisk.Corrupt(what, off, "beyond the end of the device of %d bytes, though the filesystem has %d: the image is truncated", fs.dev.Size(), fs.geo.Bytes())
}

// verifyHeader is the part of a Verify that all self-describing kinds share:
// the magic must be one of those given, and of version 5 the header must be
// right. It does nothing in version 4.
func (fs *FileSystem) verifyHeader(b []byte, at txn.Addr) error {
	if !fs.geo.CRC {
		return nil
	}
	h := fs.headers.Of(b)
	if h == nil {
		return ondisk.Corrupt("xfs metadata", at.Off, "magic %#x is none of version 5", b[:4])
	}
	return h.Verify(b, at.Off, fs.geo.MetaUUID[:], at.Owner)
}
