package ntfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	// mftPiece is the unit in which $MFT is cached, in bytes: several records.
	mftPiece = 4096
	// mftAhead is how much of $MFT is read around a missing piece.
	mftAhead = 64 << 10
)

// An mft is the data of $MFT as a device: its fragments in a row. The metadata
// cache stands over it, so that a record which two fragments share is nothing
// special.
type mft struct {
	dev  block.Device
	geo  *geometry
	runs []run // ascending, without gaps, none sparse
	size int64 // bytes that were ever written
}

var _ block.Device = (*mft)(nil)

func (m *mft) Size() int64 { return m.size }

// locate finds the byte off of $MFT in the volume, and how many follow there.
func (m *mft) locate(off int64) (pos, n int64, ok bool) {
	vcn := off / m.geo.cluster
	i := sort.Search(len(m.runs), func(i int) bool { return m.runs[i].vcn+m.runs[i].len > vcn })
	if i == len(m.runs) || off < 0 {
		return 0, 0, false
	}
	in := off - m.runs[i].vcn*m.geo.cluster
	return m.runs[i].lcn*m.geo.cluster + in, m.runs[i].len*m.geo.cluster - in, true
}

func (m *mft) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	want := block.Clamp(off, int64(len(p)), m.size)
	done := int64(0)
	for done < want {
		pos, n, ok := m.locate(off + done)
		if !ok {
			return int(done), io.ErrUnexpectedEOF
		}
		n = min(n, want-done)
		if err := block.ReadFull(ctx, m.dev, p[done:done+n], pos); err != nil {
			return int(done), err
		}
		done += n
	}
	if done < int64(len(p)) {
		return int(done), io.EOF
	}
	return int(done), nil
}

func (m *mft) Locate(_ context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, m.size); n == 0 {
		return block.Run{}, io.EOF
	}
	return block.Run{Kind: block.Opaque, Len: n}, nil
}

// verifyRecords applies the fixups of the records in a piece of $MFT, once, as
// it enters memory. A record that is torn gets the magic "BAAD", as NTFS itself
// marks it; its neighbours stay usable. Records are checked at their use.
func (fs *FileSystem) verifyRecords(b []byte, _ txn.Addr) error {
	for size := int(fs.geo.record); len(b) >= size; b = b[size:] {
		if r := record(b[:size]); r.magic() == magicFile && applyFixups(r) != "" {
			le.PutUint32(r, magicBaad)
		}
	}
	return nil
}

// recordOffset is where a record lies in the volume, for errors; -1 where that
// is unknown.
func (fs *FileSystem) recordOffset(num uint64) int64 {
	if num < 1<<40 {
		if pos, _, ok := fs.mft.locate(int64(num) * fs.geo.record); ok {
			return pos
		}
	}
	return -1
}

func recordName(num uint64) string { return fmt.Sprintf("NTFS MFT record %d", num) }

// corruptRecord is the error for damage in record num.
func (fs *FileSystem) corruptRecord(num uint64, format string, args ...any) error {
	return ondisk.Corrupt(recordName(num), fs.recordOffset(num), format, args...)
}

// piece is the unit of the cache that holds byte off of $MFT.
func (fs *FileSystem) piece(off int64) txn.Addr {
	size := max(mftPiece, fs.geo.record)
	off -= off % size
	return txn.Addr{Off: off, Len: int(min(size, fs.mft.size-off))}
}

// window appends the pieces around off.
func (fs *FileSystem) window(to []txn.Addr, off int64) []txn.Addr {
	start := off - off%mftAhead
	for at := start; at < min(start+mftAhead, fs.mft.size); {
		a := fs.piece(at)
		to = append(to, a)
		at = a.Off + int64(a.Len)
	}
	return to
}

// record gives an MFT record that is in use, whatever it is. ENOENT where it is
// not.
func (fs *FileSystem) record(ctx context.Context, num uint64) (record, error) {
	if num >= uint64(fs.mft.size)/uint64(fs.geo.record) {
		return nil, syscall.ENOENT
	}
	off := int64(num) * fs.geo.record
	at := fs.piece(off)
	b, ok := fs.records.Peek(at.Off, fs.kinds.records)
	if !ok {
		fs.records.Prefetch(ctx, fs.window(nil, off), fs.kinds.records)
		var err error
		if b, err = fs.records.Read(ctx, at, fs.kinds.records); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, fs.beyond(recordName(num), fs.recordOffset(num))
			}
			return nil, err
		}
	}
	in := off - at.Off
	if in+fs.geo.record > int64(len(b)) {
		return nil, syscall.ENOENT
	}
	r := record(b[in : in+fs.geo.record : in+fs.geo.record])
	err := checkRecord(r, num, fs.recordOffset)
	if num < mirrored && (err != nil || r.flags()&recordInUse == 0) {
		if m, merr := readMirror(ctx, fs.dev, fs.geo, num); merr == nil {
			fs.warnMirror(num, err)
			return m, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if r.flags()&recordInUse == 0 {
		return nil, syscall.ENOENT
	}
	return r, nil
}

// checkRecord compares the header of a record whose fixups are applied.
func checkRecord(r record, num uint64, offset func(uint64) int64) error {
	bad := func(format string, args ...any) error {
		return ondisk.Corrupt(recordName(num), offset(num), format, args...)
	}
	switch r.magic() {
	case magicFile:
	case magicBaad:
		return bad("it is torn: its update sequence does not match")
	case 0:
		return syscall.ENOENT // never written
	default:
		return bad("the magic is %#08x, expected \"FILE\"", r.magic())
	}
	first, used := int64(r.attrsOffset()), int64(r.bytesInUse())
	if first < recordHeader || first&7 != 0 || used > int64(len(r)) || first > used-8 {
		return bad("%d bytes in use of %d, attributes from %d on", used, len(r), first)
	}
	return nil
}
