package rpmdb

import (
	"bytes"
	"encoding/binary"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// Bounds of one header.
const (
	MaxHeader = 16 << 20 // bytes
	maxTags   = 1 << 16  // entries of its index
)

// A header in the database, numbers big-endian: the number of index entries, the
// number of bytes of data, the index, the data.
const (
	offIndexLen = 0
	offDataLen  = 4
	headerStart = 8
	// An entry of the index.
	entrySize   = 16
	offTag      = 0
	offKind     = 4
	offOffset   = 8
	offNumCount = 12
)

// Types of a tag's data.
const (
	typeInt16       = 3
	typeInt32       = 4
	typeInt64       = 5
	typeString      = 6
	typeStringArray = 8
	typeI18NString  = 9
)

// The tags that are read, by rpmtag.h.
const (
	tagName            = 1000
	tagVersion         = 1001
	tagRelease         = 1002
	tagEpoch           = 1003
	tagSummary         = 1004
	tagDescription     = 1005
	tagInstallTime     = 1008
	tagSize            = 1009
	tagVendor          = 1011
	tagLicense         = 1014
	tagPackager        = 1015
	tagURL             = 1020
	tagArch            = 1022
	tagSourceRPM       = 1044
	tagLongSize        = 5009
	tagModularityLabel = 5096
)

// A Header is what is read of a package.
type Header struct {
	Name, Version, Release, Arch  string
	Epoch                         int64 // -1 where there is none
	Summary, Description, License string
	Vendor, Packager, URL         string
	SourceRPM, ModularityLabel    string
	Size, InstallTime             int64 // bytes, seconds since 1970
}

// parse reads a header.
func parse(b []byte) (Header, error) {
	h := Header{Epoch: -1}
	if len(b) < headerStart {
		return h, ondisk.Corrupt("RPM header", 0, "%d bytes", len(b))
	}
	n, size := binary.BigEndian.Uint32(b[offIndexLen:]), binary.BigEndian.Uint32(b[offDataLen:])
	if n > maxTags || int64(n)*entrySize+int64(size) > int64(len(b)-headerStart) {
		return h, ondisk.Corrupt("RPM header", 0, "%d entries and %d bytes of data in %d", n, size, len(b))
	}
	index := b[headerStart : headerStart+int(n)*entrySize]
	data := b[headerStart+int(n)*entrySize:][:size]
	for ; len(index) > 0; index = index[entrySize:] {
		off := binary.BigEndian.Uint32(index[offOffset:])
		if int64(off) >= int64(len(data)) {
			continue // a region's tag may point before the data; what is wanted does not
		}
		h.take(binary.BigEndian.Uint32(index[offTag:]), binary.BigEndian.Uint32(index[offKind:]), data[off:])
	}
	if h.Name == "" {
		return h, ondisk.Corrupt("RPM header", 0, "it has no name")
	}
	return h, nil
}

// take keeps the value of a tag, the first one of a list.
func (h *Header) take(tag, kind uint32, data []byte) {
	text := h.text(tag)
	switch {
	case text != nil && (kind == typeString || kind == typeStringArray || kind == typeI18NString):
		if end := bytes.IndexByte(data, 0); end >= 0 {
			*text = string(data[:end])
		}
	case text != nil:
	case tag == tagEpoch:
		h.Epoch = number(kind, data)
	case tag == tagInstallTime:
		h.InstallTime = max(0, number(kind, data))
	case tag == tagLongSize, tag == tagSize && h.Size == 0:
		h.Size = max(0, number(kind, data))
	}
}

// text is where a tag of text goes, nil for others.
func (h *Header) text(tag uint32) *string {
	switch tag {
	case tagName:
		return &h.Name
	case tagVersion:
		return &h.Version
	case tagRelease:
		return &h.Release
	case tagSummary:
		return &h.Summary
	case tagDescription:
		return &h.Description
	case tagVendor:
		return &h.Vendor
	case tagLicense:
		return &h.License
	case tagPackager:
		return &h.Packager
	case tagURL:
		return &h.URL
	case tagArch:
		return &h.Arch
	case tagSourceRPM:
		return &h.SourceRPM
	case tagModularityLabel:
		return &h.ModularityLabel
	}
	return nil
}

// number is an integer of a tag, -1 where it is none.
func number(kind uint32, data []byte) int64 {
	switch {
	case kind == typeInt16 && len(data) >= 2:
		return int64(binary.BigEndian.Uint16(data))
	case kind == typeInt32 && len(data) >= 4:
		return int64(binary.BigEndian.Uint32(data))
	case kind == typeInt64 && len(data) >= 8:
		return max(-1, int64(binary.BigEndian.Uint64(data)))
	}
	return -1
}
