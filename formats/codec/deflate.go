package codec

import (
	"encoding/binary"
	"errors"
	"hash/adler32"
)

// Deflate decodes raw deflate streams (RFC 1951), of every window size up to
// the format's 32 KiB.
func Deflate() *Codec {
	c := &Codec{name: "deflate"}
	c.pool.New = func() any { return &deflate{} }
	return c
}

type deflate struct{ inflater }

func (d *deflate) decode(dst, src []byte) (int, error) {
	n, _, _, err := d.inflate(dst, src)
	return n, err
}

// Zlib decodes zlib streams (RFC 1950): deflate with a header and, where the
// stream ends within dst, a verified Adler-32.
func Zlib() *Codec {
	c := &Codec{name: "zlib"}
	c.pool.New = func() any { return &zlibStream{} }
	return c
}

type zlibStream struct{ inflater }

const (
	zlibHeaderLen  = 2
	zlibTrailerLen = 4
	zlibMethod     = 8      // CM: deflate
	zlibWindow     = 7      // CINFO: 32 KiB, the most
	zlibDictionary = 1 << 5 // FDICT in FLG
)

var (
	errZlibHeader   = errors.New("no zlib header")
	errZlibPreset   = errors.New("a preset dictionary")
	errZlibChecksum = errors.New("the Adler-32 does not match")
)

func (z *zlibStream) decode(dst, src []byte) (int, error) {
	if len(src) < zlibHeaderLen {
		return 0, errUnexpected
	}
	if cmf := src[0]; cmf&0xf != zlibMethod || cmf>>4 > zlibWindow || binary.BigEndian.Uint16(src)%31 != 0 {
		return 0, errZlibHeader
	}
	if src[1]&zlibDictionary != 0 {
		return 0, errZlibPreset
	}
	n, used, ended, err := z.inflate(dst, src[zlibHeaderLen:])
	if err != nil || !ended {
		return n, err
	}
	rest := src[zlibHeaderLen+used:]
	if len(rest) < zlibTrailerLen {
		return n, errUnexpected
	}
	if binary.BigEndian.Uint32(rest) != adler32.Checksum(dst[:n]) {
		return n, errZlibChecksum
	}
	return n, nil
}
