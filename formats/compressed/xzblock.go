package compressed

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// Of a block, section 3 of the .xz file format.
const (
	xzFilterMask     = 0x03
	xzHasCompressed  = 0x40
	xzHasSize        = 0x80
	xzReservedFlags  = 0x3c
	xzFilterLZMA2    = 0x21
	xzMaxDictionary  = 40 // the largest value of LZMA2's property
	minDictionary    = 4 << 10
	blockHeaderWords = 4 // bytes of a word of the header
)

// A check is one of the checksums of section 2.1.1.2.
type check struct {
	size int
	make func() hash.Hash
}

// checkOf is the check of an id.
func checkOf(id byte) (check, error) {
	switch id {
	case 0:
		return check{}, nil
	case 1:
		return check{4, func() hash.Hash { return crc32.NewIEEE() }}, nil
	case 4:
		return check{8, func() hash.Hash { return crc64.New(crc64.MakeTable(crc64.ECMA)) }}, nil
	case 10:
		return check{sha256.Size, sha256.New}, nil
	}
	return check{}, ondisk.Unsupported(xzWhat, "the check %d", id)
}

// matches says whether sum is that of b. The CRCs are stored with the lowest
// byte first, unlike Go has them.
func (c check) matches(b, sum []byte) bool {
	if c.size == 0 {
		return true
	}
	h := c.make()
	h.Write(b)
	got := h.Sum(nil)
	if c.size < sha256.Size {
		for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
			got[i], got[j] = got[j], got[i]
		}
	}
	return bytes.Equal(got, sum)
}

// decodeXZ decodes a block that gives size bytes: a header, what is compressed,
// padding, its check.
func decodeXZ(b []byte, padding int, id byte, size int64) ([]byte, error) {
	const what = "xz block"
	c, err := checkOf(id)
	if err != nil {
		return nil, err
	}
	header := (int(b[0]) + 1) * blockHeaderWords
	if header < 2*blockHeaderWords || header+padding+c.size > len(b) {
		return nil, ondisk.Corrupt(what, 0, "a header of %d bytes", header)
	}
	body, sum := b[header:len(b)-c.size-padding], b[len(b)-c.size:]
	dictionary, err := blockDictionary(b[:header], int64(len(body)), size)
	if err != nil {
		return nil, err
	}
	r, err := lzma.Reader2Config{DictCap: int(max(minDictionary, min(dictionary, size)))}.NewReader2(bytes.NewReader(body))
	if err != nil {
		return nil, ondisk.Corrupt(what, int64(header), "%v", err)
	}
	out := make([]byte, size)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, ondisk.Corrupt(what, int64(header), "lzma2: %v", err)
	}
	var more [1]byte
	if n, err := r.Read(more[:]); n > 0 || err != io.EOF {
		return nil, ondisk.Corrupt(what, int64(header), "it does not end after %d bytes", size)
	}
	if !c.matches(out, sum) {
		return nil, ondisk.Corrupt(what, int64(header), "its checksum does not match")
	}
	return out, nil
}

// blockDictionary reads a block's header: the size of LZMA2's dictionary.
func blockDictionary(b []byte, compressed, size int64) (int64, error) {
	corrupt := func(format string, args ...any) (int64, error) {
		return 0, ondisk.Corrupt("xz block header", 0, format, args...)
	}
	body := b[:len(b)-4]
	if stored, sum := binary.LittleEndian.Uint32(b[len(body):]), crc32.ChecksumIEEE(body); stored != sum {
		return 0, ondisk.BadChecksum("xz block header", 0, stored, sum)
	}
	flags, at := body[1], 2
	if flags&xzReservedFlags != 0 {
		return 0, ondisk.Unsupported(xzWhat, "block flags %#x", flags)
	}
	next := func() (int64, bool) {
		v, n := varint(body[at:])
		at += n
		return v, n > 0
	}
	for _, f := range []struct {
		flag byte
		want int64
	}{{xzHasCompressed, compressed}, {xzHasSize, size}} {
		if flags&f.flag == 0 {
			continue
		}
		v, ok := next()
		if !ok || v != f.want {
			return corrupt("a size of %d bytes, not %d", v, f.want)
		}
	}
	id, ok1 := next()
	n, ok2 := next()
	switch {
	case !ok1 || !ok2:
		return corrupt("its filters are damaged")
	case flags&xzFilterMask != 0 || id != xzFilterLZMA2:
		return 0, &ondisk.UnsupportedError{What: xzWhat, Detail: fmt.Sprintf("the filter %#x", id), Remedy: "unpack it"}
	case n != 1 || at >= len(body) || body[at] > xzMaxDictionary:
		return corrupt("its filter's properties are damaged")
	}
	if bits := body[at]; bits < xzMaxDictionary {
		return int64(2|bits&1) << (bits/2 + 11), nil
	}
	return 1<<32 - 1, nil
}
