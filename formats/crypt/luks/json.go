package luks

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// The JSON of LUKS2, section 3. Numbers that need 64 bits are strings there.
type (
	metadata struct {
		Keyslots map[string]jsonSlot    `json:"keyslots"`
		Segments map[string]jsonSegment `json:"segments"`
		Digests  map[string]jsonDigest  `json:"digests"`
		Config   struct {
			Requirements requirements `json:"requirements"`
		} `json:"config"`
	}
	requirements struct {
		Mandatory []string `json:"mandatory"`
	}
	jsonSlot struct {
		Type     string `json:"type"`
		KeySize  int    `json:"key_size"`
		Priority *int   `json:"priority"`
		AF       struct {
			Type    string `json:"type"`
			Stripes int    `json:"stripes"`
			Hash    string `json:"hash"`
		} `json:"af"`
		Area struct {
			Type       string `json:"type"`
			Offset     string `json:"offset"`
			Size       string `json:"size"`
			Encryption string `json:"encryption"`
			KeySize    int    `json:"key_size"`
		} `json:"area"`
		KDF jsonKDF `json:"kdf"`
	}
	jsonKDF struct {
		Type       string `json:"type"`
		Hash       string `json:"hash"`
		Iterations int    `json:"iterations"`
		Time       int    `json:"time"`
		Memory     int    `json:"memory"`
		CPUs       int    `json:"cpus"`
		Salt       string `json:"salt"`
	}
	jsonSegment struct {
		Type       string          `json:"type"`
		Offset     string          `json:"offset"`
		Size       string          `json:"size"`
		Tweak      string          `json:"iv_tweak"`
		Encryption string          `json:"encryption"`
		SectorSize int64           `json:"sector_size"`
		Integrity  json.RawMessage `json:"integrity"`
		Flags      []string        `json:"flags"`
	}
	jsonDigest struct {
		Type       string   `json:"type"`
		Keyslots   []string `json:"keyslots"`
		Segments   []string `json:"segments"`
		Hash       string   `json:"hash"`
		Iterations int      `json:"iterations"`
		Salt       string   `json:"salt"`
		Digest     string   `json:"digest"`
	}
)

// secondOffsets are where the second copy of a header may be: behind the first,
// whose size is one of these (section 2.2).
func secondOffsets() []int64 {
	return []int64{0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000, 0x400000}
}

// A copy is one of the two copies of a LUKS2 header.
type headerCopy struct {
	binary   []byte
	json     []byte
	sequence uint64
}

