package ntfs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/codec"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// defaultCacheBytes bounds each of the metadata caches, $MFT's and that of
	// the rest, where the caller does not.
	defaultCacheBytes = 24 << 20
	// unitCacheBytes bounds the decoded units and chunks.
	unitCacheBytes = 16 << 20
)

// A FileSystem is an opened NTFS volume.
type FileSystem struct {
	dev        block.Device
	geo        *geometry
	opt        mountOptions
	log        *slog.Logger
	cacheBytes int64

	mft     *mft
	records *txn.Store // over mft
	store   *txn.Store // over dev: index blocks
	kinds   kinds
	units   *block.Cache[unitKey, []byte]
	buffers sync.Pool // *[]byte, of compressed bytes
	lznt1   *codec.Codec
	xpress  *codec.Codec
	lzx     *codec.Codec

	info        vfs.Info
	upcaseTable atomic.Pointer[upcaseTable]
	security    security
	warned      atomic.Bool // of $MFTMirr in use

	usageMu sync.Mutex // held while free clusters and records are counted
	usage   *vfs.Usage
}

var (
	_ vfs.FileSystem = (*FileSystem)(nil)
	_ vfs.Prefetcher = (*FileSystem)(nil)
)

// kinds are the types of metadata buffers, verified as they enter memory.
type kinds struct {
	records *txn.Kind // several MFT records
	index   *txn.Kind // an index block
}

// Driver is the driver of NTFS.
func Driver() vfs.Driver { return vfs.Driver{Name: "ntfs", Probe: probe, Open: open} }

// probe looks at the boot sector, and at $Volume for the label.
func probe(ctx context.Context, dev block.Device) (vfs.Info, error) {
	g, err := readBoot(ctx, dev)
	if err != nil {
		if isDamage(err) {
			// It is NTFS; open says what is wrong.
			return vfs.Info{Type: "ntfs", NameMax: nameMax, ReadOnly: true, HasXattrs: true}, nil
		}
		return vfs.Info{}, err
	}
	info := g.info()
	for _, mft := range []int64{g.mft, g.mirr} {
		r, err := readDirect(ctx, dev, g, mft+fileVolume*g.record, fileVolume)
		if err == nil {
			readVolume(&info, r)
			break
		}
		if ctx.Err() != nil {
			return vfs.Info{}, ctx.Err()
		}
	}
	return info, nil
}

func isDamage(err error) bool {
	_, ok := asCorrupt(err)
	return ok
}

func asCorrupt(err error) (c *ondisk.CorruptError, ok bool) {
	ok = errors.As(err, &c)
	return c, ok
}

// info is what the boot sector tells.
func (g *geometry) info() vfs.Info {
	return vfs.Info{Type: "ntfs", UUID: fmt.Sprintf("%016X", g.serial), Size: g.size(), BlockSize: int(g.cluster),
		NameMax: nameMax, ReadOnly: true, HasXattrs: true, NoACLs: true}
}

// readVolume adds what the record of $Volume tells: label, version, dirty flag.
func readVolume(info *vfs.Info, r record) {
	for at := int(r.attrsOffset()); ; {
		a, problem := r.attr(at)
		if problem != "" || a == nil {
			return
		}
		at += len(a)
		switch {
		case a.nonResident():
		case a.typ() == typeVolumeName:
			info.Label = cutNUL(decodeText(a.value()))
		case a.typ() == typeVolumeInformation && len(a.value()) >= volumeInfoSize:
			v := volumeInfo(a.value())
			info.Features = append(info.Features, fmt.Sprintf("ntfs-%d.%d", v.major(), v.minor()))
			if v.flags()&volumeIsDirty != 0 {
				info.Dirty = true
				info.Features = append(info.Features, featureDirty)
			}
		}
	}
}

