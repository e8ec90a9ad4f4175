package ntfs

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// attr gives the attribute at byte at of a record, with its lengths and offsets
// compared, or nil at the end, or what is wrong.
func (r record) attr(at int) (a attribute, problem string) {
	used := int(r.bytesInUse())
	if at > used-4 {
		return nil, "attributes without an end"
	}
	if le.Uint32(r[at:]) == typeEnd {
		return nil, ""
	}
	if at > used-residentHeader {
		return nil, "attributes without an end"
	}
	a = attribute(r[at:used])
	n := int64(a.length())
	if n < residentHeader || n&7 != 0 || n > int64(len(a)) {
		return nil, fmt.Sprintf("the attribute at %d has %d bytes of %d", at, n, len(a))
	}
	a = a[:n:n]
	if !ondisk.Fits(int64(a.nameOffset()), int64(2*a.nameLength()), n) {
		return nil, fmt.Sprintf("the attribute at %d has its name at %d", at, a.nameOffset())
	}
	if a.nonResident() {
		if n < nonResidentHeader {
			return nil, fmt.Sprintf("the attribute at %d, which is not resident, has %d bytes", at, n)
		}
		if int64(a.pairsOffset()) < nonResidentHeader || int64(a.pairsOffset()) >= n {
			return nil, fmt.Sprintf("the attribute at %d has its mapping pairs at %d of %d", at, a.pairsOffset(), n)
		}
		if a.lowestVCN() < 0 || a.lowestVCN() > maxVCN {
			return nil, fmt.Sprintf("the attribute at %d begins with cluster %d", at, a.lowestVCN())
		}
	} else if !ondisk.Fits(int64(a.valueOffset()), int64(a.valueLength()), n) {
		return nil, fmt.Sprintf("the attribute at %d has its value of %d bytes at %d of %d", at, a.valueLength(), a.valueOffset(), n)
	}
	return a, ""
}

// A file is a base record with its attribute list: where attributes are found.
type file struct {
	fs   *FileSystem
	num  uint64
	rec  record
	list []byte // $ATTRIBUTE_LIST; nil where all attributes are in rec
}

// maxList bounds an attribute list, in bytes: NTFS's own limit.
const maxList = 256 << 10

// openRecord reads a base record and its attribute list.
func (fs *FileSystem) openRecord(ctx context.Context, num uint64) (*file, error) {
	r, err := fs.record(ctx, num)
	if err != nil {
		return nil, err
	}
	f := &file{fs: fs, num: num, rec: r}
	return f, f.loadList(ctx)
}

// loadList reads the attribute list, where there is one. The list's own
// attribute is always in the base record.
func (f *file) loadList(ctx context.Context) error {
	for at := int(f.rec.attrsOffset()); ; {
		a, problem := f.rec.attr(at)
		if problem != "" {
			return f.corrupt("%s", problem)
		}
		if a == nil || a.typ() > typeAttributeList {
			return nil
		}
		if a.typ() == typeAttributeList {
			return f.readList(ctx, a)
		}
		at += len(a)
	}
}

func (f *file) readList(ctx context.Context, a attribute) error {
	var s stream
	if err := s.init(f, a); err != nil {
		return err
	}
	if s.size > maxList {
		return f.corrupt("an attribute list of %d bytes", s.size)
	}
	if s.resident() {
		f.list = s.value
	} else {
		f.list = make([]byte, s.size)
		if err := s.readFull(ctx, f.list, 0); err != nil {
			return fmt.Errorf("reading the attribute list of %s: %w", recordName(f.num), err)
		}
	}
	if f.list == nil {
		f.list = []byte{}
	}
	return nil
}

func (f *file) corrupt(format string, args ...any) error {
	return f.fs.corruptRecord(f.num, format, args...)
}

// listEntry gives the entry at byte at of the attribute list, or nil at its
// end.
func (f *file) listEntry(at int) (listEntry, error) {
	left := len(f.list) - at
	if left < listEntryHeader {
		return nil, nil
	}
	e := listEntry(f.list[at:])
	n := e.length()
	if n == 0 && e.typ() == 0 {
		return nil, nil // padding
	}
	if n < listEntryHeader || n > left || e.nameLength() > 0 && e.nameOffset()+2*e.nameLength() > n {
		return nil, f.corrupt("the attribute list's entry at %d has %d bytes of %d", at, n, left)
	}
	return e[:n], nil
}

