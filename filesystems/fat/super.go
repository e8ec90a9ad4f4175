package fat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// Driver reads FAT12, FAT16 and FAT32.
func Driver() vfs.Driver {
	return vfs.Driver{Name: "vfat", Probe: probeFAT, Open: openFAT}
}

// ExDriver reads exFAT.
func ExDriver() vfs.Driver {
	return vfs.Driver{Name: "exfat", Probe: probeExFAT, Open: openExFAT}
}

// sectorMax is the largest sector of either format, in bytes.
const sectorMax = 4096

// notVfat is Probe's answer for bytes that are no FAT boot sector.
func notVfat() error { return ondisk.NotThis("vfat") }

// parseBoot takes the geometry from a FAT boot sector. FAT has no magic number:
// every field that a formatter must set is asked (fatgen, "BPB").
func parseBoot(b bootSector, size int64) (*geometry, error) {
	sector := int64(b.bytesPerSec())
	perCluster := int64(b.secPerClus())
	jump := b.jump() == 0xEB || b.jump() == 0xE9
	if b.signature() != 0xAA55 || !jump ||
		sector < 512 || sector > sectorMax || sector&(sector-1) != 0 ||
		perCluster == 0 || perCluster&(perCluster-1) != 0 ||
		b.rsvdSecCnt() == 0 || b.numFATs() == 0 || b.numFATs() > 4 ||
		(b.media() != 0xF0 && b.media() < 0xF8) {
		return nil, notVfat()
	}
	total := int64(b.totSec16())
	if total == 0 {
		total = int64(b.totSec32())
	}
	fat32 := b.fatSz16() == 0
	fatSectors := int64(b.fatSz16())
	if fat32 {
		fatSectors = int64(b.fatSz32())
	}
	if total == 0 || fatSectors == 0 {
		return nil, notVfat()
	}
	// All factors are below 2^32 and 2^12: nothing here overflows.
	rootBytes := (int64(b.rootEntCnt())*entrySize + sector - 1) / sector * sector
	reserved := int64(b.rsvdSecCnt()) * sector
	heap := reserved + int64(b.numFATs())*fatSectors*sector + rootBytes
	g := &geometry{sector: sector, cluster: sector * perCluster, size: total * sector,
		fatOff: reserved, fatLen: fatSectors * sector, heapOff: heap}
	if heap >= g.size {
		return nil, ondisk.Corrupt("FAT boot sector", 0, "the data would begin at byte %d of a volume of %d", heap, g.size)
	}
	clusters := (g.size - heap) / g.cluster
	switch {
	case fat32:
		g.bits = 32
		clusters = min(clusters, 0x0FFFFFF5)
	case clusters < 4085:
		g.bits = 12
	default:
		g.bits = 16
	}
	// What the FAT has no entries for cannot be used, as in Linux.
	clusters = min(clusters, g.fatLen*8/int64(g.bits)-2)
	if clusters <= 0 || (g.bits == 16 && clusters > 65524) {
		return nil, ondisk.Corrupt("FAT boot sector", 0, "%d clusters with %d bytes of FAT%d", clusters, g.fatLen, g.bits)
	}
	g.clusters = uint32(clusters)
	if g.size > size {
		return nil, fmt.Errorf("FAT boot sector: the filesystem spans %d bytes of a volume of %d: %w", g.size, size, errTruncated)
	}
	return g, nil
}

// errTruncated says that a filesystem is larger than its volume.
var errTruncated = errors.New("the image is truncated or the partition too small")

func readBoot(ctx context.Context, dev block.Device) (bootSector, error) {
	b := make([]byte, 512)
	if err := block.ReadFull(ctx, dev, b, 0); err != nil {
		if err == io.ErrUnexpectedEOF {
			return nil, notVfat()
		}
		return nil, err
	}
	return b, nil
}

func probeFAT(ctx context.Context, dev block.Device) (vfs.Info, error) {
	b, err := readBoot(ctx, dev)
	if err != nil {
		return vfs.Info{}, err
	}
	g, err := parseBoot(b, dev.Size())
	if errors.Is(err, errTruncated) {
		return vfs.Info{Type: "vfat"}, nil
	}
	if err != nil {
		return vfs.Info{}, err
	}
	info := baseInfo(g, "vfat")
	fillTail(&info, b, g.bits == 32, codePages()[0])
	// The label's own entry in the root outranks the boot sector's copy; it
	// is looked for among the first entries only, since Probe reads little.
	if fs, err := newFAT(b, g, dev, vfs.Options{}); err == nil {
		fs.findLabel(ctx, &info, 128)
	}
	return info, nil
}

