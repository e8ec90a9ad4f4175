package ntfs

import (
	"context"
	"io"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// maxUnit bounds a compression unit and a WOF chunk, in bytes. NTFS itself has
// 64 KiB.
const maxUnit = 1 << 20

// unitKey names decoded bytes in the cache: a compression unit or a WOF chunk.
type unitKey struct {
	num   uint64 // of the base record
	pos   int64  // where its clusters begin; -1 for a chunk
	index int64
}

// mapUnit maps a part of a compressed stream: one unit, or several of zeros.
// A unit whose clusters are all there is stored plain; one without any is
// zeros; else its clusters hold the compressed bytes, and sparse ones the rest.
func (s *stream) mapUnit(ctx context.Context, off, n int64) (vfs.Extent, error) {
	cluster := s.f.fs.geo.cluster
	unit := cluster << s.unit
	index := off / unit
	in := off - index*unit
	first := index << s.unit
	r, have, err := s.unitState(ctx, first)
	if err != nil {
		return vfs.Extent{}, err
	}
	whole := int64(1) << s.unit
	switch have {
	case 0:
		// As many units as the sparse run covers; a part of one is one.
		units := max(min(r.len>>s.unit, maxStream/unit), 1)
		return vfs.Extent{Kind: vfs.Hole, Len: min(n, units*unit-in)}, nil
	case whole:
		n = min(n, unit-in)
		r, err := s.run(ctx, off/cluster)
		if err != nil {
			return vfs.Extent{}, err
		}
		return s.extent(r, off%cluster, n)
	}
	u := &compressedUnit{s: s, index: index, clusters: have, pos: r.lcn * cluster, in: in,
		len: min(unit, s.valid-index*unit)}
	return vfs.Extent{Kind: vfs.Encoded, Len: min(n, unit-in), Decode: u.decode}, nil
}

// unitState says how many clusters the unit that begins at cluster first has,
// and gives the first run in it.
func (s *stream) unitState(ctx context.Context, first int64) (r run, have int64, err error) {
	whole := int64(1) << s.unit
	for at := int64(0); at < whole; {
		next, err := s.run(ctx, first+at)
		if err != nil {
			return run{}, 0, err
		}
		if at == 0 {
			r = next
		}
		take := min(next.len, whole-at)
		if next.lcn != sparse {
			if have != at {
				return run{}, 0, s.corrupt("the compression unit at cluster %d has clusters behind sparse ones", first)
			}
			have += take
		}
		at += take
	}
	return r, have, nil
}

// A compressedUnit decodes one unit for an extent.
type compressedUnit struct {
	s        *stream
	index    int64
	clusters int64 // that hold compressed bytes
	pos      int64 // where they begin
	in       int64 // where the extent begins in the unit
	len      int64 // bytes of the file in the unit
}

func (u *compressedUnit) decode(ctx context.Context, p []byte, off int64) (int, error) {
	off += u.in
	if off == 0 && int64(len(p)) == u.len {
		if err := u.decodeTo(ctx, p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	fs := u.s.f.fs
	b, err := fs.units.Get(ctx, unitKey{u.s.f.num, u.pos, u.index}, func(ctx context.Context) ([]byte, int64, error) {
		b := make([]byte, u.len)
		return b, u.len, u.decodeTo(ctx, b)
	})
	if err != nil {
		return 0, err
	}
	n := copy(p, b[min(off, int64(len(b))):])
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// decodeTo decodes the unit from its start. What the compressed bytes do not
// reach is zeros.
func (u *compressedUnit) decodeTo(ctx context.Context, p []byte) error {
	fs := u.s.f.fs
	size := u.clusters * fs.geo.cluster
	buf := fs.buffer(size)
	defer fs.buffers.Put(buf)
	src := *buf
	first := u.index << u.s.unit
	for at := int64(0); at < u.clusters; {
		r, err := u.s.run(ctx, first+at)
		if err != nil {
			return err
		}
		take := min(r.len, u.clusters-at)
		part := src[at*fs.geo.cluster:][:take*fs.geo.cluster]
		if err := block.ReadFull(ctx, fs.dev, part, r.lcn*fs.geo.cluster); err != nil {
			if err == io.ErrUnexpectedEOF {
				err = fs.beyond("NTFS compressed data", r.lcn*fs.geo.cluster)
			}
			return err
		}
		at += take
	}
	n, err := fs.lznt1.Decode(p, src)
	if err != nil {
		return u.s.corrupt("the compression unit at byte %d of the volume: %v", u.pos, err)
	}
	clear(p[n:])
	return nil
}

// buffer gives n bytes from the pool.
func (fs *FileSystem) buffer(n int64) *[]byte {
	b, _ := fs.buffers.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	if int64(cap(*b)) < n {
		*b = make([]byte, n)
	}
	*b = (*b)[:n]
	return b
}