// listEntries lists the attribute list.
func (f *file) listEntries() iter.Seq2[listEntry, error] {
	return func(yield func(listEntry, error) bool) {
		for at := 0; ; {
			e, err := f.listEntry(at)
			if err != nil {
				yield(nil, err)
				return
			}
			if e == nil || !yield(e, nil) {
				return
			}
			at += len(e)
		}
	}
}

// extension gives the attribute that an entry of the list names, from this
// record or another. A record that is no extension of this one is damage; it is
// never searched for lists of its own, so that no list leads around.
func (f *file) extension(ctx context.Context, e listEntry) (attribute, error) {
	return f.segmentAttr(ctx, e.segment(), e.typ(), e.name(), e.lowestVCN(), e.instance())
}

func (f *file) segmentAttr(ctx context.Context, ref fileRef, typ uint32, name []byte, lowest int64, instance uint16) (attribute, error) {
	num, r := ref.number(), f.rec
	if num != f.num {
		var err error
		if r, err = f.fs.record(ctx, num); err != nil {
			if isErrno(err) {
				err = f.corrupt("its attribute list names record %d, which is not in use", num)
			}
			return nil, err
		}
		if r.base().number() != f.num || r.sequence() != ref.sequence() {
			return nil, f.corrupt("its attribute list names record %d, which belongs to record %d", num, r.base().number())
		}
	}
	for at := int(r.attrsOffset()); ; {
		a, problem := r.attr(at)
		if problem != "" {
			return nil, f.fs.corruptRecord(num, "%s", problem)
		}
		if a == nil {
			return nil, f.corrupt("its attribute list names an attribute of type %#x in record %d, which has none from cluster %d on", typ, num, lowest)
		}
		if a.typ() == typ && a.instance() == instance && bytes.Equal(a.name(), name) && (!a.nonResident() && lowest == 0 || a.nonResident() && a.lowestVCN() == lowest) {
			return a, nil
		}
		at += len(a)
	}
}

// find gives the stream of an attribute by type and name in UTF-16LE, nil for
// none. Attribute names have one case only: all of the format's own are upper
// case, and those of streams are looked up as they are listed.
func (f *file) find(ctx context.Context, typ uint32, name []byte, s *stream) (bool, error) {
	if f.list != nil {
		return f.findListed(ctx, typ, name, s)
	}
	for at := int(f.rec.attrsOffset()); ; {
		a, problem := f.rec.attr(at)
		if problem != "" {
			return false, f.corrupt("%s", problem)
		}
		if a == nil {
			return false, nil
		}
		if a.typ() == typ && bytes.Equal(a.name(), name) {
			return true, s.init(f, a)
		}
		at += len(a)
	}
}

// findListed is find by the attribute list, in which each segment of an
// attribute has an entry, in the order of their clusters.
func (f *file) findListed(ctx context.Context, typ uint32, name []byte, s *stream) (bool, error) {
	found := false
	for at := 0; ; {
		e, err := f.listEntry(at)
		if err != nil {
			return false, err
		}
		if e == nil {
			return found, nil
		}
		at += len(e)
		if e.typ() != typ || !bytes.Equal(e.name(), name) {
			if found {
				return true, nil
			}
			continue
		}
		if !found {
			a, err := f.extension(ctx, e)
			if err != nil {
				return false, err
			}
			if err := s.init(f, a); err != nil {
				return false, err
			}
			found = true
			continue
		}
		if last := s.lastSegment(); s.resident() || e.lowestVCN() <= last {
			return false, f.corrupt("its attribute list continues the attribute of type %#x at cluster %d after %d", typ, e.lowestVCN(), last)
		}
		s.more = append(s.more, segment{low: e.lowestVCN(), ref: e.segment(), instance: e.instance()})
	}
}

// mustFind is find of what the format demands.
func (f *file) mustFind(ctx context.Context, typ uint32, name []byte) (*stream, error) {
	s := new(stream)
	ok, err := f.find(ctx, typ, name, s)
	if err == nil && !ok {
		err = f.corrupt("it lacks the attribute of type %#x", typ)
	}
	return s, err
}
