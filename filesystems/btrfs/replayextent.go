package btrfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
)

func (e extentItem) setOffset(v uint64)   { binary.LittleEndian.PutUint64(e[37:], v) }
func (e extentItem) setNumBytes(v uint64) { binary.LittleEndian.PutUint64(e[45:], v) }

// span is the end of an extent of a file, and how many bytes of it count as
// allocated.
func (r *replay) span(from uint64, e extentItem) (end, allocated uint64, err error) {
	if len(e) < extentInlineSize {
		return 0, 0, r.corrupt("an extent in %d bytes", len(e))
	}
	if e.typ() == extentInline {
		if e.ramBytes() > maxDecoded {
			return 0, 0, r.corrupt("%d inline bytes", e.ramBytes())
		}
		return from + e.ramBytes(), e.ramBytes(), nil
	}
	if e.typ() > extentPrealloc || len(e) < extentItemSize || from > 1<<63 || e.numBytes() == 0 || e.numBytes() > 1<<63-from {
		return 0, 0, r.corrupt("an extent of type %d in %d bytes", e.typ(), len(e))
	}
	if e.diskBytenr() != 0 {
		allocated = e.numBytes()
	}
	return from + e.numBytes(), allocated, nil
}

// extent replays an extent of a file in the place of what is there.
func (r *replay) extent(ctx context.Context, k key, data []byte) error {
	e := extentItem(data)
	end, allocated, err := r.span(k.off, e)
	if err != nil {
		return err
	}
	o, err := r.object(ctx, k.id)
	if err != nil {
		return err
	}
	if old := o.get(extentDataType, k.off); old != nil && e.typ() != extentInline && bytes.Equal(old.data, data) {
		return nil
	}
	if e.typ() == extentInline {
		sector := uint64(r.fs.geo.sector)
		end = (end + sector - 1) &^ (sector - 1)
	}
	if err := r.dropExtents(ctx, k.id, k.off, end); err != nil {
		return err
	}
	if e.typ() == extentInline || e.diskBytenr() != 0 || r.fs.sb.incompat()&incompatNoHoles == 0 {
		if err := r.hold(int64(len(data))); err != nil {
			return err
		}
		o.set(extentDataType, k.off, bytes.Clone(data))
	}
	return r.change(ctx, k.id, func(i inodeItem) { i.setNbytes(i.nbytes() + allocated) })
}

// overlap gives the extents that may reach into the bytes from start to end.
func (o *object) overlap(start, end uint64) []item {
	from := max(o.search(extentDataType, start), 0)
	to := from
	for to < len(o.items) && (o.items[to].typ < extentDataType || o.items[to].typ == extentDataType && o.items[to].off < end) {
		to++
	}
	return slices.DeleteFunc(slices.Clone(o.items[from:to]), func(it item) bool { return it.typ != extentDataType })
}

// dropExtents makes room from start to end: what lies in it goes, and what
// reaches into it is cut.
func (r *replay) dropExtents(ctx context.Context, id, start, end uint64) error {
	o, err := r.object(ctx, id)
	if err != nil {
		return err
	}
	dropped := uint64(0)
	for _, it := range o.overlap(start, end) {
		e, from := extentItem(it.data), it.off
		to, allocated, err := r.span(from, e)
		if err != nil {
			return err
		}
		if to <= start || from >= end {
			continue
		}
		if e.typ() == extentInline {
			if start > from || to > end {
				return r.corrupt("inode %d: a part of an inline extent is replaced", id)
			}
			o.remove(extentDataType, from)
			dropped += allocated
			continue
		}
		o.remove(extentDataType, from)
		if allocated > 0 {
			dropped += min(to, end) - max(from, start)
		}
		cut := func(a, b uint64) error {
			part := extentItem(bytes.Clone(e))
			if e.diskBytenr() != 0 {
				part.setOffset(e.offset() + a - from)
			}
			part.setNumBytes(b - a)
			o.set(extentDataType, a, part)
			return r.hold(int64(len(part)))
		}
		if from < start {
			if err := cut(from, start); err != nil {
				return err
			}
		}
		if to > end {
			if err := cut(end, to); err != nil {
				return err
			}
		}
	}
	if dropped == 0 {
		return nil
	}
	return r.change(ctx, id, func(i inodeItem) { i.setNbytes(i.nbytes() - min(i.nbytes(), dropped)) })
}
