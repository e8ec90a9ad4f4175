package btrfs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/codec"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// defaultCacheBytes bounds the metadata cache where the caller does not.
	defaultCacheBytes = 64 << 20
	// decodedBytes bounds the cache of decompressed extents.
	decodedBytes = 32 << 20

	// nameMax is the length of the longest name, in bytes.
	nameMax = 255
)

// FileSystem is an opened btrfs filesystem, shown from one of its subvolumes.
type FileSystem struct {
	log  *slog.Logger
	opts options
	sb   superblock
	geo  geometry

	// fsid is what tree blocks name, and fsids these and those of seeds; nil
	// while the chunk tree is not read.
	fsid   [uuidSize]byte
	fsids  map[[uuidSize]byte]bool
	chunks *chunkMap
	devs   []block.Device

	blocks  *block.Cache[uint64, node]   // by logical address
	decoded *block.Cache[uint64, []byte] // decompressed extents, by logical address
	buffers sync.Pool                    // *[]byte
	zlib    *codec.Codec
	zstd    *codec.Codec

	roots *tree // the tree of roots
	sums  *tree // checksums of data; nil where there is no such tree
	main  uint64
	after *recovered // what the log changes; nil for most filesystems

	mu         sync.Mutex // guards subvolumes; nothing is called while it is held
	subvolumes map[uint64]*subvolume
}

// Driver is the driver of btrfs.
func Driver() vfs.Driver { return vfs.Driver{Name: "btrfs", Probe: probe, Open: open} }

// probe looks at the first superblock's magic. What else is wrong with it is
// open's to say.
func probe(ctx context.Context, dev block.Device) (vfs.Info, error) {
	sb, err := readSuperAt(ctx, dev, superFirst)
	if err != nil {
		return vfs.Info{}, err
	}
	if best, err := bestSuper(ctx, dev); err == nil {
		sb = best
	}
	return superInfo(sb), nil
}