func baseInfo(g *geometry, kind string) vfs.Info {
	return vfs.Info{Type: kind, Size: g.size, BlockSize: int(g.cluster), NameMax: nameMax,
		ReadOnly: true, CaseInsensitive: true}
}

const (
	nameUnits = 255           // UTF-16 units of the longest name
	nameMax   = nameUnits * 3 // each at most three bytes of UTF-8
)

func fillTail(info *vfs.Info, b bootSector, fat32 bool, oem codePage) {
	t := b.tail(fat32)
	if sig := t.bootSig(); sig == 0x28 || sig == 0x29 {
		id := t.volID()
		info.UUID = fmt.Sprintf("%04X-%04X", id>>16, id&0xFFFF)
		if sig == 0x29 {
			if label := trimSpaces(t.volLab()); string(label) != "NO NAME" {
				info.Label = oem.decode(label)
			}
		}
	}
}

func trimSpaces(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	return b
}

func openFAT(ctx context.Context, devs []block.Device, opt vfs.Options) (vfs.FileSystem, error) {
	b, err := readBoot(ctx, devs[0])
	if err != nil {
		return nil, err
	}
	g, err := parseBoot(b, devs[0].Size())
	if err != nil {
		return nil, err
	}
	fs, err := newFAT(b, g, devs[0], opt)
	if err != nil {
		return nil, err
	}
	fillTail(&fs.info, b, g.bits == 32, fs.oem)
	if fs.info.Dirty, err = fs.markedDirty(ctx, b); err != nil {
		return nil, err
	}
	fs.findLabel(ctx, &fs.info, 0)
	return fs, nil
}

// newFAT makes the FileSystem of a parsed boot sector, reading nothing more.
func newFAT(b bootSector, g *geometry, dev block.Device, opt vfs.Options) (*FileSystem, error) {
	fs, err := newFileSystem(g, dev, opt, baseInfo(g, "vfat"))
	if err != nil {
		return nil, err
	}
	fs.folder = foldSimple
	if g.bits == 32 {
		if b.fsVer() != 0 {
			return nil, ondisk.Unsupported("FAT32 filesystem", "version %d.%d", b.fsVer()>>8, b.fsVer()&0xFF)
		}
		if flags := b.extFlags(); flags&0x80 != 0 {
			active := int64(flags & 0xF)
			if active >= int64(b.numFATs()) {
				return nil, ondisk.Corrupt("FAT boot sector", 40, "FAT %d of %d is the active one", active, b.numFATs())
			}
			g.fatOff += active * g.fatLen
		}
		if !g.has(b.rootClus()) {
			return nil, ondisk.Corrupt("FAT boot sector", 44, "the root directory is in cluster %d of %d", b.rootClus(), g.clusters)
		}
		fs.root = directory{chain: newChain(&fs.fat, b.rootClus(), false, g.dirClusters())}
		fs.fsInfoOff = int64(b.fsInfo()) * g.sector
	} else {
		rootBytes := int64(b.rootEntCnt()) * entrySize
		fs.root = directory{off: g.heapOff - (rootBytes+g.sector-1)/g.sector*g.sector, len: rootBytes}
	}
	return fs, nil
}

// stateDirty in the boot sector's byte for it is how Windows NT and Linux mark
// a volume in use.
const stateDirty = 0x01

// markedDirty says whether the boot sector does, or the second FAT entry
// (fatgen, "FAT Data Structure": ClnShutBitMask), whose bit is set while all is
// clean. FAT12 has no room for that.
func (fs *FileSystem) markedDirty(ctx context.Context, boot bootSector) (bool, error) {
	if boot.tail(fs.geo.bits == 32).state()&stateDirty != 0 {
		return true, nil
	}
	if fs.geo.bits == 12 {
		return false, nil
	}
	b := make([]byte, 8)
	if err := block.ReadFull(ctx, fs.dev, b, fs.geo.fatOff); err != nil {
		return false, err
	}
	if fs.geo.bits == 16 {
		return le.Uint16(b[2:])&0x8000 == 0, nil
	}
	return le.Uint32(b[4:])&0x08000000 == 0, nil
}

// findLabel looks for the volume label among the root's entries, the first max
// of them, all where max is 0.
func (fs *FileSystem) findLabel(ctx context.Context, info *vfs.Info, max int) {
	n := 0
	for rec, err := range fs.root.records(ctx, fs, 0) {
		if n++; err != nil || (max > 0 && n > max) || rec.b[0] == entryEnd {
			return
		}
		e := shortEntry(rec.b)
		if e[0] != entryFree && e.attr()&attrLongMask != attrLongName && e.attr()&(attrVolumeID|attrDirectory) == attrVolumeID {
			name := append([]byte(nil), e.name()...)
			if name[0] == entryKanjiE5 {
				name[0] = entryFree
			}
			info.Label = fs.oem.decode(trimSpaces(name))
			return
		}
	}
}

