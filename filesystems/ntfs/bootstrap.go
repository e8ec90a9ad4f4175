package ntfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	// maxMFTRuns bounds the extents of $MFT.
	maxMFTRuns = 1 << 20
	// mirrored is how many records $MFTMirr repeats that are used here.
	mirrored = 4
)

// readDirect reads the record at byte off of the volume without the cache.
func readDirect(ctx context.Context, dev block.Device, g *geometry, off int64, num uint64) (record, error) {
	r := make(record, g.record)
	if err := block.ReadFull(ctx, dev, r, off); err != nil {
		return nil, err
	}
	at := func(uint64) int64 { return off }
	if r.magic() == magicFile {
		if problem := applyFixups(r); problem != "" {
			return nil, ondisk.Corrupt(recordName(num), off, "%s", problem)
		}
	}
	if err := checkRecord(r, num, at); err != nil {
		if err == syscall.ENOENT {
			err = ondisk.Corrupt(recordName(num), off, "it is all zeros")
		}
		return nil, err
	}
	if r.flags()&recordInUse == 0 {
		return nil, ondisk.Corrupt(recordName(num), off, "it is not in use")
	}
	return r, nil
}

// readMirror reads a record from $MFTMirr, by the place in the boot sector.
func readMirror(ctx context.Context, dev block.Device, g *geometry, num uint64) (record, error) {
	return readDirect(ctx, dev, g, g.mirr+int64(num)*g.record, num)
}

func (fs *FileSystem) warnMirror(num uint64, err error) {
	if fs.warned.CompareAndSwap(false, true) {
		fs.log.Warn("the start of $MFT is damaged; $MFTMirr is used instead", "record", num, "error", err)
	}
}

// loadMFT finds the fragments of $MFT: from its own record, or that of $MFTMirr
// where it is damaged, and from the records that its attribute list names,
// each of which lies in fragments that are known by then.
func (fs *FileSystem) loadMFT(ctx context.Context) error {
	r, err := readDirect(ctx, fs.dev, fs.geo, fs.geo.mft, fileMFT)
	if err == nil {
		err = fs.useMFT(ctx, r)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	m, merr := readMirror(ctx, fs.dev, fs.geo, fileMFT)
	if merr == nil {
		merr = fs.useMFT(ctx, m)
	}
	if merr != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fs.beyond("NTFS $MFT", fs.geo.mft)
		}
		return fmt.Errorf("%w; the copy in $MFTMirr does not help: %w", err, merr)
	}
	fs.warnMirror(fileMFT, err)
	return nil
}

func (fs *FileSystem) useMFT(ctx context.Context, r record) error {
	fs.mft = &mft{dev: fs.dev, geo: fs.geo}
	fs.records = txn.NewStore(fs.mft, fs.cacheBytes)
	f := file{fs: fs, num: fileMFT, rec: r}
	// The first fragment, which the base record holds.
	var first attribute
	for at := int(r.attrsOffset()); first == nil; {
		a, problem := r.attr(at)
		if problem != "" {
			return ondisk.Corrupt(recordName(fileMFT), fs.geo.mft, "%s", problem)
		}
		if a == nil {
			break
		}
		if a.typ() == typeData && a.nameLength() == 0 && a.nonResident() && a.lowestVCN() == 0 {
			first = a
		}
		at += len(a)
	}
	if first == nil {
		return ondisk.Corrupt(recordName(fileMFT), fs.geo.mft, "no nonresident $DATA attribute")
	}
	size := min(first.validDataLength(), first.fileSize())
	if size < firstUserFile*fs.geo.record {
		return ondisk.Corrupt(recordName(fileMFT), fs.geo.mft, "$DATA has %d bytes", size)
	}
	if err := fs.mft.add(first); err != nil {
		return err
	}
	if limit := fs.mft.clusters() * fs.geo.cluster; limit < size {
		fs.mft.size = limit - limit%fs.geo.record
	} else {
		fs.mft.size = size - size%fs.geo.record
	}
	if err := f.loadList(ctx); err != nil {
		return err
	}
	for e, err := range f.listEntries() {
		if err != nil {
			return err
		}
		if e.typ() != typeData || e.nameLength() != 0 || e.lowestVCN() == 0 {
			continue
		}
		if e.lowestVCN() != fs.mft.clusters() {
			return ondisk.Corrupt(recordName(fileMFT), fs.geo.mft, "the attribute list continues $DATA at cluster %d, expected %d", e.lowestVCN(), fs.mft.clusters())
		}
		a, err := f.extension(ctx, e)
		if err != nil {
			return err
		}
		if err := fs.mft.add(a); err != nil {
			return err
		}
		limit := fs.mft.clusters() * fs.geo.cluster
		fs.mft.size = min(limit-limit%fs.geo.record, size-size%fs.geo.record)
	}
	if fs.mft.size < size-size%fs.geo.record {
		return ondisk.Corrupt(recordName(fileMFT), fs.geo.mft, "$DATA has %d bytes and clusters for %d", size, fs.mft.size)
	}
	// What was cached so far may end where an earlier size did.
	fs.records = txn.NewStore(fs.mft, fs.cacheBytes)
	return nil
}

// clusters are those of the fragments known so far.
func (m *mft) clusters() int64 {
	if len(m.runs) == 0 {
		return 0
	}
	last := m.runs[len(m.runs)-1]
	return last.vcn + last.len
}

// add appends the fragments in the mapping pairs of a.
func (m *mft) add(a attribute) error {
	reader := runReader{b: a.pairs(), vcn: a.lowestVCN()}
	for {
		r, ok, problem := reader.next()
		if problem == "" && ok && (r.lcn == sparse || r.len > m.geo.clusters || r.lcn > m.geo.clusters-r.len || len(m.runs) == maxMFTRuns) {
			problem = fmt.Sprintf("the run of %d clusters at %d of a volume of %d", r.len, r.lcn, m.geo.clusters)
		}
		if problem != "" {
			return ondisk.Corrupt(recordName(fileMFT), m.geo.mft, "$DATA: %s", problem)
		}
		if !ok {
			return nil
		}
		m.runs = append(m.runs, r)
	}
}
