package xlog

import (
	"bytes"
	"context"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
)

// buffer compares the format of a buffer item.
func (i *item) buffer(t *transaction) (bufFormat, error) {
	f := bufFormat{i.format(t.order)}
	if len(f.b) < bufFormatSize || uint64(f.words())*4 > uint64(len(f.b)-bufFormatSize) {
		return f, damaged(t, "a buffer item of %d bytes", len(f.b))
	}
	if f.sectors() == 0 || f.sectors() > maxBuffer {
		return f, damaged(t, "a buffer of %d sectors, expected 1 to %d", f.sectors(), maxBuffer)
	}
	return f, nil
}

// applyBuffer makes the change of a buffer item.
func (r *recovery) applyBuffer(ctx context.Context, t *transaction, it *item) error {
	f, err := it.buffer(t)
	if err != nil {
		return err
	}
	p := place{f.blkno(), uint32(f.sectors())}
	if f.flags()&bufCancel != 0 {
		r.cancelItem(p)
		return nil
	}
	if r.isCancelled(p) {
		return nil
	}
	kind := f.flags() >> bufTypeShift
	if f.flags()&bufQuota != 0 || kind == typeDquotU || kind == typeDquotP || kind == typeDquotG {
		return nil
	}
	b, off, err := r.bytesOf(ctx, t, f.blkno(), int64(f.sectors())*sector)
	if err != nil {
		return err
	}
	if lsn, ok := r.j.bufferLSN(b, kind); ok && lsn >= t.lsn {
		return nil
	}
	if f.flags()&bufInodes != 0 {
		if err := r.unlinkedPointers(t, it, f, b); err != nil {
			return err
		}
		return r.write(ctx, b, off)
	}
	if err := it.regionsOf(t, f, func(at int, data []byte) error {
		if at+len(data) > len(b) {
			return damaged(t, "%d bytes at %d of a buffer of %d", len(data), at, len(b))
		}
		copy(b[at:], data)
		return nil
	}); err != nil {
		return err
	}
	if off == 0 && len(b) >= layout.SuperSize {
		// A filesystem that was made larger has new groups from here on.
		if geo, err := layout.NewGeometry(layout.Superblock(b), 0); err == nil {
			r.j.geo = geo
		}
	}
	if r.j.geo.CRC && describesItself(kind) && r.j.headers.Of(b) != nil {
		r.pending[off] = len(b)
	} else if n, ok := r.pending[off]; ok && n <= len(b) {
		delete(r.pending, off)
	}
	return r.write(ctx, b, off)
}

// regionsOf goes through the changed stretches of a buffer, as far as their
// regions go.
func (i *item) regionsOf(t *transaction, f bufFormat, visit func(at int, data []byte) error) error {
	set := func(bit int) bool { return f.mapWord(bit/32)>>(bit%32)&1 != 0 }
	bits := int(f.words()) * 32
	bit := 0
	for region := 1; ; region++ {
		for bit < bits && !set(bit) {
			bit++
		}
		if bit == bits {
			return nil
		}
		if region >= len(i.regions) {
			return damaged(t, "a buffer of %d regions changes more", len(i.regions))
		}
		data := i.regions[region]
		n := 0
		for bit+n < bits && set(bit+n) && (n+1)*bufChunk <= len(data) {
			n++
		}
		if n == 0 {
			return damaged(t, "a region of %d bytes", len(data))
		}
		if err := visit(bit*bufChunk, data[:n*bufChunk]); err != nil {
			return err
		}
		bit += n
	}
}

// describesItself says whether buffers of a type have headers; of the others
// the bytes may look as if they had.
func describesItself(kind uint16) bool {
	return kind != typeInodes && kind != typeRTBitmap && kind != typeRTSum
}

// bufferLSN is the LSN that a buffer holds; false where all changes of it are
// to be made: version 4, kinds without one, and what another filesystem left.
func (j *Journal) bufferLSN(b []byte, kind uint16) (uint64, bool) {
	if !j.geo.CRC || kind == typeRTBitmap || kind == typeRTSum {
		return 0, false
	}
	h := j.headers.Of(b)
	if h == nil || h.Magic == layout.RemoteAttrMagic {
		return 0, false
	}
	uuid := j.geo.MetaUUID[:]
	if h.Magic == superMagic {
		uuid = j.geo.UUID[:]
	}
	if !bytes.Equal(h.ReadUUID(b), uuid) {
		return 0, false
	}
	lsn := h.ReadLSN(b)
	return lsn, lsn != 0 && lsn != 1<<64-1
}

const superMagic = 0x58465342

// sealBuffer gives a buffer an LSN and its checksum, false where it has no
// header.
func (j *Journal) sealBuffer(b []byte, lsn uint64) bool {
	h := j.headers.Of(b)
	if h == nil {
		return false
	}
	if h.Magic == layout.RemoteAttrMagic {
		// Each block has a header, and none an LSN.
		for at := 0; at+j.geo.BlockSize <= len(b); at += j.geo.BlockSize {
			if part := b[at : at+j.geo.BlockSize]; j.headers.Of(part) == h {
				h.SealSum(part)
			}
		}
		return true
	}
	h.Seal(b, lsn)
	return true
}

// unlinkedPointers takes only the pointers of unlinked inodes from a logged
// cluster: the inodes themselves are logged elsewhere.
func (r *recovery) unlinkedPointers(t *transaction, it *item, f bufFormat, b []byte) error {
	size := r.j.geo.InodeSize
	return it.regionsOf(t, f, func(at int, data []byte) error {
		for n := at / size * size; n < at+len(data) && n+size <= len(b); n += size {
			in := n + layout.InodeNextUnlinked - at // of the pointer in the region
			if in < 0 || in+4 > len(data) {
				continue
			}
			v := be32(data, in)
			if v == 0 {
				return damaged(t, "an unlinked pointer of 0")
			}
			inode := layout.Inode(b[n : n+size])
			if inode.Magic() != layout.InodeMagic {
				return damaged(t, "unlinked pointers for what is no inode: magic %#x", inode.Magic())
			}
			inode.SetNextUnlinked(v)
			if inode.Version() >= 3 {
				inode.Seal()
			}
		}
		return nil
	})
}
