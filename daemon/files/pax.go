package files

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/guestctl/guestctl/vfs"
)

// The header block of POSIX.1-2017, pax, "ustar Interchange Format".
const (
	tarBlock = 512

	tarName     = 0 // 100 bytes
	tarMode     = 100
	tarUID      = 108
	tarGID      = 116
	tarSize     = 124
	tarMtime    = 136
	tarChecksum = 148
	tarType     = 156
	tarLink     = 157 // 100 bytes
	tarMagic    = 257 // "ustar", NUL, "00"
	tarMajor    = 329
	tarMinor    = 337
	tarPrefix   = 345 // 155 bytes
	tarEnd      = 500

	tarNameLen   = tarMode - tarName
	tarPrefixLen = tarEnd - tarPrefix
	maxOctal7    = 1<<21 - 1
	maxOctal11   = 1<<33 - 1
)

// The type flags.
const (
	tarRegular  = '0'
	tarHardLink = '1'
	tarSymlink  = '2'
	tarChar     = '3'
	tarBlockDev = '4'
	tarDir      = '5'
	tarFifo     = '6'
	tarExtended = 'x'
)

// A member is a header of a tar archive, in the pax format.
type member struct {
	name   string // as it stands in the archive: "./etc/"
	link   string // target of a hard link or symlink
	flag   byte
	mode   uint32 // permission bits
	uid    uint32
	gid    uint32
	rdev   uint32 // new_encode_dev
	size   int64  // of the data that follows
	mtime  vfs.Time
	xattrs map[string]string
	// real is a sparse file's size: the data is GNU's sparse format 1.0. -1
	// for all others.
	real int64

	// copied writes what Extract needs and no other reader knows: atime, that
	// it is a socket, and a sparse file's map under a name of our own.
	copied bool
	atime  vfs.Time
	socket bool
	links  uint32 // names that it has
}

// The keywords of our own, for Extract.
const (
	paxSize   = "GUESTCTL.size"     // of a file whose data is its map and its segments
	paxType   = "GUESTCTL.filetype" // "socket"
	paxLinks  = "GUESTCTL.links"    // of a file with several names
	paxXattrs = "SCHILY.xattr."
)

// A record is one keyword of an extended header.
type record struct{ key, value string }

// appendTo writes the header blocks: an extended header where the ustar header
// cannot say it all, and the ustar header. The output is the same for the same
// member, byte for byte.
func (m *member) appendTo(b []byte) []byte {
	records := make([]record, 0, 8)
	add := func(key, value string) { records = append(records, record{key, value}) }
	var block [tarBlock]byte
	h := block[:]

	name := m.name
	switch {
	case m.real >= 0 && m.copied:
		add(paxSize, strconv.FormatInt(m.real, 10))
	case m.real >= 0:
		// GNU tar manual, "PAX Format, Version 1.0".
		add("GNU.sparse.major", "1")
		add("GNU.sparse.minor", "0")
		add("GNU.sparse.name", m.name)
		add("GNU.sparse.realsize", strconv.FormatInt(m.real, 10))
		name = "./GNUSparseFile.0/" + plain(m.name, 60)
	}
	if !putName(h, name) {
		add("path", name)
		copy(h[tarName:tarMode], plain(name, tarNameLen))
	}
	if len(m.link) > tarNameLen || !inHeader(m.link) {
		add("linkpath", m.link)
		copy(h[tarLink:tarMagic], plain(m.link, tarNameLen))
	} else {
		copy(h[tarLink:], m.link)
	}
	putOctal(h[tarMode:tarUID], int64(m.mode), maxOctal7)
	if !putOctal(h[tarUID:tarGID], int64(m.uid), maxOctal7) {
		add("uid", strconv.FormatUint(uint64(m.uid), 10))
	}
	if !putOctal(h[tarGID:tarSize], int64(m.gid), maxOctal7) {
		add("gid", strconv.FormatUint(uint64(m.gid), 10))
	}
	if !putOctal(h[tarSize:tarMtime], m.size, maxOctal11) {
		add("size", strconv.FormatInt(m.size, 10))
	}
	if !putOctal(h[tarMtime:tarChecksum], m.mtime.Sec, maxOctal11) || m.mtime.Nsec != 0 {
		add("mtime", paxTime(m.mtime))
	}
	if m.flag == tarChar || m.flag == tarBlockDev {
		major, minor := decodeDev(m.rdev)
		putOctal(h[tarMajor:tarMinor], int64(major), maxOctal7)
		putOctal(h[tarMinor:tarPrefix], int64(minor), maxOctal7)
	}
	if m.copied {
		add("atime", paxTime(m.atime))
	}
	if m.links > 1 {
		add(paxLinks, strconv.FormatUint(uint64(m.links), 10))
	}
	if m.socket {
		add(paxType, "socket")
	}
	for name, value := range m.xattrs {
		add(paxXattrs+xattrKeyword(name), value)
	}
	if len(records) > 0 {
		b = appendExtended(b, m.name, records)
	}
	seal(h, m.flag)
	return append(b, h...)
}

// xattrKeyword writes an xattr's name as a keyword, which cannot hold a "=",
// in the way of GNU tar (xheader.c, xattr_encode_keyword).
func xattrKeyword(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "%", "%25"), "=", "%3D")
}

