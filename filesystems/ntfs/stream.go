package ntfs

import (
	"context"
	"fmt"
	"sort"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// A stream is the value of an attribute: in the record, or in clusters.
type stream struct {
	f     *file
	typ   uint32
	flags uint16
	unit  uint8  // log2 of the clusters in a compression unit
	name  []byte // UTF-16LE
	value []byte // of a resident one, never nil then

	size  int64 // bytes
	valid int64 // bytes that were ever written: zeros up to size
	alloc int64 // bytes of clusters

	pairs []byte    // mapping pairs of the first segment
	more  []segment // the others, ascending
}

// maxStream bounds a stream, in bytes, so that no sum overflows: twice what NTFS
// of Windows allows, which is 8 PiB.
const maxStream = 1 << 54

// A segment is a part of a stream's mapping pairs, in another record.
type segment struct {
	low      int64 // first cluster
	ref      fileRef
	instance uint16
}

// init makes s the stream whose first attribute record is a.
func (s *stream) init(f *file, a attribute) error {
	*s = stream{f: f, typ: a.typ(), flags: a.flags(), name: a.name()}
	if !a.nonResident() {
		s.value = a.value()
		s.size = int64(len(s.value))
		s.valid = s.size
		return nil
	}
	s.size, s.valid, s.alloc, s.unit = a.fileSize(), a.validDataLength(), a.allocatedLength(), a.compressionUnit()
	if a.lowestVCN() != 0 {
		return f.corrupt("its attribute of type %#x begins with cluster %d", s.typ, a.lowestVCN())
	}
	if s.size < 0 || s.valid < 0 || s.alloc < 0 || s.valid > s.size || s.size > maxStream || s.alloc > maxStream {
		return f.corrupt("its attribute of type %#x has %d valid bytes of %d in %d", s.typ, s.valid, s.size, s.alloc)
	}
	if a.flags()&(attrCompressionMask|attrSparse) != 0 && len(a) >= nonResidentHeader+8 && a.compressionUnit() != 0 {
		s.alloc = a.totalAllocated()
		if s.alloc < 0 || s.alloc > maxStream {
			return f.corrupt("its attribute of type %#x has %d bytes allocated", s.typ, s.alloc)
		}
	}
	if method := a.flags() & attrCompressionMask; s.compressed() {
		// NTFS compresses in units of 16 clusters of at most 4 KiB.
		if s.unit > 8 || f.fs.geo.cluster<<s.unit > maxUnit {
			return f.corrupt("its attribute of type %#x has compression units of 2^%d clusters", s.typ, s.unit)
		}
		if method != attrLZNT1 {
			return ondisk.Unsupported("NTFS file", "the compression method %d", method)
		}
	}
	s.pairs = a.pairs()
	return nil
}

func (s *stream) resident() bool   { return s.value != nil }
func (s *stream) compressed() bool { return s.flags&attrCompressionMask != 0 && s.unit != 0 }
func (s *stream) encrypted() bool  { return s.flags&attrEncrypted != 0 }

// lastSegment is the first cluster of the last segment.
func (s *stream) lastSegment() int64 {
	if n := len(s.more); n > 0 {
		return s.more[n-1].low
	}
	return 0
}

// corrupt is the error for damage in the stream's mapping.
func (s *stream) corrupt(format string, args ...any) error {
	return s.f.corrupt("its attribute of type %#x: %s", s.typ, fmt.Sprintf(format, args...))
}

// reader decodes the mapping pairs of the segment that holds cluster vcn, and
// says where that segment ends at the latest.
func (s *stream) reader(ctx context.Context, vcn int64) (runReader, int64, error) {
	i := sort.Search(len(s.more), func(i int) bool { return s.more[i].low > vcn })
	end := int64(maxVCN)
	if i < len(s.more) {
		end = s.more[i].low
	}
	if i == 0 {
		return runReader{b: s.pairs}, end, nil
	}
	seg := s.more[i-1]
	a, err := s.f.segmentAttr(ctx, seg.ref, s.typ, s.name, seg.low, seg.instance)
	if err != nil {
		return runReader{}, 0, err
	}
	if !a.nonResident() {
		return runReader{}, 0, s.corrupt("the segment at cluster %d is resident", seg.low)
	}
	return runReader{b: a.pairs(), vcn: seg.low}, end, nil
}

// run finds the run that holds cluster vcn, cut to what is from vcn on. It
// decodes from the segment's start: a segment is at most one record.
func (s *stream) run(ctx context.Context, vcn int64) (run, error) {
	reader, end, err := s.reader(ctx, vcn)
	if err != nil {
		return run{}, err
	}
	for {
		r, ok, problem := reader.next()
		if problem != "" {
			return run{}, s.corrupt("%s", problem)
		}
		if !ok {
			return run{}, s.corrupt("its runs end before cluster %d", vcn)
		}
		if r.vcn+r.len <= vcn {
			continue
		}
		if r.vcn+r.len > end {
			return run{}, s.corrupt("the run at cluster %d overlaps the next segment at %d", r.vcn, end)
		}
		if clusters := s.f.fs.geo.clusters; r.lcn != sparse && (r.len > clusters || r.lcn > clusters-r.len) {
			return run{}, s.corrupt("the run of %d clusters at %d of a volume of %d", r.len, r.lcn, clusters)
		}
		skip := vcn - r.vcn
		r.vcn, r.len = vcn, r.len-skip
		if r.lcn != sparse {
			r.lcn += skip
		}
		return r, nil
	}
}

// mapAt is vfs.Inode.Map: 0 <= off < s.size and n > 0.
func (s *stream) mapAt(ctx context.Context, off, n int64) (vfs.Extent, error) {
	n = min(n, s.size-off)
	if s.resident() {
		return vfs.Extent{Kind: vfs.Inline, Len: n, Inline: s.value[off : off+n]}, nil
	}
	if s.encrypted() {
		return vfs.Extent{}, errEncrypted()
	}
	if off >= s.valid {
		return vfs.Extent{Kind: vfs.Hole, Len: n, Unwritten: true}, nil
	}
	n = min(n, s.valid-off)
	if s.compressed() {
		return s.mapUnit(ctx, off, n)
	}
	cluster := s.f.fs.geo.cluster
	r, err := s.run(ctx, off/cluster)
	if err != nil {
		return vfs.Extent{}, err
	}
	return s.extent(r, off%cluster, n)
}

// extent is the answer for n bytes that begin in bytes into the run r.
func (s *stream) extent(r run, in, n int64) (vfs.Extent, error) {
	g := s.f.fs.geo
	if room := r.len; room < (in+n+g.cluster-1)/g.cluster {
		n = room*g.cluster - in
	}
	if r.lcn == sparse {
		return vfs.Extent{Kind: vfs.Hole, Len: n}, nil
	}
	at := r.lcn*g.cluster + in
	if !ondisk.Fits(at, n, s.f.fs.dev.Size()) {
		fit := block.Clamp(at, n, s.f.fs.dev.Size())
		if fit == 0 {
			return vfs.Extent{}, s.f.fs.beyond("NTFS file data", at)
		}
		n = fit
	}
	return vfs.Extent{Kind: vfs.Mapped, Len: n, Dev: s.f.fs.dev, Off: at}, nil
}

// readFull reads len(p) bytes at off of the stream, all of them within it.
func (s *stream) readFull(ctx context.Context, p []byte, off int64) error {
	if !ondisk.Fits(off, int64(len(p)), s.size) {
		return s.corrupt("%d bytes wanted at %d of %d", len(p), off, s.size)
	}
	for len(p) > 0 {
		ext, err := s.mapAt(ctx, off, int64(len(p)))
		if err != nil {
			return err
		}
		part := p[:ext.Len]
		switch ext.Kind {
		case vfs.Hole:
			clear(part)
		case vfs.Inline:
			copy(part, ext.Inline)
		case vfs.Mapped:
			err = block.ReadFull(ctx, ext.Dev, part, ext.Off)
		case vfs.Encoded:
			_, err = ext.Decode(ctx, part, 0)
		}
		if err != nil {
			return err
		}
		p = p[len(part):]
		off += int64(len(part))
	}
	return nil
}

// errEncrypted refuses the contents of EFS files: their keys are in the user's
// certificate store.
func errEncrypted() error {
	return ondisk.Unsupported("NTFS file", "EFS encryption")
}
