package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"strings"

	"golang.org/x/crypto/xts"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A Cipher decrypts one sector in place; number is what its initialisation
// vector is made from. It is safe for any number of goroutines.
type Cipher interface {
	Decrypt(sector []byte, number uint64)
}

// New is the cipher that dm-crypt calls spec: "aes-xts-plain64",
// "aes-cbc-essiv:sha256". The key may be wiped afterwards.
func New(spec string, key []byte) (Cipher, error) {
	name, rest, _ := strings.Cut(spec, "-")
	mode, iv, _ := strings.Cut(rest, "-")
	if name != "aes" {
		return nil, ondisk.Unsupported("encrypted volume", "the cipher %.64q", spec)
	}
	switch {
	case mode == "xts" && (iv == "plain64" || iv == "plain"):
		c, err := xts.NewCipher(aes.NewCipher, key)
		if err != nil {
			return nil, ondisk.Corrupt("encryption header", 0, "a key of %d bytes for %.64q", len(key), spec)
		}
		return xtsCipher{c, iv == "plain"}, nil
	case mode == "cbc":
		b, err := aes.NewCipher(key)
		if err != nil {
			return nil, ondisk.Corrupt("encryption header", 0, "a key of %d bytes for %.64q", len(key), spec)
		}
		c := cbcCipher{block: b}
		kind, hashName, _ := strings.Cut(iv, ":")
		switch kind {
		case "plain", "plain64":
			c.short = kind == "plain"
			return c, nil
		case "essiv":
			// The initialisation vector is encrypted with a hash of the key.
			h, err := NewHash(hashName)
			if err != nil {
				return nil, err
			}
			sum := h()
			sum.Write(key)
			salt := sum.Sum(nil)
			defer clear(salt)
			if c.essiv, err = aes.NewCipher(salt); err != nil {
				return nil, ondisk.Unsupported("encrypted volume", "the cipher %.64q, whose hash is no AES key,", spec)
			}
			return c, nil
		}
	}
	return nil, ondisk.Unsupported("encrypted volume", "the cipher %.64q", spec)
}

// KeySize says whether spec takes keys of n bytes.
func KeySize(spec string, n int) bool {
	if strings.HasPrefix(spec, "aes-xts-") {
		return n == 32 || n == 64
	}
	return n == 16 || n == 24 || n == 32
}

type xtsCipher struct {
	c     *xts.Cipher
	short bool // 32 bits of the number count
}

func (x xtsCipher) Decrypt(sector []byte, number uint64) {
	if x.short {
		number &= 1<<32 - 1
	}
	x.c.Decrypt(sector, sector, number)
}

type cbcCipher struct {
	block cipher.Block
	essiv cipher.Block // nil: the number itself
	short bool
}

func (c cbcCipher) Decrypt(sector []byte, number uint64) {
	if c.short {
		number &= 1<<32 - 1
	}
	var iv [aes.BlockSize]byte
	binary.LittleEndian.PutUint64(iv[:], number)
	if c.essiv != nil {
		c.essiv.Encrypt(iv[:], iv[:])
	}
	cipher.NewCBCDecrypter(c.block, iv[:]).CryptBlocks(sector, sector)
}
