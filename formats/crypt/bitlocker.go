package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"math/bits"

	"golang.org/x/crypto/xts"
)

// ErrAuthentication says that an authenticated message was made with another key.
var ErrAuthentication = errors.New("the message was made with another key")

// CCM opens a message of AES-CCM with a nonce of 12 bytes, a tag of 16 and no
// further data (RFC 3610), as BitLocker keeps its keys.
func CCM(key, nonce, tag, message []byte) ([]byte, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(nonce) != 12 || len(tag) != aes.BlockSize || len(message) >= 1<<24 {
		return nil, ErrAuthentication
	}
	// Counter blocks: flags, nonce, three bytes of counter.
	var counter [aes.BlockSize]byte
	counter[0] = 2
	copy(counter[1:], nonce)
	var first [aes.BlockSize]byte
	b.Encrypt(first[:], counter[:])
	counter[15] = 1
	plain := make([]byte, len(message))
	cipher.NewCTR(b, counter[:]).XORKeyStream(plain, message)

	var mac [aes.BlockSize]byte
	mac[0] = 0x3a // a tag of 16 bytes, a length of three
	copy(mac[1:], nonce)
	mac[13], mac[14], mac[15] = byte(len(message)>>16), byte(len(message)>>8), byte(len(message))
	b.Encrypt(mac[:], mac[:])
	for rest := plain; len(rest) > 0; rest = rest[min(aes.BlockSize, len(rest)):] {
		for i, x := range rest[:min(aes.BlockSize, len(rest))] {
			mac[i] ^= x
		}
		b.Encrypt(mac[:], mac[:])
	}
	subtle.XORBytes(mac[:], mac[:], first[:])
	if subtle.ConstantTimeCompare(mac[:], tag) != 1 {
		clear(plain)
		return nil, ErrAuthentication
	}
	return plain, nil
}

// NewBitLocker is the cipher of a BitLocker volume. Sectors are numbered as
// Device does; sector is their size in bytes. tweak is nil but for AES-CBC with
// the Elephant diffuser.
func NewBitLocker(isXTS bool, key, tweak []byte, sector int64) (Cipher, error) {
	if isXTS {
		c, err := xts.NewCipher(aes.NewCipher, key)
		return unitXTS{c, uint64(sector / numbered)}, err
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	c := offsetCBC{block: b}
	if tweak != nil {
		c.tweak, err = aes.NewCipher(tweak)
	}
	return c, err
}

// unitXTS counts in whole sectors.
type unitXTS struct {
	c    *xts.Cipher
	unit uint64
}

func (x unitXTS) Decrypt(sector []byte, number uint64) { x.c.Decrypt(sector, sector, number/x.unit) }

// offsetCBC is AES-CBC whose initialisation vector is the encrypted offset in
// bytes, perhaps with the Elephant diffuser (N. Ferguson, AES-CBC + Elephant
// diffuser, 2006).
type offsetCBC struct {
	block cipher.Block
	tweak cipher.Block // nil: no diffuser
}

func (c offsetCBC) Decrypt(sector []byte, number uint64) {
	var offset, iv [aes.BlockSize]byte
	binary.LittleEndian.PutUint64(offset[:], number*numbered)
	c.block.Encrypt(iv[:], offset[:])
	cipher.NewCBCDecrypter(c.block, iv[:]).CryptBlocks(sector, sector)
	if c.tweak == nil {
		return
	}
	diffuse32(sector)
	var key [2 * aes.BlockSize]byte
	c.tweak.Encrypt(key[:], offset[:])
	offset[15] = 0x80
	c.tweak.Encrypt(key[aes.BlockSize:], offset[:])
	for ; len(sector) >= len(key); sector = sector[len(key):] {
		subtle.XORBytes(sector, sector, key[:])
	}
}

// diffuse32 undoes the diffuser's B and then its A.
func diffuse32(b []byte) {
	n := len(b) / 4
	var buf [1024]uint32
	w := buf[:n]
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	turnB, turnA := [4]int{0, 10, 0, 25}, [4]int{9, 0, 13, 0}
	for range 3 {
		for i := range w {
			w[i] += w[(i+2)%n] ^ bits.RotateLeft32(w[(i+5)%n], turnB[i%4])
		}
	}
	for range 5 {
		for i := range w {
			w[i] += w[(i+n-2)%n] ^ bits.RotateLeft32(w[(i+n-5)%n], turnA[i%4])
		}
	}
	for i, x := range w {
		binary.LittleEndian.PutUint32(b[4*i:], x)
	}
}
