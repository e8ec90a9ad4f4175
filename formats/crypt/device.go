package crypt

import (
	"context"
	"io"
	"runtime"
	"sync"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// part is the least that is worth a goroutine of its own, in bytes: some 50
// microseconds of decryption.
const part = 64 << 10

// numbered is the unit that sectors are numbered in, whatever their size: as
// dm-crypt has it without iv_large_sectors.
const numbered = 512

// A Device decrypts what dev holds.
type Device struct {
	dev    block.Device
	cipher Cipher
	sector int64
	first  uint64 // number of the first sector
	size   int64
}

// NewDevice decrypts dev, whose sectors have that many bytes; the first one has
// the number first, and numbers count 512 bytes. What is behind the last whole
// sector is left out.
func NewDevice(dev block.Device, c Cipher, sector int64, first uint64) (*Device, error) {
	if sector < numbered || sector > 4096 || sector&(sector-1) != 0 {
		return nil, ondisk.Unsupported("encrypted volume", "sectors of %d bytes", sector)
	}
	return &Device{dev: dev, cipher: c, sector: sector, first: first, size: dev.Size() / sector * sector}, nil
}

// Size is the number of bytes.
func (d *Device) Size() int64 { return d.size }

// ReadAt reads and decrypts, large reads on several cores.
func (d *Device) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), d.size)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	done := int64(0)
	for done < n {
		at := off + done
		in := at % d.sector
		whole := (n - done) / d.sector * d.sector
		if in == 0 && whole > 0 {
			// Whole sectors are read to where they go and decrypted there.
			if err := block.ReadFull(ctx, d.dev, p[done:done+whole], at); err != nil {
				return int(done), err
			}
			d.decrypt(p[done:done+whole], at)
			done += whole
			continue
		}
		var buf [4096]byte
		b := buf[:d.sector]
		if err := block.ReadFull(ctx, d.dev, b, at-in); err != nil {
			return int(done), err
		}
		d.decrypt(b, at-in)
		done += int64(copy(p[done:n], b[in:]))
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// decrypt decrypts whole sectors, which begin at off.
func (d *Device) decrypt(b []byte, off int64) {
	if len(b) < 2*part {
		d.decryptPart(b, off)
		return
	}
	var wg sync.WaitGroup
	share := max(part, (len(b)/runtime.GOMAXPROCS(0)+part-1)/part*part)
	for len(b) > 0 {
		n := min(share, len(b))
		some, at := b[:n], off
		wg.Go(func() { d.decryptPart(some, at) })
		b, off = b[n:], off+int64(n)
	}
	wg.Wait()
}

func (d *Device) decryptPart(b []byte, off int64) {
	for ; len(b) > 0; b, off = b[d.sector:], off+d.sector {
		d.cipher.Decrypt(b[:d.sector], d.first+uint64(off/numbered))
	}
}

// Locate answers Opaque.
func (d *Device) Locate(_ context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, d.size); n == 0 {
		return block.Run{}, io.EOF
	}
	return block.Run{Kind: block.Opaque, Len: n}, nil
}

// Prefetch passes the hint down.
func (d *Device) Prefetch(off, n int64) {
	if n = block.Clamp(off, n, d.size); n > 0 {
		block.Prefetch(d.dev, off, n)
	}
}
