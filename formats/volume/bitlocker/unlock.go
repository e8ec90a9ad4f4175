package bitlocker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// errWrongKey says that no secret opens any protector.
var errWrongKey = errors.New("none of the keys opens a protector")

// unlock is the decrypted volume.
func (m *metadata) unlock(ctx context.Context, dev block.Device, secrets [][]byte) (block.Device, error) {
	vmk, err := m.masterKey(ctx, secrets)
	if err != nil {
		return nil, err
	}
	defer clear(vmk)
	fvek, err := m.fvek.open(vmk)
	if err != nil {
		return nil, ondisk.Corrupt("BitLocker metadata", 0, "the volume master key does not open the key of the volume")
	}
	defer clear(fvek)
	c, err := m.cipher(fvek)
	if err != nil {
		return nil, err
	}
	part, err := block.Section(dev, 0, m.size)
	if err != nil {
		return nil, err
	}
	whole, err := crypt.NewDevice(part, c, m.sector, 0)
	if err != nil {
		return nil, err
	}
	return m.layout(whole)
}

// cipher is that of the sectors.
func (m *metadata) cipher(fvek []byte) (crypt.Cipher, error) {
	need := func(n int) bool { return len(fvek) >= n }
	switch method := m.method; {
	case method == 0x8000 && need(48):
		return crypt.NewBitLocker(false, fvek[:16], fvek[32:48], m.sector)
	case method == 0x8001 && need(64):
		return crypt.NewBitLocker(false, fvek[:32], fvek[32:64], m.sector)
	case method == 0x8002 && need(16):
		return crypt.NewBitLocker(false, fvek[:16], nil, m.sector)
	case method == 0x8003 && need(32):
		return crypt.NewBitLocker(false, fvek[:32], nil, m.sector)
	case method == 0x8004 && need(32):
		return crypt.NewBitLocker(true, fvek[:32], nil, m.sector)
	case method == 0x8005 && need(64):
		return crypt.NewBitLocker(true, fvek[:64], nil, m.sector)
	}
	return nil, ondisk.Unsupported("BitLocker volume", "the method %#x with a key of %d bytes", m.method, len(fvek))
}

// layout puts the start of the volume to its place, and zeros where BitLocker's
// own structures are.
func (m *metadata) layout(whole block.Device) (block.Device, error) {
	type hole struct{ off, n int64 }
	holes := []hole{{m.start, m.startSize}}
	for _, a := range m.areas {
		holes = append(holes, hole{a, metaSize})
	}
	slices.SortFunc(holes, func(a, b hole) int { return int(min(1, max(-1, a.off-b.off))) })
	first, err := block.Section(whole, m.start, m.startSize)
	if err != nil {
		return nil, err
	}
	parts, at := []block.Device{first}, m.startSize
	for _, h := range append(holes, hole{whole.Size(), 0}) {
		if h.off > at {
			p, err := block.Section(whole, at, h.off-at)
			if err != nil {
				return nil, err
			}
			parts, at = append(parts, p), h.off
		}
		if end := min(h.off+h.n, whole.Size()); end > at {
			parts, at = append(parts, block.Zeros(end-at)), end
		}
	}
	return block.Concat(parts...)
}

// open is the key in s.
func (s sealed) open(key []byte) ([]byte, error) {
	if s.body == nil {
		return nil, crypt.ErrAuthentication
	}
	b, err := crypt.CCM(key, s.nonce, s.tag, s.body)
	if err != nil || len(b) <= openedKey {
		return nil, crypt.ErrAuthentication
	}
	return b[openedKey:], nil
}

// masterKey tries the clear key, if there is one, and then the secrets.
func (m *metadata) masterKey(ctx context.Context, secrets [][]byte) ([]byte, error) {
	for _, p := range m.protectors {
		if p.kind == protectClear && p.key != nil {
			if vmk, err := p.vmk.open(p.key); err == nil {
				return vmk, nil
			}
		}
	}
	for _, secret := range secrets {
		startup, id := startupKey(secret)
		recovery := recoveryKey(string(secret))
		for _, p := range m.protectors {
			var key []byte
			switch {
			case !p.valid:
				continue
			case p.kind == protectStartup && startup != nil && id == p.guid:
				key = bytes.Clone(startup)
			case p.kind == protectRecovery && recovery != nil && p.salt != nil:
				sum := sha256.Sum256(recovery)
				key = stretch(ctx, sum, p.salt)
			case p.kind == protectPassword && p.salt != nil && startup == nil:
				key = stretch(ctx, password(secret), p.salt)
			default:
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			vmk, err := p.vmk.open(key)
			clear(key)
			if err == nil {
				return vmk, nil
			}
		}
	}
	return nil, errWrongKey
}

// password hashes twice what was typed, as UTF-16.
func password(secret []byte) [sha256.Size]byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(string(secret))) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	defer clear(b)
	sum := sha256.Sum256(b)
	return sha256.Sum256(sum[:])
}

// recoveryKey is the key in a recovery password: eight groups of six digits,
// each a multiple of 11; nil where s is none.
func recoveryKey(s string) []byte {
	groups := strings.Split(strings.TrimSpace(s), "-")
	if len(groups) != 8 {
		return nil
	}
	var key []byte
	for _, g := range groups {
		n, err := strconv.ParseUint(g, 10, 32)
		if err != nil || len(g) != 6 || n%11 != 0 || n/11 > 0xffff {
			return nil
		}
		key = binary.LittleEndian.AppendUint16(key, uint16(n/11))
	}
	return key
}

// startupKey is the key in a .BEK file and the protector that it is for; nil
// where b is none.
func startupKey(b []byte) (key []byte, id string) {
	if len(b) < bekHeader || len(b) > metaSize || int(u32(b, 0)) > len(b) || u32(b, 4) != 1 || u32(b, 8) != bekHeader {
		return nil, ""
	}
	_ = entries(b[bekHeader:], func(typ, value uint16, data []byte) {
		if typ != typeStartup || value != valueExternal || len(data) < bekEntries {
			return
		}
		id = guid(data)
		_ = entries(data[bekEntries:], func(_, value uint16, data []byte) {
			if value == valueKey && len(data) == keyMethod+keySize {
				key = data[keyMethod:]
			}
		})
	})
	return key, id
}

// stretch makes guessing expensive: a million hashes, each over the one before,
// the first, the salt, and how many there were.
func stretch(ctx context.Context, initial [sha256.Size]byte, salt []byte) []byte {
	const at = 2*sha256.Size + saltSize
	var b [at + 8]byte
	defer clear(b[:])
	copy(b[sha256.Size:], initial[:])
	copy(b[2*sha256.Size:], salt)
	for i := range uint64(stretchings) {
		if i%(1<<16) == 0 && ctx.Err() != nil {
			break // whoever called asks again
		}
		binary.LittleEndian.PutUint64(b[at:], i)
		sum := sha256.Sum256(b[:])
		copy(b[:], sum[:])
	}
	return bytes.Clone(b[:sha256.Size])
}