// appendExtended writes the pax header of a member.
func appendExtended(b []byte, name string, records []record) []byte {
	slices.SortFunc(records, func(a, b record) int { return strings.Compare(a.key, b.key) })
	start := len(b)
	b = append(b, make([]byte, tarBlock)...)
	for _, r := range records {
		// hdrcharset stands before what it is about (POSIX.1-2017, pax).
		if (r.key == "path" || r.key == "linkpath" || r.key == "GNU.sparse.name") && !utf8.ValidString(r.value) {
			b = appendRecord(b, record{"hdrcharset", "BINARY"})
			break
		}
	}
	for _, r := range records {
		b = appendRecord(b, r)
	}
	size := int64(len(b) - start - tarBlock)
	h := b[start : start+tarBlock]
	copy(h, "./PaxHeaders/")
	copy(h[len("./PaxHeaders/"):], plain(strings.TrimSuffix(name, "/"), 80))
	putOctal(h[tarMode:tarUID], 0o644, maxOctal7)
	putOctal(h[tarUID:tarGID], 0, maxOctal7)
	putOctal(h[tarGID:tarSize], 0, maxOctal7)
	putOctal(h[tarSize:tarMtime], size, maxOctal11)
	putOctal(h[tarMtime:tarChecksum], 0, maxOctal11)
	seal(h, tarExtended)
	return appendPadding(b, size)
}

// appendRecord writes "length key=value\n", whose length counts itself.
func appendRecord(b []byte, r record) []byte {
	n := len(r.key) + len(r.value) + len(" =\n")
	total := n + digits(n)
	if digits(total) > digits(n) {
		total = n + digits(total)
	}
	b = strconv.AppendInt(b, int64(total), 10)
	b = append(b, ' ')
	b = append(b, r.key...)
	b = append(b, '=')
	b = append(b, r.value...)
	return append(b, '\n')
}

// digits is how many decimal digits n > 0 has.
func digits(n int) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}

// seal completes a header with its type and checksum.
func seal(h []byte, flag byte) {
	h[tarType] = flag
	copy(h[tarMagic:], "ustar\x0000")
	copy(h[tarChecksum:], "        ")
	sum := int64(0)
	for _, c := range h {
		sum += int64(c)
	}
	// Six digits, NUL, space.
	putOctal(h[tarChecksum:tarType-1], sum, maxOctal7)
	h[tarType-2] = 0
}

// putName stores a name in the ustar fields: whole, or split at a slash.
func putName(h []byte, name string) bool {
	if !inHeader(name) {
		return false
	}
	if len(name) <= tarNameLen {
		copy(h[tarName:tarMode], name)
		return true
	}
	for i := min(tarPrefixLen, len(name)-2); i > 0 && len(name)-i-1 <= tarNameLen; i-- {
		if name[i] == '/' {
			copy(h[tarPrefix:tarEnd], name[:i])
			copy(h[tarName:tarMode], name[i+1:])
			return true
		}
	}
	return false
}

// putOctal stores v in a field with a NUL at its end; what is out of its range
// is stored as zero, and said.
func putOctal(field []byte, v, most int64) bool {
	ok := v >= 0 && v <= most
	if !ok {
		v = 0
	}
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = byte('0' + v&7)
		v >>= 3
	}
	return ok
}

// paxTime is seconds with a fraction: -1.5 is a second and a half before 1970.
func paxTime(t vfs.Time) string {
	b := make([]byte, 0, 24)
	sec, nsec := t.Sec, int64(t.Nsec)
	if sec < 0 && sec > math.MinInt64 {
		b = append(b, '-')
		if sec = -sec; nsec > 0 {
			sec, nsec = sec-1, 1e9-nsec
		}
	}
	b = strconv.AppendInt(b, sec, 10)
	if nsec == 0 {
		return string(b)
	}
	at := len(b)
	b = strconv.AppendInt(b, 1e9+nsec, 10) // ten digits, the first of which is a 1
	b[at] = '.'
	return strings.TrimRight(string(b), "0")
}

// encodeDev is new_encode_dev of Linux's kdev_t.h.
func encodeDev(major, minor uint32) uint32 {
	return minor&0xff | major<<8 | (minor&^0xff)<<12
}

// decodeDev is new_decode_dev of Linux's kdev_t.h.
func decodeDev(dev uint32) (major, minor uint32) {
	return dev & 0xfff00 >> 8, dev&0xff | dev>>12&0xfff00
}

// plain is the last n bytes of a name with what is not plain ASCII replaced,
// for a reader that knows no pax headers.
func plain(name string, n int) string {
	b := []byte(name[max(0, len(name)-n):])
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '_'
		}
	}
	return string(b)
}

// inHeader says whether a name is written as it is into the ustar header: plain
// ASCII, and what is no UTF-8, which pax headers cannot hold without a keyword
// that GNU tar warns of, and which every reader takes as bytes.
func inHeader(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return !utf8.ValidString(s)
		}
	}
	return true
}

// appendPadding fills the last block of n bytes of data.
func appendPadding(b []byte, n int64) []byte {
	return append(b, make([]byte, -n&(tarBlock-1))...)
}

// flagOf is the type flag of a file; false where tar has none for it.
func flagOf(kind uint32) (byte, bool) {
	switch kind {
	case syscall.S_IFREG:
		return tarRegular, true
	case syscall.S_IFDIR:
		return tarDir, true
	case syscall.S_IFLNK:
		return tarSymlink, true
	case syscall.S_IFCHR:
		return tarChar, true
	case syscall.S_IFBLK:
		return tarBlockDev, true
	case syscall.S_IFIFO:
		return tarFifo, true
	}
	return 0, false
}

// sparseMap is the list in front of a sparse member's data: the number of
// segments, then each one's offset and length, in decimal lines, filled up to
// a whole block.
func sparseMap(data [][2]int64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d\n", len(data))
	for _, d := range data {
		fmt.Fprintf(&b, "%d\n%d\n", d[0], d[1])
	}
	return appendPadding(b.Bytes(), int64(b.Len()))
}
