package ntfs

import (
	"bytes"
	"context"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// Features that say why Info.Dirty is set, or what else is not as a clean
// shutdown leaves it.
const (
	featureDirty       = "dirty"        // VOLUME_IS_DIRTY: chkdsk is due
	featureLogUnclean  = "log-unclean"  // $LogFile has records that are not home
	featureFastStart   = "fast-startup" // $LogFile 2.0: metadata may be in Windows' cache
	featureHibernated  = "hibernated"   // hiberfil.sys holds a running system
	maxSystemPage      = 64 << 10
	hibernationCheck   = 4096 // bytes of hiberfil.sys that are looked at
	logMinimum         = 512
	restartAreaMinimum = 16
)

// restartPage is the header of a restart page of $LogFile, and restartArea what
// it points at.
type restartPage []byte

func (p restartPage) systemPageSize() uint32 { return le.Uint32(p[16:]) }
func (p restartPage) areaOffset() uint16     { return le.Uint16(p[24:]) }
func (p restartPage) major() int16           { return int16(le.Uint16(p[28:])) }

type restartArea []byte

func (a restartArea) currentLSN() uint64  { return le.Uint64(a) }
func (a restartArea) clientInUse() uint16 { return le.Uint16(a[12:]) }
func (a restartArea) flags() uint16       { return le.Uint16(a[14:]) }

const (
	logNoClient    = 0xFFFF
	logVolumeClean = 0x0002 // RESTART_VOLUME_IS_CLEAN
)

// readInfo adds to what the boot sector says what $Volume, $LogFile and
// hiberfil.sys do.
func (fs *FileSystem) readInfo(ctx context.Context, root *inode) (vfs.Info, error) {
	info := fs.geo.info()
	info.CaseInsensitive = fs.opt.ignoreCase
	r, err := fs.record(ctx, fileVolume)
	switch {
	case err == nil:
		readVolume(&info, r)
	case ctx.Err() != nil:
		return info, err
	default:
		fs.log.Warn("$Volume cannot be read; label and state of the volume are not known", "error", err)
		info.Dirty = true
	}
	state, err := fs.logState(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return info, err
		}
		fs.log.Warn("$LogFile cannot be read; the volume is taken for dirty", "error", err)
		state = featureLogUnclean
	}
	if state != "" {
		info.Dirty = true
		info.Features = append(info.Features, state)
	}
	hibernated, err := fs.hibernated(ctx, root)
	if err != nil {
		if ctx.Err() != nil {
			return info, err
		}
		fs.log.Warn("hiberfil.sys cannot be read", "error", err)
	}
	if hibernated {
		info.Dirty = true
		info.Features = append(info.Features, featureHibernated)
	}
	if info.Dirty {
		fs.log.Warn("the volume was not unmounted cleanly; it is shown as it is on the disk, without what $LogFile or Windows' memory may hold",
			"state", info.Features)
	}
	return info, nil
}

// logState reads the two restart pages of $LogFile and says what the newer one
// tells: "" for a clean log, or an empty one, which is all ones.
func (fs *FileSystem) logState(ctx context.Context) (string, error) {
	f, err := fs.openRecord(ctx, fileLog)
	if err != nil {
		return "", err
	}
	s, err := f.mustFind(ctx, typeData, nil)
	if err != nil {
		return "", err
	}
	if s.size < logMinimum {
		return "", nil
	}
	var newest restartArea
	var page restartPage
	size := int64(4096)
	for i := range int64(2) {
		b, err := s.restartPage(ctx, i*size)
		if err != nil {
			return "", err
		}
		if b == nil {
			continue
		}
		if n := int64(b.systemPageSize()); i == 0 && n >= usaStride && n <= maxSystemPage {
			size = n
		}
		at := int(b.areaOffset())
		if at+restartAreaMinimum > len(b) {
			continue
		}
		if a := restartArea(b[at:]); newest == nil || a.currentLSN() > newest.currentLSN() {
			newest, page = a, b
		}
	}
	switch {
	case newest == nil:
		var head [16]byte
		if err := s.readFull(ctx, head[:], 0); err != nil {
			return "", err
		}
		if bytes.Count(head[:], []byte{0xFF}) == len(head) {
			return "", nil
		}
		return featureLogUnclean, nil
	case page.major() >= 2:
		return featureFastStart, nil
	case newest.clientInUse() != logNoClient && newest.flags()&logVolumeClean == 0:
		return featureLogUnclean, nil
	}
	return "", nil
}

// restartPage reads the restart page at byte off of $LogFile, or nil where there
// is no intact one.
func (s *stream) restartPage(ctx context.Context, off int64) (restartPage, error) {
	if off+usaStride > s.size {
		return nil, nil
	}
	head := make([]byte, 32)
	if err := s.readFull(ctx, head, off); err != nil {
		return nil, err
	}
	size := int64(restartPage(head).systemPageSize())
	if multiSector(head).magic() != magicRstr || size < usaStride || size > maxSystemPage || size&(size-1) != 0 || off+size > s.size {
		return nil, nil
	}
	b := make([]byte, size)
	if err := s.readFull(ctx, b, off); err != nil {
		return nil, err
	}
	if applyFixups(b) != "" {
		return nil, nil
	}
	return b, nil
}

// hibernated says whether hiberfil.sys holds a system that would go on with
// what it has in memory.
func (fs *FileSystem) hibernated(ctx context.Context, root *inode) (bool, error) {
	ref, err := root.findEntry(ctx, "hiberfil.sys", true)
	if err != nil {
		if err == syscall.ENOENT {
			err = nil
		}
		return false, err
	}
	f, err := fs.openRecord(ctx, ref.number())
	if err != nil {
		if isErrno(err) {
			err = nil
		}
		return false, err
	}
	var s stream
	if ok, err := f.find(ctx, typeData, nil, &s); !ok || err != nil {
		return false, err
	}
	if s.size < hibernationCheck {
		return false, nil
	}
	var magic [4]byte
	if err := s.readFull(ctx, magic[:], 0); err != nil {
		return false, err
	}
	switch string(bytes.ToLower(magic[:])) {
	case "hibr", "rstr":
		return true, nil
	}
	return false, nil
}
