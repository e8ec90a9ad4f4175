package xfs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/filesystems/xfs/xlog"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// maxEdited bounds the extents of a file that an intent changes.
const maxEdited = 1 << 20

// applyIntents finishes in memory what the log began: mappings are made and
// exchanged. Space that was to be freed stays as it is, since nobody sees it.
func (fs *FileSystem) applyIntents(ctx context.Context, intents []*xlog.Intent) error {
	for _, in := range intents {
		switch {
		case in.Map != nil:
			for _, m := range in.Map {
				if err := fs.applyMap(ctx, m); err != nil {
					return fmt.Errorf("finishing a change of the map of inode %d: %w", m.Ino, err)
				}
			}
		case in.Exchange != nil:
			if err := fs.applyExchange(ctx, in.Exchange); err != nil {
				return fmt.Errorf("finishing an exchange of the inodes %d and %d: %w", in.Exchange.Ino1, in.Exchange.Ino2, err)
			}
		case in.Other == "ATTRI":
			fs.log.WarnContext(ctx, "xfs: the log began to change an attribute; it is shown as it was", slog.Uint64("inode", in.Ino))
		default:
			fs.log.DebugContext(ctx, "xfs: an unfinished intent that concerns only free space", slog.String("type", in.Other))
		}
	}
	return nil
}

// editable is the map of a fork that intents may change.
func (fs *FileSystem) editable(ctx context.Context, num uint64, attr bool) (*inode, *inodeEdit, whichFork, error) {
	which := dataFork
	if attr {
		which = attrFork
	}
	n, err := fs.iget(ctx, num)
	if err != nil {
		return nil, nil, which, err
	}
	if n.raw.Mode() == 0 {
		return nil, nil, which, n.corrupt("it is not in use")
	}
	if n.raw.Flags()&layout.FlagRealtime != 0 && !attr {
		return nil, nil, which, ondisk.Unsupported(n.name(), "a file on the realtime device")
	}
	if fs.edits == nil {
		fs.edits = &edits{inodes: make(map[uint64]*inodeEdit)}
	}
	e := fs.edits.inodes[num]
	if e == nil {
		e = &inodeEdit{}
		fs.edits.inodes[num] = e
	}
	if e.edited[which] {
		return n, e, which, nil
	}
	f := n.fork(which)
	for blk := uint64(0); blk < layout.MaxFileBlock; {
		r, err := f.homeRunAt(ctx, blk)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, nil, which, err
		}
		if r.mapped {
			e.forks[which] = append(e.forks[which], editExtent{blk, r.len, r.start, r.unwritten})
		}
		if len(e.forks[which]) > maxEdited {
			return nil, nil, which, ondisk.Unsupported(n.name(), "an intent on a file of more than %d extents", maxEdited)
		}
		blk += r.len
	}
	e.edited[which] = true
	return n, e, which, nil
}

// checkRange compares a stretch of a file from the log.
func checkRange(offset, blocks uint64) error {
	if blocks == 0 || offset >= layout.MaxFileBlock || blocks > layout.MaxFileBlock-offset {
		return ondisk.Corrupt("xfs log intent", 0, "%d blocks at block %d of a file", blocks, offset)
	}
	return nil
}

// applyMap maps an extent, or takes away what is mapped there.
func (fs *FileSystem) applyMap(ctx context.Context, m xlog.MapIntent) error {
	if err := checkRange(m.Offset, m.Blocks); err != nil {
		return err
	}
	if m.Realtime {
		return ondisk.Unsupported("xfs log intent", "a file on the realtime device")
	}
	if _, ok := fs.geo.Offset(m.Start, m.Blocks); !ok && !m.Unmap {
		return ondisk.Corrupt("xfs log intent", 0, "%d blocks at block %#x of the device", m.Blocks, m.Start)
	}
	_, e, which, err := fs.editable(ctx, m.Ino, m.AttrFork)
	if err != nil {
		return err
	}
	outside, inside := cut(e.forks[which], m.Offset, m.Blocks)
	e.blocks -= count(inside)
	if !m.Unmap {
		outside = append(outside, editExtent{m.Offset, m.Blocks, m.Start, m.Unwritten})
		e.blocks += int64(m.Blocks)
	}
	e.forks[which] = sorted(outside)
	return nil
}

