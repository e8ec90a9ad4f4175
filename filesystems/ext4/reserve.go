package ext4

import (
	"context"
	"errors"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// Data are written in three steps, so that a crash never shows what somebody
// else left in a block: Reserve chooses blocks, the caller writes them home,
// and Extend maps them in a change.

// maxReserve bounds one reservation, in blocks, so that one change can map it.
const maxReserve = 2048

// Reserve prepares the n bytes at off to be written, or as many of them from
// off on as the answer covers. The inode must not change before Extend or
// Release.
func (fs *FileSystem) Reserve(ctx context.Context, ino vfs.Ino, off, count int64) (*vfs.Reservation, error) {
	num, err := fs.number(ino)
	if err != nil {
		return nil, err
	}
	n, err := fs.iget(ctx, num)
	if err != nil {
		return nil, err
	}
	if off < 0 || count <= 0 {
		return nil, syscall.EINVAL
	}
	if off > math.MaxInt64-count {
		return nil, syscall.EFBIG
	}
	if err := n.mayWrite(off + count); err != nil {
		return nil, err
	}
	if fs.w == nil {
		return nil, syscall.EROFS
	}
	if n, err = fs.outline(ctx, ino, n); err != nil {
		return nil, err
	}
	if off > n.size() {
		if err := fs.zeroTail(ctx, n, n.size()); err != nil {
			return nil, err
		}
	}
	bits := fs.geo.blockBits
	first, end := uint64(off)>>bits, uint64(off+count-1)>>bits+1
	end = min(end, first+maxReserve)
	r := &vfs.Reservation{Ino: ino, Off: off}
	res := &reservation{fs: fs}
	r.Driver = res
	for lblk, extents := first, 0; lblk < end && extents < spare/2; extents++ {
		at, err := n.runAt(ctx, lblk)
		if err != nil {
			res.release()
			return nil, err
		}
		want := min(at.len, end-lblk)
		p := vfs.Place{Dev: fs.w.dev, FileOff: int64(lblk << bits)}
		switch {
		case at.hole():
			s, err := fs.reserveData(ctx, fs.dataGoal(ctx, n, lblk), want)
			if err != nil {
				if len(r.Places) > 0 {
					return r, nil
				}
				return nil, err
			}
			res.fresh = append(res.fresh, mapping{lblk, s.len, s.start, false})
			at.start, want, p.Fresh = s.start, s.len, true
		case at.unwritten:
			res.unwritten = append(res.unwritten, mapping{lblk, want, at.start, false})
			p.Fresh = true
		}
		p.Off, p.Len = int64(at.start<<bits), int64(want<<bits)
		r.Places = append(r.Places, p)
		lblk += want
	}
	return r, nil
}

// dataGoal is where the block lblk of a file is best put: behind the one before.
func (fs *FileSystem) dataGoal(ctx context.Context, n *inode, lblk uint64) uint64 {
	if lblk > 0 {
		if r, err := n.runAt(ctx, lblk-1); err == nil && !r.hole() {
			return r.start + 1
		}
	}
	return fs.geo.groupStart((n.num - 1) / fs.geo.inodesPerGroup)
}

// reservation is what Extend makes of the places that were written.
type reservation struct {
	fs        *FileSystem
	fresh     []mapping // blocks that are held
	unwritten []mapping // blocks of the file that nothing was written to
	over      bool
}

// release gives the held blocks back.
func (r *reservation) release() {
	if r.over {
		return
	}
	r.over = true
	for _, m := range r.fresh {
		r.fs.release(span{m.start, m.len})
	}
}

// Release gives up what was reserved and not extended.
func (fs *FileSystem) Release(r *vfs.Reservation) {
	if res, ok := r.Driver.(*reservation); ok {
		res.release()
	}
}

var errReservation = errors.New("ext4: a reservation of another filesystem, or one that was used")

// Extend maps what was reserved and written, and makes the file at least size
// bytes long.
func (x *tx) Extend(ctx context.Context, r *vfs.Reservation, size int64) error {
	res, ok := r.Driver.(*reservation)
	if !ok || res.fs != x.fs || res.over {
		return errReservation
	}
	n, err := x.named(ctx, r.Ino)
	if err != nil {
		return err
	}
	if err := n.mayWrite(size); err != nil {
		return err
	}
	for _, m := range res.unwritten {
		if done, err := x.removeExtents(ctx, n, m.lblk, m.end(), false); err != nil {
			return err
		} else if !done {
			return errors.New("ext4: a change of too many extents")
		}
		if err := x.insertExtent(ctx, n, m); err != nil {
			return err
		}
	}
	for _, m := range res.fresh {
		if err := x.use(ctx, span{m.start, m.len}); err != nil {
			return err
		}
		x.addBlocks(n, int64(m.len))
		if err := x.mapBlocks(ctx, n, m); err != nil {
			return err
		}
	}
	if size > n.size() {
		if err := x.setSize(ctx, n, size); err != nil {
			return err
		}
	}
	x.touch(n)
	x.t.OnDone(func() { res.over = true })
	return nil
}