// countFree counts the free clusters in the FAT.
func (fs *FileSystem) countFree(ctx context.Context) (uint64, error) {
	g := fs.geo
	free := uint64(0)
	buf := make([]byte, 256*fatUnit/4)
	end := (int64(g.clusters+2)*int64(min(g.bits, 32)) + 7) / 8
	for pos := int64(0); pos < end; {
		n := min(int64(len(buf)), g.fatLen-pos)
		if err := block.ReadFull(ctx, fs.dev, buf[:n], g.fatOff+pos); err != nil {
			return 0, err
		}
		free += freeEntries(g, buf[:n], pos)
		pos += n
	}
	return free, nil
}

// freeEntries counts the free data clusters in the stretch b of the FAT at pos.
func freeEntries(g *geometry, b []byte, pos int64) (free uint64) {
	first := uint32(pos * 8 / int64(g.bits))
	for c := first; c < g.clusters+2; c++ {
		at := int64(c)*int64(g.bits)/8 - pos
		var v uint32
		switch g.bits {
		case 12:
			if at+2 > int64(len(b)) {
				return free
			}
			v = uint32(le.Uint16(b[at:]))
			if c&1 != 0 {
				v >>= 4
			} else {
				v &= 0xFFF
			}
		case 16:
			if at+2 > int64(len(b)) {
				return free
			}
			v = uint32(le.Uint16(b[at:]))
		default:
			if at+4 > int64(len(b)) {
				return free
			}
			v = le.Uint32(b[at:]) & 0x0FFFFFFF
		}
		if c >= 2 && v == 0 {
			free++
		}
	}
	return free
}

// Usage counts the free clusters. FAT32 trusts FSInfo where it is plausible and
// the volume clean; exFAT counts its bitmap.
func (fs *FileSystem) Usage(ctx context.Context) (vfs.Usage, error) {
	fs.freeOnce.Lock()
	defer fs.freeOnce.Unlock()
	if !fs.freeKnown {
		free, err := fs.findFree(ctx)
		if err != nil {
			return vfs.Usage{}, err
		}
		fs.free, fs.freeKnown = free, true
	}
	return vfs.Usage{BlockSize: int(fs.geo.cluster), Blocks: uint64(fs.geo.clusters), Free: fs.free, Available: fs.free}, nil
}

func (fs *FileSystem) findFree(ctx context.Context) (uint64, error) {
	if fs.ex != nil {
		return fs.countBitmap(ctx)
	}
	if fs.fsInfoOff > 0 && fs.fsInfoOff < fs.geo.fatOff && !fs.info.Dirty {
		b := make([]byte, 512)
		if err := block.ReadFull(ctx, fs.dev, b, fs.fsInfoOff); err != nil {
			return 0, err
		}
		if i := fsInfoSector(b); i.leadSig() == fsInfoLeadSig && i.strucSig() == fsInfoStrucSig && i.freeCount() <= fs.geo.clusters {
			return uint64(i.freeCount()), nil
		}
	}
	return fs.countFree(ctx)
}

// countBitmap counts the zero bits of exFAT's allocation bitmap.
func (fs *FileSystem) countBitmap(ctx context.Context) (uint64, error) {
	used := uint64(0)
	left := int64(fs.geo.clusters)
	if fs.ex.bitmap.size < (left+7)/8 {
		return 0, ondisk.Corrupt("exFAT allocation bitmap", fs.geo.offset(fs.ex.bitmap.chain.first), "%d bytes for %d clusters", fs.ex.bitmap.size, left)
	}
	for rec, err := range fs.ex.bitmap.pieces(ctx, fs, 0) {
		if err != nil {
			return 0, err
		}
		b := rec.b
		for len(b) >= 8 && left >= 64 {
			used += uint64(bits.OnesCount64(binary.LittleEndian.Uint64(b)))
			b, left = b[8:], left-64
		}
		for len(b) > 0 && left > 0 {
			v := b[0]
			if left < 8 {
				v &= 1<<left - 1
			}
			used += uint64(bits.OnesCount8(v))
			b, left = b[1:], left-8
		}
		if left <= 0 {
			break
		}
	}
	return uint64(fs.geo.clusters) - min(used, uint64(fs.geo.clusters)), nil
}
