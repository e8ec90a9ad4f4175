package btrfs

import (
	"context"

	"github.com/guestctl/guestctl/formats/ondisk"
)

const whatData = "btrfs data (logical)"

// pooledRead is the longest unaligned read that is made whole sectors of in a
// buffer; of longer ones only the ends are.
const pooledRead = 256 << 10

// readData reads p at a logical address, and verifies the sectors that it
// touches where sums is set.
func (fs *FileSystem) readData(ctx context.Context, p []byte, logical uint64, sums bool) error {
	if !sums {
		return fs.readSectors(ctx, p, logical, false)
	}
	sector := uint64(fs.geo.sector)
	head, tail := logical%sector, (logical+uint64(len(p)))%sector
	switch {
	case head == 0 && tail == 0:
		return fs.readSectors(ctx, p, logical, true)
	case len(p) <= pooledRead:
		from, to := logical-head, (logical+uint64(len(p))+sector-1)&^(sector-1)
		buf := fs.buffer(int(to - from))
		defer fs.buffers.Put(buf)
		if err := fs.readSectors(ctx, *buf, from, true); err != nil {
			return err
		}
		copy(p, (*buf)[head:])
		return nil
	}
	if head != 0 {
		n := int(sector - head)
		if err := fs.readData(ctx, p[:n], logical, true); err != nil {
			return err
		}
		p, logical = p[n:], logical+uint64(n)
	}
	body := len(p) - int(tail)
	if err := fs.readSectors(ctx, p[:body], logical, true); err != nil {
		return err
	}
	return fs.readData(ctx, p[body:], logical+uint64(body), true)
}

// readSectors reads whole sectors. Each is taken from whichever copy is good.
func (fs *FileSystem) readSectors(ctx context.Context, p []byte, logical uint64, sums bool) error {
	if len(p) == 0 {
		return nil
	}
	sector := int(fs.geo.sector)
	var stored []byte
	if sums {
		buf := fs.buffer(len(p) / sector * fs.geo.sum.size)
		defer fs.buffers.Put(buf)
		stored = *buf
		if err := fs.findSums(ctx, stored, logical); err != nil {
			return err
		}
	}
	for len(p) > 0 {
		part := len(p)
		c, err := fs.chunks.find(logical)
		if err != nil {
			return err
		}
		if c.parity > 0 || logical+uint64(part) > c.end() {
			_, _, n := c.place(logical - c.start)
			part = int(min(uint64(part), n))
		}
		count := 0
		if sums {
			count = part / sector * fs.geo.sum.size
		}
		if err := fs.readPart(ctx, p[:part], logical, stored[:count]); err != nil {
			return err
		}
		p, stored, logical = p[part:], stored[count:], logical+uint64(part)
	}
	return nil
}

// readPart reads what one attempt can read at once, and sector by sector where
// no copy is good as a whole.
func (fs *FileSystem) readPart(ctx context.Context, p []byte, logical uint64, stored []byte) error {
	sector := int(fs.geo.sector)
	err := fs.chunks.readVerified(ctx, p, logical, fs.log, func() error { return fs.verifySectors(p, logical, stored) })
	if err == nil || len(p) <= sector || ctx.Err() != nil || isMissing(err) {
		return err
	}
	for at := 0; at < len(p); at += sector {
		part := p[at:min(at+sector, len(p))]
		var sum []byte
		if len(stored) > 0 {
			sum = stored[at/sector*fs.geo.sum.size:][:fs.geo.sum.size]
		}
		here := logical + uint64(at)
		if err := fs.chunks.readVerified(ctx, part, here, fs.log, func() error { return fs.verifySectors(part, here, sum) }); err != nil {
			return err
		}
	}
	return nil
}

// verifySectors compares p, whole sectors, with its stored checksums; with
// none it has nothing against it.
func (fs *FileSystem) verifySectors(p []byte, logical uint64, stored []byte) error {
	if len(stored) == 0 {
		return nil
	}
	sector, size := int(fs.geo.sector), fs.geo.sum.size
	for at := 0; at < len(p); at += sector {
		if sum := stored[at/sector*size:]; !fs.geo.sum.matches(sum, p[at:at+sector]) {
			return fs.geo.sum.mismatch(whatData, logical+uint64(at), sum, p[at:at+sector])
		}
	}
	return nil
}

// findSums collects the checksums of the sectors from logical on, as many as
// out has room for.
func (fs *FileSystem) findSums(ctx context.Context, out []byte, logical uint64) error {
	sector, size := uint64(fs.geo.sector), fs.geo.sum.size
	var c cursor
	for len(out) > 0 {
		if n := fs.after.sums(out, logical, fs.geo); n > 0 {
			out, logical = out[n:], logical+uint64(n/size)*sector
			continue
		}
		if fs.sums == nil {
			return ondisk.Corrupt(whatData, int64(logical), "there is no tree of checksums")
		}
		var err error
		if c.ok {
			err = c.next(ctx)
		} else {
			c, err = fs.sums.floor(ctx, key{extentCsumID, extentCsumType, logical})
		}
		if err != nil {
			return err
		}
		in := (logical - c.key.off) / sector
		if !c.ok || c.key.id != extentCsumID || c.key.typ != extentCsumType || c.key.off > logical ||
			(logical-c.key.off)%sector != 0 || in >= uint64(len(c.data)/size) {
			return &ondisk.CorruptError{Struct: whatData, Off: int64(logical), Checksum: true, Detail: "it has no checksum"}
		}
		// The log's are asked again where they begin.
		room := fs.after.nextSum(logical)
		have := c.data[in*uint64(size) : len(c.data)/size*size]
		if room != 0 {
			have = have[:min(uint64(len(have)), (room-logical)/sector*uint64(size))]
			c.ok = false
		}
		n := copy(out, have)
		out, logical = out[n:], logical+uint64(n/size)*sector
	}
	return nil
}
