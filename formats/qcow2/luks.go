package qcow2

import (
	"context"
	"errors"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/formats/crypt/luks"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A fullDisk is where the full disk encryption header pointer says that the
// LUKS header is, section "Full disk encryption header pointer".
type fullDisk struct{ off, n uint64 }

// unlock is data with its plain clusters decrypted: each sector by the place
// that it has in the file, section "Data encryption". Compressed clusters are
// never encrypted.
func (d *disk) unlock(ctx context.Context, opt image.Options) (block.Device, error) {
	h, src := d.h, d.src
	if d.external {
		return nil, ondisk.Unsupported(what, "LUKS encryption of an external data file")
	}
	if opt.Writable {
		return nil, &ondisk.UnsupportedError{What: what, Detail: "writing to an image with LUKS encryption", Remedy: "open it read-only"}
	}
	size := uint64(src.Size())
	if h.luks.n == 0 || h.luks.off > size || h.luks.n > size-h.luks.off {
		return nil, ondisk.Corrupt("qcow2 full disk encryption header pointer", 0, "%d bytes at %d of a file of %d", h.luks.n, h.luks.off, size)
	}
	part, err := block.Section(src, int64(h.luks.off), int64(h.luks.n))
	if err != nil {
		return nil, err
	}
	header, err := luks.ReadDetached(ctx, part)
	if err != nil {
		return nil, err
	}
	locked := &crypt.LockedError{What: "LUKS inside qcow2", UUID: header.UUID}
	secrets := opt.Keys.For(header.UUID)
	defer crypt.WipeAll(secrets)
	if len(secrets) == 0 {
		return nil, locked
	}
	cipher, err := header.Open(ctx, part, secrets)
	if errors.Is(err, luks.ErrWrongKey) {
		locked.Tried = len(secrets)
		return nil, locked
	}
	if err != nil {
		return nil, err
	}
	return crypt.NewDevice(src, cipher, compressedSector, 0)
}
