package fat

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// exVolume is what only exFAT has.
type exVolume struct {
	bitmap directory // the allocation bitmap's place
	upcase []uint16  // of the 65,536 UTF-16 units; nil: by Unicode
}

// readExBoot reads the main boot sector, or where its region's checksum is
// wrong the backup's (exFAT 3.4). backup says which.
func readExBoot(ctx context.Context, dev block.Device) (b exBoot, backup bool, err error) {
	first := make([]byte, 512)
	if err := block.ReadFull(ctx, dev, first, 0); err != nil {
		if err == io.ErrUnexpectedEOF {
			return nil, false, ondisk.NotThis("exfat")
		}
		return nil, false, err
	}
	b = exBoot(first)
	if b.name() != exName || b.signature() != 0xAA55 {
		return nil, false, ondisk.NotThis("exfat")
	}
	for _, z := range b.mustBeZero() {
		if z != 0 {
			return nil, false, ondisk.NotThis("exfat")
		}
	}
	if s := b.sectorShift(); s < 9 || s > 12 {
		return nil, false, ondisk.Corrupt("exFAT boot sector", 108, "sectors of 2^%d bytes", s)
	}
	bad := checkExRegion(ctx, dev, 0, b.sectorShift())
	if bad == nil {
		return b, false, nil
	}
	if checkExRegion(ctx, dev, exBootRegion, b.sectorShift()) != nil {
		return nil, false, bad
	}
	second := make([]byte, 512)
	if err := block.ReadFull(ctx, dev, second, exBootRegion<<b.sectorShift()); err != nil {
		return nil, false, err
	}
	if exBoot(second).name() != exName || exBoot(second).sectorShift() != b.sectorShift() {
		return nil, false, bad
	}
	return exBoot(second), true, nil
}

// checkExRegion verifies the checksum of the boot region that begins at sector
// start (exFAT 3.4): eleven sectors without VolumeFlags and PercentInUse.
func checkExRegion(ctx context.Context, dev block.Device, start int64, shift uint8) error {
	region := make([]byte, exBootRegion<<shift)
	if err := block.ReadFull(ctx, dev, region, start<<shift); err != nil {
		return err
	}
	var sum uint32
	for i, v := range region[:11<<shift] {
		if i == 106 || i == 107 || i == 112 {
			continue
		}
		sum = (sum>>1 | sum<<31) + uint32(v)
	}
	if stored := le.Uint32(region[11<<shift:]); stored != sum {
		return ondisk.BadChecksum("exFAT boot region", start<<shift, stored, sum)
	}
	return nil
}

func parseExBoot(b exBoot, size int64) (*geometry, error) {
	corrupt := func(off int64, format string, args ...any) error {
		return ondisk.Corrupt("exFAT boot sector", off, format, args...)
	}
	if b.revision()>>8 != 1 {
		return nil, ondisk.Unsupported("exFAT filesystem", "revision %d.%02d", b.revision()>>8, b.revision()&0xFF)
	}
	ss, cs := b.sectorShift(), b.clusterShift()
	if cs > 25-ss {
		return nil, corrupt(109, "clusters of 2^%d sectors of 2^%d bytes", cs, ss)
	}
	if n := b.numberOfFats(); n != 1 && n != 2 {
		return nil, corrupt(110, "%d FATs", n)
	}
	if b.volumeLength() > 1<<62>>ss {
		return nil, corrupt(72, "a volume of %d sectors", b.volumeLength())
	}
	g := &geometry{bits: 64, sector: 1 << ss, cluster: 1 << (ss + cs), clusters: b.clusterCount(),
		fatOff: int64(b.fatOffset()) << ss, fatLen: int64(b.fatLength()) << ss,
		heapOff: int64(b.heapOffset()) << ss, size: int64(b.volumeLength()) << ss}
	if g.clusters == 0 || g.clusters > 0xFFFFFFF5 || g.fatLen < (int64(g.clusters)+2)*4 {
		return nil, corrupt(92, "%d clusters with a FAT of %d bytes", g.clusters, g.fatLen)
	}
	if !ondisk.Fits(g.heapOff, int64(g.clusters)*g.cluster, g.size) || g.fatOff+g.fatLen*int64(b.numberOfFats()) > g.heapOff {
		return nil, corrupt(88, "%d clusters from byte %d on in a volume of %d bytes", g.clusters, g.heapOff, g.size)
	}
	if b.volumeFlags()&exActiveFat != 0 && b.numberOfFats() == 2 {
		g.fatOff += g.fatLen
		g.second = true
	}
	if !g.has(b.rootCluster()) {
		return nil, corrupt(96, "the root directory is in cluster %d of %d", b.rootCluster(), g.clusters)
	}
	if g.size > size {
		return nil, fmt.Errorf("exFAT boot sector: the filesystem spans %d bytes of a volume of %d: %w", g.size, size, errTruncated)
	}
	return g, nil
}

