package fat

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// A FileSystem is an opened FAT or exFAT volume.
type FileSystem struct {
	dev     block.Device
	geo     *geometry
	info    vfs.Info
	opt     mountOptions
	log     *slog.Logger
	fat     fatTable
	store   *txn.Store // of the FAT and of directories
	dirKind *txn.Kind
	oem     codePage
	folder  func(dst, name []uint16) []uint16 // up-cases, as the volume does
	root    directory
	indexes *block.Cache[uint64, *nameIndex]
	seed    maphash.Seed // of the indexes' hashes
	ex      *exVolume    // nil but for exFAT

	fsInfoOff int64

	freeOnce  sync.Mutex // held while the free clusters are counted
	freeKnown bool
	free      uint64
}

var _ vfs.FileSystem = (*FileSystem)(nil)

const (
	storeBytes = 16 << 20 // of cached FAT and directories, by default
	// dirMax is the largest directory, in bytes: exFAT's limit (exFAT 7.6.6).
	// FAT's own is 2 MiB, which mtools does not keep to.
	dirMax = 256 << 20
)

func newFileSystem(g *geometry, dev block.Device, opt vfs.Options, info vfs.Info) (*FileSystem, error) {
	mo, err := parseOptions(opt.Mount)
	if err != nil {
		return nil, err
	}
	log := opt.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	limit := opt.CacheBytes
	if limit <= 0 {
		limit = storeBytes
	}
	fs := &FileSystem{dev: dev, geo: g, info: info, opt: mo, log: log, oem: mo.oem,
		store:   txn.NewStore(dev, limit),
		seed:    maphash.MakeSeed(),
		dirKind: &txn.Kind{Name: "FAT directory"},
		indexes: block.NewCache[uint64, *nameIndex](indexBytes)}
	fs.fat = fatTable{geo: g, store: fs.store, kind: &txn.Kind{Name: "FAT"}}
	return fs, nil
}

// mountOptions are the filesystem's own: those of mount(8) for vfat that have
// a meaning here.
type mountOptions struct {
	uid, gid     uint32
	dmask, fmask uint32
	zone         int64 // local time minus UTC, in seconds
	oem          codePage
}

func parseOptions(list string) (mountOptions, error) {
	o := mountOptions{dmask: 0o022, fmask: 0o022, oem: codePages()[0]}
	for _, item := range strings.Split(list, ",") {
		key, value, _ := strings.Cut(item, "=")
		bad := func() (mountOptions, error) {
			return o, fmt.Errorf("mount option %q: %w", item, syscall.EINVAL)
		}
		switch key {
		case "uid", "gid":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return bad()
			}
			if key == "uid" {
				o.uid = uint32(n)
			} else {
				o.gid = uint32(n)
			}
		case "umask", "dmask", "fmask":
			n, err := strconv.ParseUint(value, 8, 32)
			if err != nil || n > 0o777 {
				return bad()
			}
			if key != "fmask" {
				o.dmask = uint32(n)
			}
			if key != "dmask" {
				o.fmask = uint32(n)
			}
		case "time_offset":
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil || n < -24*60 || n > 24*60 {
				return bad()
			}
			o.zone = n * 60
		case "codepage":
			found := false
			for _, cp := range codePages() {
				if cp.name == value {
					o.oem, found = cp, true
				}
			}
			if !found {
				return bad()
			}
		}
		// What else an fstab says (utf8, shortname=, errors=) changes nothing
		// for a reader.
	}
	return o, nil
}

// CacheStats say how the cache of metadata does.
func (fs *FileSystem) CacheStats() block.CacheStats { return fs.store.CacheStats() }

// Info describes the volume.
func (fs *FileSystem) Info() vfs.Info { return fs.info }

// rootNum is the root's inode number; see the package comment.
const rootNum = 2

// Root is the root directory.
func (fs *FileSystem) Root() vfs.Ino { return vfs.Ino{Num: rootNum} }

// Devices is the volume.
func (fs *FileSystem) Devices() []block.Device { return []block.Device{fs.dev} }

// Begin refuses: writing comes with the write path.
func (fs *FileSystem) Begin(context.Context, vfs.Op) (vfs.Tx, error) { return nil, syscall.EROFS }

// Sync has nothing to do.
func (fs *FileSystem) Sync(context.Context) error { return nil }

// Close has nothing to do.
func (fs *FileSystem) Close(context.Context) error { return nil }

// A directory is where a directory's entries lie: a chain of clusters, or, for
// the root of FAT12 and FAT16, a fixed place.
type directory struct {
	chain *chain
	size  int64 // exFAT: bytes; 0 in FAT, whose chain alone says it
	off   int64 // without chain
	len   int64
}

// A record is a directory entry, or with pieces a stretch of the file: its
// bytes and where they are in the volume and in the directory.
type record struct {
	b   []byte
	pos int64 // byte offset in the volume
	at  int64 // byte offset in the directory
}