// readV2 reads the newer of the two valid copies. head is what dev begins with.
func readV2(ctx context.Context, dev block.Device, head []byte, warn func(error)) (*Header, error) {
	if string(head[:magicSize]) == magic && u16(head, versionOffset) > 2 {
		return nil, ondisk.Unsupported("LUKS", "version %d", u16(head, versionOffset))
	}
	first, ferr := readCopy(ctx, dev, 0, magic)
	if not := (*ondisk.NotThisError)(nil); errors.As(ferr, &not) && string(head[:magicSize]) == magic {
		return nil, ondisk.Unsupported("LUKS", "version %d", u16(head, versionOffset))
	}
	var second *headerCopy
	places := secondOffsets()
	if first != nil {
		places = []int64{int64(u64(first.binary, v2Size))}
	}
	var serr error
	for _, at := range places {
		if second, serr = readCopy(ctx, dev, at, secondMagic); second != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	switch {
	case first == nil && second == nil:
		return nil, ferr
	case first == nil && u64(second.binary, v2Offset) == 0:
		return nil, ferr
	case first == nil:
		warn(fmt.Errorf("%w; the second LUKS2 header is used", ferr))
		return second.header(dev.Size())
	case second == nil:
		warn(fmt.Errorf("the second LUKS2 header is damaged: %w", serr))
	case second.sequence > first.sequence:
		first = second
	}
	return first.header(dev.Size())
}

func readCopy(ctx context.Context, dev block.Device, off int64, want string) (*headerCopy, error) {
	b := make([]byte, v2BinarySize)
	if !ondisk.Fits(off, v2BinarySize, dev.Size()) {
		return nil, ondisk.NotThis("LUKS")
	}
	if err := block.ReadFull(ctx, dev, b, off); err != nil {
		return nil, fmt.Errorf("read the LUKS2 header at byte %d: %w", off, err)
	}
	if string(b[:magicSize]) != want || u16(b, versionOffset) != 2 {
		return nil, ondisk.NotThis("LUKS")
	}
	size := u64(b, v2Size)
	if size < 2*v2BinarySize || size > maxHeaderSize || !slices.Contains(secondOffsets(), int64(size)) || u64(b, v2Offset) != uint64(off) {
		return nil, ondisk.Corrupt("LUKS2 header", off, "it has %d bytes and says that it is at %d", size, u64(b, v2Offset))
	}
	text16 := make([]byte, size-v2BinarySize)
	if err := block.ReadFull(ctx, dev, text16, off+v2BinarySize); err != nil {
		return nil, ondisk.Corrupt("LUKS2 header", off, "its %d bytes cannot be read: %v", size, err)
	}
	stored := slices.Clone(b[v2Checksum : v2Checksum+v2SumSize])
	clear(b[v2Checksum : v2Checksum+v2SumSize])
	var sum []byte
	switch alg := text(b, v2Algorithm, nameSize); alg {
	case "sha256":
		s := sha256.Sum256(slices.Concat(b, text16))
		sum = s[:]
	case "sha512":
		s := sha512.Sum512(slices.Concat(b, text16))
		sum = s[:]
	default:
		return nil, ondisk.Unsupported("LUKS2 header", "the checksum %.32q", alg)
	}
	if string(sum) != string(stored[:len(sum)]) {
		return nil, &ondisk.CorruptError{Struct: "LUKS2 header", Off: off, Checksum: true, Detail: fmt.Sprintf("stored %x, computed %x", stored[:8], sum[:8])}
	}
	doc, _, _ := strings.Cut(string(text16), "\x00")
	return &headerCopy{binary: b, json: []byte(doc), sequence: u64(b, v2Sequence)}, nil
}

// header makes sense of the JSON.
func (c *headerCopy) header(size int64) (*Header, error) {
	var m metadata
	if err := json.Unmarshal(c.json, &m); err != nil {
		return nil, ondisk.Corrupt("LUKS2 JSON area", v2BinarySize, "%v", err)
	}
	h := &Header{Version: 2, UUID: text(c.binary, v2UUID, v1UUIDSize), Label: text(c.binary, v2Label, v2LabelSize)}
	if required := m.Config.Requirements.Mandatory; len(required) > 0 {
		if slices.ContainsFunc(required, func(r string) bool { return strings.HasPrefix(r, "online-reencrypt") || r == "offline-reencrypt" }) {
			return h, ondisk.Unsupported("LUKS2", "a reencryption that has not ended (finish it in the guest, or with `cryptsetup reencrypt` on a copy)")
		}
		return h, ondisk.Unsupported("LUKS2", "the requirement %.64q", required[0])
	}
	if len(m.Segments) != 1 {
		return h, ondisk.Unsupported("LUKS2", "%d segments", len(m.Segments))
	}
	var segment string
	for name, s := range m.Segments {
		segment = name
		if err := h.segment(s, size); err != nil {
			return h, err
		}
	}
	for name, s := range m.Keyslots {
		if s.Type != "luks2" {
			continue // "reencrypt" is no key
		}
		k, err := s.slot(name)
		if err != nil {
			return h, err
		}
		if s.Priority != nil && *s.Priority == 0 {
			continue // used only where it is named
		}
		h.slots = append(h.slots, k)
	}
	slices.SortFunc(h.slots, func(a, b slot) int { return strings.Compare(fmt.Sprintf("%4s", a.name), fmt.Sprintf("%4s", b.name)) })
	for _, d := range m.Digests {
		if d.Type != "pbkdf2" || !slices.Contains(d.Segments, segment) {
			continue
		}
		salt, serr := base64.StdEncoding.DecodeString(d.Salt)
		sum, derr := base64.StdEncoding.DecodeString(d.Digest)
		if serr != nil || derr != nil || len(sum) == 0 || len(sum) > 1024 {
			return h, ondisk.Corrupt("LUKS2 digest", v2BinarySize, "no salt or digest in base64")
		}
		h.digests = append(h.digests, digest{slots: d.Keyslots, sum: sum, kdf: kdf{kind: "pbkdf2", hash: d.Hash, iterations: d.Iterations, salt: salt}})
	}
	return h, nil
}

func (h *Header) segment(s jsonSegment, size int64) error {
	h.Cipher, h.sector = s.Encryption, s.SectorSize
	switch {
	case s.Type != "crypt":
		return ondisk.Unsupported("LUKS2", "a segment of the type %.32q", s.Type)
	case len(s.Integrity) > 0 || isAuthenticated(s.Encryption):
		return ondisk.Unsupported("LUKS2", "authenticated encryption (dm-integrity)")
	}
	var err, terr error
	h.offset, err = strconv.ParseInt(s.Offset, 10, 64)
	if s.Tweak != "" {
		h.tweak, terr = strconv.ParseUint(s.Tweak, 10, 64)
	}
	if err != nil || terr != nil || h.offset < 0 || h.offset > size {
		return ondisk.Corrupt("LUKS2 segment", v2BinarySize, "it begins at %.32q of %d bytes, with the sector %.32q", s.Offset, size, s.Tweak)
	}
	if s.Size != "dynamic" {
		h.size, err = strconv.ParseInt(s.Size, 10, 64)
		if err != nil || h.size <= 0 || h.size > size-h.offset {
			return ondisk.Corrupt("LUKS2 segment", v2BinarySize, "%.32q bytes at %d of %d", s.Size, h.offset, size)
		}
	}
	if h.offset == 0 {
		return ondisk.Unsupported("LUKS2", "a detached header")
	}
	return nil
}

func (s jsonSlot) slot(name string) (slot, error) {
	bad := func(what string) (slot, error) {
		return slot{}, ondisk.Corrupt("LUKS2 key slot", v2BinarySize, "slot %.16q has no proper %s", name, what)
	}
	off, err := strconv.ParseInt(s.Area.Offset, 10, 64)
	size, err2 := strconv.ParseInt(s.Area.Size, 10, 64)
	salt, err3 := base64.StdEncoding.DecodeString(s.KDF.Salt)
	switch {
	case err != nil || err2 != nil || off < 0 || size < 0:
		return bad("area")
	case err3 != nil:
		return bad("salt")
	case s.AF.Type != "luks1" || s.Area.Type != "raw":
		return bad("kind of area")
	case s.Area.KeySize < 1 || s.Area.KeySize > 512:
		return bad("key size")
	}
	return slot{name: name, keySize: s.KeySize, stripes: s.AF.Stripes, afHash: s.AF.Hash, area: off, areaSize: size, cipher: s.Area.Encryption, areaKey: s.Area.KeySize,
		kdf: kdf{kind: s.KDF.Type, hash: s.KDF.Hash, iterations: s.KDF.Iterations, time: s.KDF.Time, memory: s.KDF.Memory, lanes: s.KDF.CPUs, salt: salt}}, nil
}