func exInfo(b exBoot) vfs.Info {
	id := b.serial()
	return vfs.Info{Type: "exfat", UUID: fmt.Sprintf("%04X-%04X", id>>16, id&0xFFFF), NameMax: nameMax,
		ReadOnly: true, CaseInsensitive: true, Dirty: b.volumeFlags()&exDirty != 0}
}

func probeExFAT(ctx context.Context, dev block.Device) (vfs.Info, error) {
	b, _, err := readExBoot(ctx, dev)
	if err != nil {
		if isDamage(err) {
			return vfs.Info{Type: "exfat"}, nil
		}
		return vfs.Info{}, err
	}
	info := exInfo(b)
	g, err := parseExBoot(b, dev.Size())
	if err != nil {
		// Open says what is wrong.
		return info, nil
	}
	info.Size, info.BlockSize = g.size, int(g.cluster)
	if fs, err := newExFAT(b, g, dev, vfs.Options{}); err == nil {
		_ = fs.readRoot(ctx, false)
		info.Label = fs.info.Label
	}
	return info, nil
}

func openExFAT(ctx context.Context, devs []block.Device, opt vfs.Options) (vfs.FileSystem, error) {
	b, backup, err := readExBoot(ctx, devs[0])
	if err != nil {
		return nil, err
	}
	g, err := parseExBoot(b, devs[0].Size())
	if err != nil {
		return nil, err
	}
	fs, err := newExFAT(b, g, devs[0], opt)
	if err != nil {
		return nil, err
	}
	if backup {
		fs.log.Warn("the main boot region of the exFAT volume is damaged; its backup is used")
	}
	if err := fs.readRoot(ctx, true); err != nil {
		return nil, err
	}
	return fs, nil
}

func newExFAT(b exBoot, g *geometry, dev block.Device, opt vfs.Options) (*FileSystem, error) {
	info := exInfo(b)
	info.Size, info.BlockSize = g.size, int(g.cluster)
	fs, err := newFileSystem(g, dev, opt, info)
	if err != nil {
		return nil, err
	}
	fs.ex = &exVolume{}
	fs.folder = fs.exFold
	fs.root = directory{chain: newChain(&fs.fat, b.rootCluster(), false, g.dirClusters())}
	return fs, nil
}

// exFold up-cases by the volume's table (exFAT 7.2).
func (fs *FileSystem) exFold(dst, name []uint16) []uint16 {
	if fs.ex.upcase == nil {
		return foldSimple(dst, name)
	}
	for _, u := range name {
		dst = append(dst, fs.ex.upcase[u])
	}
	return dst
}

