package crypt

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"runtime/debug"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/ripemd160" //nolint:staticcheck // what LUKS headers were made with

	"github.com/guestctl/guestctl/formats/ondisk"
)

// Bounds of Argon2: those of LUKS2 for memory and lanes, and for both costs
// together what takes a processor some minutes.
const (
	maxArgonMemory = 4 << 20  // KiB
	maxArgonWork   = 64 << 20 // KiB, times passes
	maxArgonLanes  = 16
)

// NewHash is the hash of that name, as LUKS headers have it.
func NewHash(name string) (func() hash.Hash, error) {
	switch name {
	case "sha1":
		return sha1.New, nil
	case "sha224":
		return sha256.New224, nil
	case "sha256":
		return sha256.New, nil
	case "sha384":
		return sha512.New384, nil
	case "sha512":
		return sha512.New, nil
	case "ripemd160":
		return ripemd160.New, nil
	}
	return nil, ondisk.Unsupported("encrypted volume", "the hash %.32q", name)
}

// PBKDF2 derives n bytes (RFC 8018, section 5.2). Unlike the standard library
// it asks ctx now and then, since a hostile header can ask for hours.
func PBKDF2(ctx context.Context, h func() hash.Hash, password, salt []byte, iterations, n int) ([]byte, error) {
	if iterations < 1 {
		return nil, ondisk.Corrupt("key derivation", 0, "%d iterations", iterations)
	}
	mac := hmac.New(h, password)
	size := mac.Size()
	key := make([]byte, 0, n+size)
	u, t := make([]byte, size), make([]byte, size)
	for block := uint32(1); len(key) < n; block++ {
		mac.Reset()
		mac.Write(salt)
		mac.Write(binary.BigEndian.AppendUint32(nil, block))
		u = mac.Sum(u[:0])
		copy(t, u)
		for i := 1; i < iterations; i++ {
			if i%(1<<16) == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			mac.Reset()
			mac.Write(u)
			u = mac.Sum(u[:0])
			for j, x := range u {
				t[j] ^= x
			}
		}
		key = append(key, t...)
	}
	clear(u)
	clear(t)
	return key[:n], nil
}

// Argon2 derives n bytes with argon2i or argon2id; memory is in KiB.
func Argon2(ctx context.Context, kind string, password, salt []byte, time, memory, lanes, n int) ([]byte, error) {
	switch {
	case time < 1 || memory < 8 || lanes < 1 || lanes > maxArgonLanes || memory > maxArgonMemory:
		return nil, ondisk.Corrupt("key derivation", 0, "%s with %d passes over %d KiB in %d lanes", kind, time, memory, lanes)
	case time > maxArgonWork/memory:
		return nil, ondisk.Unsupported("key derivation", "%s with %d passes over %d KiB, which would take very long,", kind, time, memory)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Up to a gigabyte that is needed once goes back to the system.
	defer debug.FreeOSMemory()
	switch kind {
	case "argon2i":
		return argon2.Key(password, salt, uint32(time), uint32(memory), uint8(lanes), uint32(n)), nil
	case "argon2id":
		return argon2.IDKey(password, salt, uint32(time), uint32(memory), uint8(lanes), uint32(n)), nil
	}
	return nil, fmt.Errorf("key derivation: %w", ondisk.Unsupported("encrypted volume", "the key derivation %.32q", kind))
}
