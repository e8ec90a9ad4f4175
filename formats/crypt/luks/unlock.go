package luks

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// ErrWrongKey says that none of the secrets opens any key slot.
var ErrWrongKey = errors.New("none of the keys opens a key slot")

// Unlock tries the secrets on the key slots and answers the decrypted data, of
// the device that the header was read from. ErrWrongKey where none fits; the
// error of a slot that could not be tried where no other fits.
func (h *Header) Unlock(ctx context.Context, dev block.Device, secrets [][]byte) (block.Device, error) {
	cipher, err := h.Open(ctx, dev, secrets)
	if err != nil {
		return nil, err
	}
	n := dev.Size() - h.offset
	if h.size > 0 {
		n = h.size
	}
	data, err := block.Section(dev, h.offset, n)
	if err != nil {
		return nil, ondisk.Corrupt("LUKS header", 0, "the data is %d bytes at %d of %d", n, h.offset, dev.Size())
	}
	return crypt.NewDevice(data, cipher, h.sector, h.tweak)
}

// Open is Unlock that answers the cipher of the data only.
func (h *Header) Open(ctx context.Context, dev block.Device, secrets [][]byte) (crypt.Cipher, error) {
	failed := ErrWrongKey
	for _, secret := range secrets {
		for _, s := range h.slots {
			key, err := s.open(ctx, dev, secret)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				failed = err
				continue
			}
			right, err := h.isKey(ctx, s.name, key)
			if err == nil && right {
				c, err := crypt.New(h.Cipher, key)
				clear(key)
				return c, err
			}
			clear(key)
			if err != nil {
				failed = err
			}
		}
	}
	return nil, failed
}

// open is what the slot gives for a secret: the volume key, or, for a wrong
// secret, anything.
func (s slot) open(ctx context.Context, dev block.Device, secret []byte) ([]byte, error) {
	size, err := crypt.SplitSize(s.keySize, s.stripes)
	if err != nil {
		return nil, err
	}
	h, err := crypt.NewHash(s.afHash)
	if err != nil {
		return nil, err
	}
	whole := (int64(size) + sectorSize - 1) / sectorSize * sectorSize
	if int64(size) > s.areaSize || !ondisk.Fits(s.area, whole, dev.Size()) {
		return nil, ondisk.Corrupt("LUKS key slot", s.area, "slot %s needs %d bytes, and its area has %d of a device of %d", s.name, size, s.areaSize, dev.Size())
	}
	if !crypt.KeySize(s.cipher, s.areaKey) {
		if _, err := crypt.New(s.cipher, make([]byte, s.areaKey)); err != nil {
			return nil, err
		}
	}
	derived, err := s.kdf.derive(ctx, secret, s.areaKey)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	c, err := crypt.New(s.cipher, derived)
	if err != nil {
		return nil, err
	}
	area, err := block.Section(dev, s.area, whole)
	if err != nil {
		return nil, err
	}
	plain, err := crypt.NewDevice(area, c, sectorSize, 0)
	if err != nil {
		return nil, err
	}
	b := make([]byte, whole)
	defer clear(b)
	if err := block.ReadFull(ctx, plain, b, 0); err != nil {
		return nil, err
	}
	return crypt.Merge(b[:size], s.keySize, s.stripes, h)
}

// isKey says whether key is the volume key, by the digest that speaks of the
// slot.
func (h *Header) isKey(ctx context.Context, slot string, key []byte) (bool, error) {
	for _, d := range h.digests {
		if d.slots != nil && !slices.Contains(d.slots, slot) {
			continue
		}
		sum, err := d.kdf.derive(ctx, key, len(d.sum))
		if err != nil {
			return false, err
		}
		if subtle.ConstantTimeCompare(sum, d.sum) == 1 {
			return true, nil
		}
	}
	return false, nil
}

func (k kdf) derive(ctx context.Context, secret []byte, n int) ([]byte, error) {
	if k.kind != "pbkdf2" {
		return crypt.Argon2(ctx, k.kind, secret, k.salt, k.time, k.memory, k.lanes, n)
	}
	h, err := crypt.NewHash(k.hash)
	if err != nil {
		return nil, err
	}
	return crypt.PBKDF2(ctx, h, secret, k.salt, k.iterations, n)
}