// readRoot finds the volume's own entries in the root: label, and where tables
// is set the bitmap and the up-case table.
func (fs *FileSystem) readRoot(ctx context.Context, tables bool) error {
	n := 0
	for rec, err := range fs.root.records(ctx, fs, 0) {
		if err != nil {
			return err
		}
		e := exEntry(rec.b)
		if n++; e.kind() == exEnd || (!tables && n > 16) {
			break
		}
		switch e.kind() {
		case exLabel:
			units := make([]uint16, 0, 11)
			for i := range min(int(e.labelCount()), 11) {
				units = append(units, le.Uint16(e.label()[2*i:]))
			}
			fs.info.Label = decodeUnits(units)
		case exBitmap:
			second := e.bitmapFlags()&1 != 0
			if tables && second == fs.geo.second {
				if fs.ex.bitmap, err = fs.exStretch(e, rec.pos); err != nil {
					return err
				}
			}
		case exUpcase:
			if tables {
				if err := fs.readUpcase(ctx, e, rec.pos); err != nil {
					fs.log.Warn("the up-case table of the exFAT volume is damaged; names are folded by Unicode", "err", err)
				}
			}
		}
	}
	if tables && fs.ex.bitmap.chain == nil {
		return ondisk.Corrupt("exFAT root directory", fs.geo.offset(fs.root.chain.first), "there is no allocation bitmap")
	}
	return nil
}

// exStretch is the place that a bitmap or up-case table entry names.
func (fs *FileSystem) exStretch(e exEntry, pos int64) (directory, error) {
	g := fs.geo
	length := e.dataLength()
	if !g.has(e.firstCluster()) || length == 0 || length > uint64(g.clusters)*uint64(g.cluster) {
		return directory{}, ondisk.Corrupt("exFAT directory entry", pos, "%d bytes from cluster %d on", length, e.firstCluster())
	}
	n := (int64(length) + g.cluster - 1) / g.cluster
	return directory{chain: newChain(&fs.fat, e.firstCluster(), false, uint32(n)), size: int64(length)}, nil
}

// upcaseMax is the size of an up-case table that is not compressed, in bytes.
const upcaseMax = 65536 * 2

func (fs *FileSystem) readUpcase(ctx context.Context, e exEntry, pos int64) error {
	d, err := fs.exStretch(e, pos)
	if err != nil {
		return err
	}
	if d.size > upcaseMax || d.size%2 != 0 {
		return ondisk.Corrupt("exFAT up-case table", pos, "%d bytes", d.size)
	}
	b := make([]byte, 0, d.size)
	for p, err := range d.pieces(ctx, fs, 0) {
		if err != nil {
			return err
		}
		b = append(b, p.b...)
	}
	if int64(len(b)) < d.size {
		return ondisk.Corrupt("exFAT up-case table", pos, "its chain has %d of %d bytes", len(b), d.size)
	}
	var sum uint32
	for _, v := range b {
		sum = (sum>>1 | sum<<31) + uint32(v)
	}
	if stored := e.tableChecksum(); stored != sum {
		return ondisk.BadChecksum("exFAT up-case table", pos, stored, sum)
	}
	fs.ex.upcase = expandUpcase(b)
	return nil
}

// expandUpcase undoes the table's compression: FFFFh and a count stand for that
// many units which are their own upper case (exFAT 7.2.5.1).
func expandUpcase(b []byte) []uint16 {
	table := make([]uint16, 65536)
	for i := range table {
		table[i] = uint16(i)
	}
	at := 0
	for i := 0; i+1 < len(b) && at < len(table); i += 2 {
		u := le.Uint16(b[i:])
		if u == 0xFFFF && i+3 < len(b) {
			i += 2
			at += int(le.Uint16(b[i:]))
			continue
		}
		table[at] = u
		at++
	}
	return table
}

// An entrySet is a file's entries (exFAT 6.3), parsed.
type entrySet struct {
	file, stream [entrySize]byte
	units        []uint16
}

// exSum continues a set's checksum with one entry (exFAT 6.3.3); the file
// entry's own checksum field does not count.
func exSum(sum uint16, e []byte, first bool) uint16 {
	for i, v := range e {
		if first && (i == 2 || i == 3) {
			continue
		}
		sum = (sum>>1 | sum<<15) + uint16(v)
	}
	return sum
}

