package ext4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// Names in an encrypted directory are shown as the kernel shows them without
// the key: base64url of the name's two hashes and its ciphertext, of which what
// is longer than noKeyBytes is replaced by its SHA-256.
const (
	noKeyHashes = 8
	noKeyBytes  = 149
)

// noKeyLen is the length of the form in which n bytes of ciphertext are shown.
func noKeyLen(n int) int {
	if n > noKeyBytes {
		n = noKeyBytes + sha256.Size
	}
	return base64.RawURLEncoding.EncodedLen(noKeyHashes + max(n, 0))
}

// noKeyName is the form in which ciphertext is shown.
func noKeyName(hash, minor uint32, ciphertext []byte) string {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, noKeyHashes+noKeyBytes+sha256.Size), hash)
	b = binary.LittleEndian.AppendUint32(b, minor)
	b = append(b, ciphertext[:min(len(ciphertext), noKeyBytes)]...)
	if len(ciphertext) > noKeyBytes {
		sum := sha256.Sum256(ciphertext[noKeyBytes:])
		b = append(b, sum[:]...)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// noKey is a shown name taken apart. The zero noKey matches nothing.
type noKey struct {
	hash  uint32
	bytes []byte // of the ciphertext
	sum   []byte // of its rest; nil where there is none
	whole bool   // bytes are all of it
}

// parseNoKey takes a shown name apart.
func parseNoKey(name string) noKey {
	b, err := base64.RawURLEncoding.Strict().DecodeString(name)
	if err != nil || len(b) <= noKeyHashes || len(b) > noKeyHashes+noKeyBytes && len(b) != noKeyHashes+noKeyBytes+sha256.Size {
		return noKey{}
	}
	k := noKey{hash: binary.LittleEndian.Uint32(b), bytes: b[noKeyHashes:], whole: true}
	if len(k.bytes) > noKeyBytes {
		k.bytes, k.sum, k.whole = k.bytes[:noKeyBytes], k.bytes[noKeyBytes:], false
	}
	return k
}

// matches says whether ciphertext is what the shown name stands for.
func (k noKey) matches(ciphertext []byte) bool {
	if len(k.bytes) == 0 || k.sum == nil {
		return len(k.bytes) > 0 && bytes.Equal(ciphertext, k.bytes)
	}
	if len(ciphertext) <= noKeyBytes || !bytes.HasPrefix(ciphertext, k.bytes) {
		return false
	}
	sum := sha256.Sum256(ciphertext[noKeyBytes:])
	return bytes.Equal(sum[:], k.sum)
}

// nameShow is how the names of one directory are shown.
type nameShow struct {
	encrypted bool
	stored    bool  // the hashes stand behind the name
	version   uint8 // of the hash that is computed, where hashed is set
	hashed    bool
	seed      [4]uint32
}

// nameShow decides as the kernel does: in an encrypted directory that is
// listed in the order of hashes the name's are shown, else zeros.
func (n *inode) nameShow(ctx context.Context) nameShow {
	s := nameShow{encrypted: n.flag(flagEncrypt)}
	if !s.encrypted {
		return s
	}
	s.stored = n.flag(flagCasefold)
	s.hashed = !s.stored && n.fs.sb.hasCompat(compatDirIndex) && (n.flag(flagIndex) || n.dirBlocks() == 1)
	s.version, s.seed = n.fs.sb.defHashVersion(), n.fs.sb.hashSeed()
	if s.hashed && n.flag(flagIndex) {
		root, ok, err := n.dirBlock(ctx, 0)
		if err != nil || !ok {
			s.hashed = false
			return s
		}
		s.version = dxInfo(root[dxRootInfo:]).hashVersion()
	}
	s.version = n.fs.geo.hashVersion(s.version)
	return s
}

// name is the form in which an entry of length bytes is shown.
func (s *nameShow) name(d dirent, length int) string {
	if !s.encrypted {
		return string(d.name())
	}
	if at := (direntHeader + d.nameLen() + 3) &^ 3; s.stored && at+direntHash <= length {
		return noKeyName(u32(d, at), u32(d, at+4), d.name())
	}
	return s.plain(d.name())
}

// plain is the form in which a name is shown that is in no entry.
func (s *nameShow) plain(name []byte) string {
	if !s.encrypted {
		return string(name)
	}
	var hash, minor uint32
	if s.hashed {
		hash, minor, _ = dirHash(s.version, s.seed, name)
	}
	return noKeyName(hash, minor, name)
}