// dirUnit is how much of a directory is read at once, in bytes.
const dirUnit = 64 << 10

// aheadMax bounds what is read of a directory before it is asked for, in bytes.
const aheadMax = 1 << 20

// pieces reads the directory's bytes from byte offset from on, in stretches
// that are multiples of an entry. Who goes on is read ahead, in few large reads.
func (d directory) pieces(ctx context.Context, fs *FileSystem, from int64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		ahead, window := from, int64(0)
		for at := from; ; {
			if err := ctx.Err(); err != nil {
				yield(record{}, err)
				return
			}
			pos, n, err := d.locate(ctx, fs, at)
			if err != nil {
				yield(record{}, err)
				return
			}
			if n == 0 {
				return
			}
			switch {
			case at == from:
				ahead = at + n
			case at >= ahead:
				window = min(max(2*window, dirUnit), aheadMax)
				d.readAhead(ctx, fs, at, window)
				ahead = at + window
			}
			b, err := fs.store.Read(ctx, txn.Addr{Off: pos, Len: int(n)}, fs.dirKind)
			if err != nil {
				yield(record{}, err)
				return
			}
			if d.size > 0 {
				// Whole units are cached; what lies behind the end is cut here.
				b = b[:block.Clamp(at, n, d.size)]
			}
			if !yield(record{b: b, pos: pos, at: at}, nil) {
				return
			}
			at += n
		}
	}
}

// readAhead reads window bytes of the directory from at on into the store. What
// cannot be read is met again when it is asked for.
func (d directory) readAhead(ctx context.Context, fs *FileSystem, at, window int64) {
	var want []txn.Addr
	for end := at + window; at < end; {
		pos, n, err := d.locate(ctx, fs, at)
		if err != nil || n == 0 {
			break
		}
		want = append(want, txn.Addr{Off: pos, Len: int(n)})
		at += n
	}
	fs.store.Prefetch(ctx, want, fs.dirKind)
}

// locate finds the directory's byte at in the volume, and how many bytes from
// there on are read as one. Stretches begin at multiples of the unit, so that
// the same bytes are never cached twice.
func (d directory) locate(ctx context.Context, fs *FileSystem, at int64) (pos, n int64, err error) {
	if d.chain == nil {
		n = block.Clamp(at, dirUnit-at%dirUnit, d.len)
		return d.off + at, n, nil
	}
	unit := min(dirUnit, fs.geo.cluster)
	n = unit - at%unit
	if d.size > 0 && at >= d.size {
		return 0, 0, nil
	}
	index := at / fs.geo.cluster
	if index >= int64(fs.geo.dirClusters()) {
		return 0, 0, ondisk.Corrupt("FAT directory", fs.geo.offset(d.chain.first), "it has more than %d bytes", dirMax)
	}
	c, run, err := d.chain.run(ctx, uint32(index), 1)
	if err != nil || run == 0 {
		return 0, 0, err
	}
	return fs.geo.offset(c) + at%fs.geo.cluster, n, nil
}

// records gives the directory's entries from byte offset from on, each of
// entrySize bytes. from is rounded down to an entry.
func (d directory) records(ctx context.Context, fs *FileSystem, from int64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		from = from / entrySize * entrySize
		unit := int64(dirUnit)
		if d.chain != nil {
			unit = min(dirUnit, fs.geo.cluster)
		}
		for p, err := range d.pieces(ctx, fs, from/unit*unit) {
			if err != nil {
				yield(record{}, err)
				return
			}
			for i := 0; i+entrySize <= len(p.b); i += entrySize {
				if p.at+int64(i) < from {
					continue
				}
				if !yield(record{b: p.b[i : i+entrySize], pos: p.pos + int64(i), at: p.at + int64(i)}, nil) {
					return
				}
			}
		}
	}
}

// readEntry reads the one entry at byte offset pos of the volume.
func (fs *FileSystem) readEntry(ctx context.Context, pos int64) ([]byte, error) {
	// The stretch that the directory's listing has cached, where pos lies in
	// the data area; the fixed root is one stretch by itself.
	g := fs.geo
	base, unit := fs.root.off, int64(dirUnit)
	limit := fs.root.len
	if pos >= g.heapOff {
		base, unit = g.heapOff, min(dirUnit, g.cluster)
		limit = int64(g.clusters) * g.cluster
	}
	if pos < base || pos-base > limit-entrySize || pos%entrySize != 0 {
		return nil, syscall.ESTALE
	}
	start := (pos - base) / unit * unit
	b, err := fs.store.Read(ctx, txn.Addr{Off: base + start, Len: int(min(unit, limit-start))}, fs.dirKind)
	if err == io.ErrUnexpectedEOF {
		err = syscall.EIO
	}
	if err != nil {
		return nil, err
	}
	return b[pos-base-start:][:entrySize], nil
}