// exItems lists an exFAT directory from byte offset from on.
func (fs *FileSystem) exItems(ctx context.Context, d directory, from int64) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		var set setReader
		for rec, err := range d.records(ctx, fs, from) {
			if err != nil {
				yield(item{}, err)
				return
			}
			kind := rec.b[0]
			if kind == exEnd {
				return
			}
			done, err := set.add(rec)
			if err != nil {
				// It is this entry's alone: the others can be told.
				if !yield(item{}, err) {
					return
				}
				continue
			}
			if !done {
				continue
			}
			num := uint64(set.pos/entrySize) * 2
			if d.chain != nil && d.chain.contiguous {
				num++
			}
			it := item{num: num, units: set.units, name: decodeUnits(set.units),
				dir: exEntry(set.file[:]).attributes()&attrDirectory != 0, at: set.at, next: rec.at + entrySize}
			if !showable(it.name) {
				fs.log.Warn("a directory entry has a name that cannot be shown", "off", set.pos, "name", it.name)
				continue
			}
			if !yield(it, nil) {
				return
			}
		}
	}
}

// A setReader gathers entry sets from a directory's entries in order.
type setReader struct {
	entrySet
	pos    int64 // of the file entry in the volume
	at     int64 // and in the directory
	left   int   // secondary entries to come; 0: none under way
	seen   int
	sum    uint16
	stored uint16
	buf    [nameUnits + exNameUnits]uint16
}

// add takes the next entry; true where it completes a set.
func (s *setReader) add(rec record) (bool, error) {
	e := exEntry(rec.b)
	if e.kind()&exInUse == 0 {
		// A deleted entry ends no set in use; one in the middle is damage.
		if s.left > 0 {
			s.left = 0
			return false, ondisk.Corrupt("exFAT entry set", s.pos, "an unused entry at byte %d is part of it", rec.pos)
		}
		return false, nil
	}
	if e.kind()&exSecondary == 0 {
		if s.left > 0 {
			s.left = 0
			return false, ondisk.Corrupt("exFAT entry set", s.pos, "another begins at byte %d before it ends", rec.pos)
		}
		if e.kind() != exFile {
			if e.kind()&exBenign == 0 && e.kind() != exBitmap && e.kind() != exUpcase && e.kind() != exLabel {
				return false, ondisk.Corrupt("exFAT directory entry", rec.pos, "of the unknown critical type %#x", e.kind())
			}
			return false, nil
		}
		n := int(e.secondaryCount())
		if n < 2 || n > exSetMax-1 {
			return false, ondisk.Corrupt("exFAT file entry", rec.pos, "%d secondary entries", n)
		}
		s.pos, s.at, s.left, s.seen, s.stored = rec.pos, rec.at, n, 0, e.setChecksum()
		s.sum = exSum(0, rec.b, true)
		copy(s.file[:], rec.b)
		s.units = s.buf[:0]
		return false, nil
	}
	if s.left == 0 {
		// The rest of a set whose primary a listing began behind.
		return false, nil
	}
	s.sum = exSum(s.sum, rec.b, false)
	s.seen++
	s.left--
	switch {
	case s.seen == 1:
		if e.kind() != exStream {
			s.left = 0
			return false, ondisk.Corrupt("exFAT entry set", s.pos, "type %#x where the stream extension must be", e.kind())
		}
		copy(s.stream[:], rec.b)
	case e.kind() == exFileName && len(s.units) < nameUnits:
		s.units = e.nameUnits(s.units)
	case e.kind()&exBenign == 0:
		s.left = 0
		return false, ondisk.Corrupt("exFAT entry set", s.pos, "secondary entry of the unknown critical type %#x", e.kind())
	}
	if s.left > 0 {
		return false, nil
	}
	if s.sum != s.stored {
		return false, ondisk.BadChecksum("exFAT entry set", s.pos, uint32(s.stored), uint32(s.sum))
	}
	n := int(exEntry(s.stream[:]).nameLength())
	if n == 0 || n > len(s.units) {
		return false, ondisk.Corrupt("exFAT entry set", s.pos, "a name of %d units in %d", n, len(s.units))
	}
	s.units = s.units[:n]
	return true, nil
}
