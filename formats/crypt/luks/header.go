package luks

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A Header is a LUKS header that was understood.
type Header struct {
	Version int // 1 or 2
	UUID    string
	Label   string // LUKS2 only
	Cipher  string // "aes-xts-plain64"

	offset, size int64 // of the segment; size 0 is to the end
	sector       int64
	tweak        uint64 // number of the first sector
	slots        []slot
	digests      []digest
}

// A slot is a key slot in use.
type slot struct {
	name     string
	keySize  int
	stripes  int
	afHash   string
	kdf      kdf
	area     int64 // where its bytes are
	areaSize int64
	cipher   string
	areaKey  int // bytes of the derived key
}

// A kdf is a way to derive a key from a passphrase.
type kdf struct {
	kind       string // "pbkdf2", "argon2i", "argon2id"
	hash       string
	iterations int
	time       int
	memory     int // KiB
	lanes      int
	salt       []byte
}

// A digest tells the right volume key.
type digest struct {
	slots []string // nil: all
	kdf   kdf
	sum   []byte
}

// Read reads the header of dev. Where dev has none the error is an
// *ondisk.NotThisError. warn takes what is damaged and was worked around.
func Read(ctx context.Context, dev block.Device, warn func(error)) (*Header, error) {
	head := make([]byte, v2BinarySize)
	n := block.Clamp(0, v2BinarySize, dev.Size())
	if err := block.ReadFull(ctx, dev, head[:n], 0); err != nil {
		return nil, fmt.Errorf("read the LUKS header: %w", err)
	}
	if string(head[:magicSize]) == magic && u16(head, versionOffset) == 1 {
		return readV1(head, dev.Size())
	}
	return readV2(ctx, dev, head, warn)
}

// ReadDetached reads a LUKS1 header whose data is elsewhere, as inside qcow2.
func ReadDetached(ctx context.Context, dev block.Device) (*Header, error) {
	head := make([]byte, v1HeaderSize)
	if err := block.ReadFull(ctx, dev, head, 0); err != nil {
		return nil, fmt.Errorf("read the LUKS header: %w", err)
	}
	if string(head[:magicSize]) != magic {
		return nil, ondisk.Corrupt("LUKS1 header", 0, "no magic")
	}
	if v := u16(head, versionOffset); v != 1 {
		return nil, ondisk.Unsupported("detached LUKS header", "version %d", v)
	}
	return readV1(head, math.MaxInt64)
}

func readV1(b []byte, size int64) (*Header, error) {
	h := &Header{Version: 1, UUID: text(b, v1UUID, v1UUIDSize), sector: sectorSize,
		Cipher: text(b, v1Cipher, nameSize) + "-" + text(b, v1Mode, nameSize), offset: int64(u32(b, v1Payload)) * sectorSize}
	hash := text(b, v1Hash, nameSize)
	keySize := u32(b, v1KeyBytes)
	if keySize == 0 || keySize > 512 {
		return nil, ondisk.Corrupt("LUKS1 header", v1KeyBytes, "a key of %d bytes", keySize)
	}
	if h.offset >= size && h.offset != 0 {
		return nil, ondisk.Corrupt("LUKS1 header", v1Payload, "the data begins at byte %d of %d", h.offset, size)
	}
	if h.offset == 0 {
		return nil, ondisk.Unsupported("LUKS1", "a detached header")
	}
	iterations := u32(b, v1DigestIter)
	if iterations > math.MaxInt32 {
		return nil, ondisk.Corrupt("LUKS1 header", v1DigestIter, "%d iterations", iterations)
	}
	h.digests = []digest{{kdf: kdf{kind: "pbkdf2", hash: hash, iterations: int(iterations), salt: b[v1DigestSalt : v1DigestSalt+v1SaltSize]},
		sum: b[v1Digest : v1Digest+v1DigestSize]}}
	for i := range v1SlotCount {
		s := b[v1Slots+i*v1SlotSize:][:v1SlotSize]
		if u32(s, slotActive) != activeSlot {
			continue
		}
		if u32(s, slotIter) > math.MaxInt32 || u32(s, slotStripes) > math.MaxInt32 {
			return nil, ondisk.Corrupt("LUKS1 key slot", int64(v1Slots+i*v1SlotSize), "%d iterations and %d stripes", u32(s, slotIter), u32(s, slotStripes))
		}
		h.slots = append(h.slots, slot{name: fmt.Sprint(i), keySize: int(keySize), stripes: int(u32(s, slotStripes)), afHash: hash,
			kdf:  kdf{kind: "pbkdf2", hash: hash, iterations: int(u32(s, slotIter)), salt: s[slotSalt : slotSalt+v1SaltSize]},
			area: int64(u32(s, slotOffset)) * sectorSize, areaSize: math.MaxInt64, cipher: h.Cipher, areaKey: int(keySize)})
	}
	return h, nil
}

// Slots is the number of key slots in use.
func (h *Header) Slots() int { return len(h.slots) }

// Name is "LUKS1" or "LUKS2".
func (h *Header) Name() string { return fmt.Sprintf("LUKS%d", h.Version) }

// DataOffset is where the encrypted data begins, in bytes.
func (h *Header) DataOffset() int64 { return h.offset }

// isAuthenticated says whether a cipher is one with authentication.
func isAuthenticated(cipher string) bool {
	return strings.HasPrefix(cipher, "capi:authenc") || strings.Contains(cipher, "gcm") || strings.Contains(cipher, "aegis")
}