// open reads the superblocks, the chunk tree and the roots, replays the log
// into memory and reads the root of the subvolume that is asked for.
func open(ctx context.Context, devs []block.Device, opt vfs.Options) (vfs.FileSystem, error) {
	if len(devs) == 0 {
		return nil, syscall.EINVAL
	}
	if opt.Writable {
		return nil, &ondisk.UnsupportedError{What: whatFS, Detail: "writing", Remedy: "open it read-only"}
	}
	fs := &FileSystem{log: opt.Log, devs: devs, zlib: codec.Zlib(), zstd: codec.Zstd(), subvolumes: map[uint64]*subvolume{}}
	if fs.log == nil {
		fs.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if fs.opts, err = parseOptions(opt.Mount); err != nil {
		return nil, err
	}
	limit := opt.CacheBytes
	if limit <= 0 {
		limit = defaultCacheBytes
	}
	fs.blocks = block.NewCache[uint64, node](limit)
	fs.decoded = block.NewCache[uint64, []byte](min(limit, decodedBytes))
	if err := fs.assemble(ctx); err != nil {
		return nil, err
	}
	if err := fs.readRoots(ctx); err != nil {
		return nil, err
	}
	if fs.sb.logRoot() != 0 && !opt.NoRecovery && !fs.opts.noLog {
		if err := fs.recoverLog(ctx); err != nil {
			return nil, fmt.Errorf("the log cannot be replayed: %w; norecovery opens the filesystem as it is without it", err)
		}
	}
	if fs.main, err = fs.choose(ctx); err != nil {
		return nil, err
	}
	root, err := fs.iget(ctx, fs.Root())
	if err != nil {
		return nil, err
	}
	if root.fileType() != syscall.S_IFDIR {
		return nil, root.corrupt("the root has the mode %#o", root.raw.mode())
	}
	return fs, nil
}

// assemble reads the superblocks of the devices and the chunk tree.
func (fs *FileSystem) assemble(ctx context.Context) error {
	supers := make([]superblock, len(fs.devs))
	var first error
	var best superblock
	for i, dev := range fs.devs {
		sb, err := bestSuper(ctx, dev)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		supers[i] = sb
		switch {
		case best == nil:
			best = sb
		case bytes.Equal(sb.fsid(), best.fsid()):
			if sb.generation() > best.generation() {
				best = sb
			}
		case best.flags()&superFlagSeeding != 0 && sb.flags()&superFlagSeeding == 0:
			best = sb // the filesystem that grew out of the seed
		}
	}
	if best == nil {
		return first
	}
	fs.sb = best
	if err := checkFeatures(best); err != nil {
		return err
	}
	var err error
	if fs.geo, err = newGeometry(best); err != nil {
		return err
	}
	fs.fsid = [uuidSize]byte(best.fsid())
	if best.incompat()&incompatMetadataUUID != 0 {
		fs.fsid = [uuidSize]byte(best.metadataUUID())
	}
	fs.chunks = &chunkMap{ms: gather(ctx, fs.devs, supers, best, fs.log)}
	if err := fs.chunks.addArray(best); err != nil {
		return err
	}
	if err := fs.readChunkTree(ctx, blockRef{best.chunkRoot(), best.chunkGeneration(), int(best.chunkLevel())}); err != nil {
		return fmt.Errorf("reading the chunk tree: %w", err)
	}
	if n := fs.chunks.ms.missing; n > 0 {
		fs.log.WarnContext(ctx, "btrfs: devices of the filesystem are missing; what has no copy on the others cannot be read",
			slog.Int("missing", n), slog.Uint64("devices", best.numDevices()))
	}
	return nil
}

// readRoots finds the tree of roots and the trees that are always needed.
func (fs *FileSystem) readRoots(ctx context.Context) error {
	try := func(ref blockRef) error {
		fs.roots = &tree{fs: fs, id: rootTreeID, root: ref}
		fs.sums = nil
		_, err := fs.block(ctx, ref, rootTreeID)
		if err != nil {
			return fmt.Errorf("reading the tree of roots: %w", err)
		}
		t, _, err := fs.rootOf(ctx, csumTreeID)
		if err != nil && err != syscall.ENOENT {
			return err
		}
		fs.sums = t
		return nil
	}
	err := try(blockRef{fs.sb.root(), fs.sb.generation(), int(fs.sb.rootLevel())})
	if err == nil || !fs.opts.backupRoot {
		if isDamage(err) {
			err = fmt.Errorf("%w; the option usebackuproot tries older roots", err)
		}
		return err
	}
	for age := range uint64(backupRoots) {
		for i := range backupRoots {
			b := fs.sb.backup(i)
			if b.treeRootGen()+age+1 != fs.sb.generation() || b.treeRootLevel() > maxLevel {
				continue
			}
			if try(blockRef{b.treeRoot(), b.treeRootGen(), int(b.treeRootLevel())}) == nil {
				fs.log.WarnContext(ctx, "btrfs: an older root is used", slog.Uint64("generation", b.treeRootGen()), slog.Any("error", err))
				fs.opts.noLog = true // it belongs to the newest root
				return nil
			}
		}
	}
	return err
}

// Info describes the filesystem.
func (fs *FileSystem) Info() vfs.Info {
	info := superInfo(fs.sb)
	info.Replayed = fs.after != nil
	return info
}

// Root is the root of the subvolume that is shown. Its tree is 0, so that its
// inodes keep their numbers; other subvolumes have their own.
func (fs *FileSystem) Root() vfs.Ino { return vfs.Ino{Num: firstFreeID} }

// Devices are the devices as given.
func (fs *FileSystem) Devices() []block.Device { return fs.devs }

// Begin answers EROFS: this driver reads.
func (fs *FileSystem) Begin(context.Context, vfs.Op) (vfs.Tx, error) { return nil, syscall.EROFS }

// Sync has nothing to do.
func (fs *FileSystem) Sync(context.Context) error { return nil }

// Close has nothing to do: the devices are the caller's.
func (fs *FileSystem) Close(context.Context) error { return nil }