// open reads the boot sector, finds $MFT and reads the root.
func open(ctx context.Context, devs []block.Device, opt vfs.Options) (vfs.FileSystem, error) {
	if len(devs) != 1 {
		return nil, syscall.EINVAL
	}
	if opt.Writable {
		return nil, &ondisk.UnsupportedError{What: "NTFS filesystem", Detail: "writing", Remedy: "open it read-only"}
	}
	mo, err := parseOptions(opt.Mount)
	if err != nil {
		return nil, err
	}
	fs := &FileSystem{dev: devs[0], opt: mo, log: opt.Log, cacheBytes: opt.CacheBytes,
		units: block.NewCache[unitKey, []byte](unitCacheBytes), lznt1: codec.LZNT1(), xpress: codec.XPRESS(), lzx: codec.LZX()}
	if fs.log == nil {
		fs.log = slog.New(slog.DiscardHandler)
	}
	if fs.cacheBytes <= 0 {
		fs.cacheBytes = defaultCacheBytes
	}
	if fs.geo, err = readBoot(ctx, fs.dev); err != nil {
		return nil, err
	}
	fs.kinds = kinds{records: &txn.Kind{Name: "NTFS MFT records", Verify: fs.verifyRecords},
		index: &txn.Kind{Name: "NTFS index block", Verify: fs.verifyIndex}}
	fs.store = txn.NewStore(fs.dev, fs.cacheBytes)
	if fs.geo.truncatedTo > 0 {
		fs.log.Warn("the device is smaller than its NTFS volume; what lies beyond its end cannot be read",
			"device", fs.dev.Size(), "volume", fs.geo.size())
	}
	if err := fs.loadMFT(ctx); err != nil {
		return nil, err
	}
	root, err := fs.openInode(ctx, fs.Root())
	if err != nil {
		if isErrno(err) {
			err = fs.corruptRecord(fileRoot, "it is the root and not in use")
		}
		return nil, err
	}
	if !root.isDir() {
		return nil, fs.corruptRecord(fileRoot, "it is the root and no directory")
	}
	if fs.info, err = fs.readInfo(ctx, root); err != nil {
		return nil, err
	}
	return fs, nil
}

// mountOptions are the filesystem's own: those of ntfs-3g that have a meaning
// here.
type mountOptions struct {
	uid, gid     uint32
	dmask, fmask uint32
	ignoreCase   bool
	permissions  bool
	showSystem   bool
}

func parseOptions(list string) (mountOptions, error) {
	var o mountOptions
	for _, item := range strings.Split(list, ",") {
		key, value, _ := strings.Cut(item, "=")
		base := 10
		if strings.HasSuffix(key, "mask") {
			base = 8
		}
		n, err := strconv.ParseUint(value, base, 32)
		switch key {
		case "uid":
			o.uid = uint32(n)
		case "gid":
			o.gid = uint32(n)
		case "umask":
			o.dmask, o.fmask = uint32(n)&0o777, uint32(n)&0o777
		case "dmask":
			o.dmask = uint32(n) & 0o777
		case "fmask":
			o.fmask = uint32(n) & 0o777
		case "ignore_case":
			o.ignoreCase, err = true, nil
		case "permissions":
			o.permissions, err = true, nil
		case "show_sys_files":
			o.showSystem, err = true, nil
		default:
			// What else an fstab says changes nothing for a reader.
			err = nil
		}
		if err != nil {
			return o, fmt.Errorf("mount option %q: %w", item, syscall.EINVAL)
		}
	}
	return o, nil
}

// CacheStats say how the caches of metadata do.
func (fs *FileSystem) CacheStats() block.CacheStats {
	all := fs.records.CacheStats()
	all.Add(fs.store.CacheStats())
	return all
}

// Info describes the volume.
func (fs *FileSystem) Info() vfs.Info { return fs.info }

// Root is record 5.
func (fs *FileSystem) Root() vfs.Ino { return vfs.Ino{Num: fileRoot} }

// Devices is the volume.
func (fs *FileSystem) Devices() []block.Device { return []block.Device{fs.dev} }

// Begin refuses: this driver reads.
func (fs *FileSystem) Begin(context.Context, vfs.Op) (vfs.Tx, error) { return nil, syscall.EROFS }

// Sync has nothing to do.
func (fs *FileSystem) Sync(context.Context) error { return nil }

// Close has nothing to do: the device is the caller's.
func (fs *FileSystem) Close(context.Context) error { return nil }

// beyond is the error for what the device's end cuts off.
func (fs *FileSystem) beyond(what string, off int64) error {
	return ondisk.Corrupt(what, off, "beyond the end of the device of %d bytes, though the volume has %d: the image is truncated", fs.dev.Size(), fs.geo.size())
}