// applyExchange exchanges a stretch of two files.
func (fs *FileSystem) applyExchange(ctx context.Context, x *xlog.ExchangeIntent) error {
	if x.Ino1 == x.Ino2 {
		return ondisk.Corrupt("xfs log intent", 0, "an exchange of inode %d with itself", x.Ino1)
	}
	n1, e1, which, err := fs.editable(ctx, x.Ino1, x.AttrFork)
	if err != nil {
		return err
	}
	n2, e2, _, err := fs.editable(ctx, x.Ino2, x.AttrFork)
	if err != nil {
		return err
	}
	for _, n := range []struct {
		*inode
		gen uint32
	}{{n1, x.Gen1}, {n2, x.Gen2}} {
		if g := n.raw.Generation(); g != n.gen {
			return n.corrupt("generation %d, the intent has %d", g, n.gen)
		}
	}
	if x.SetSizes {
		if x.Size1 >= 1<<63 || x.Size2 >= 1<<63 {
			return ondisk.Corrupt("xfs log intent", 0, "sizes of %d and %d bytes", x.Size1, x.Size2)
		}
		e1.resized, e1.size, e2.resized, e2.size = true, int64(x.Size1), true, int64(x.Size2)
	}
	if x.Blocks == 0 {
		return nil
	}
	if err := cmp.Or(checkRange(x.Offset1, x.Blocks), checkRange(x.Offset2, x.Blocks)); err != nil {
		return err
	}
	out1, in1 := cut(e1.forks[which], x.Offset1, x.Blocks)
	out2, in2 := cut(e2.forks[which], x.Offset2, x.Blocks)
	new1, new2 := in2, in1
	if x.OnlyWritten {
		// Only where the first file has data do the two change places.
		new1, new2 = nil, nil
		keep1, keep2 := in1, in2
		for _, w := range in1 {
			if w.unwritten {
				continue
			}
			var a, b []editExtent
			keep1, a = cut(keep1, w.blk, w.len)
			keep2, b = cut(keep2, x.Offset2+(w.blk-x.Offset1), w.len)
			new1, new2 = append(new1, b...), append(new2, a...)
		}
		out1, out2 = append(out1, keep1...), append(out2, keep2...)
	}
	moved := count(new1) - count(new2)
	e1.blocks += moved
	e2.blocks -= moved
	e1.forks[which] = sorted(append(out1, relocated(new1, x.Offset2, x.Offset1)...))
	e2.forks[which] = sorted(append(out2, relocated(new2, x.Offset1, x.Offset2)...))
	return nil
}

// cut parts a map into what is outside a stretch and what is in it.
func cut(m []editExtent, blk, n uint64) (outside, inside []editExtent) {
	end := blk + n
	for _, x := range m {
		if x.end() <= blk || x.blk >= end {
			outside = append(outside, x)
			continue
		}
		if x.blk < blk {
			outside = append(outside, editExtent{x.blk, blk - x.blk, x.start, x.unwritten})
		}
		from, to := max(x.blk, blk), min(x.end(), end)
		inside = append(inside, editExtent{from, to - from, x.start + (from - x.blk), x.unwritten})
		if x.end() > end {
			outside = append(outside, editExtent{end, x.end() - end, x.start + (end - x.blk), x.unwritten})
		}
	}
	return outside, inside
}

// relocated gives extents of one file their place in the other.
func relocated(m []editExtent, from, to uint64) []editExtent {
	out := slices.Clone(m)
	for i := range out {
		out[i].blk = out[i].blk - from + to
	}
	return out
}

func sorted(m []editExtent) []editExtent {
	slices.SortFunc(m, func(a, b editExtent) int { return cmp.Compare(a.blk, b.blk) })
	return m
}

// count is the number of blocks that a map has.
func count(m []editExtent) (n int64) {
	for _, x := range m {
		n += int64(x.len)
	}
	return n
}
