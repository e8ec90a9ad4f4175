package rpmdb

import (
	"encoding/binary"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// The layout of a Berkeley DB hash file, as db_page.h has it. Offsets in bytes.
const (
	offMagic     = 12 // of the metadata page; the byte order shows in it
	offVersion   = 16
	offPageSize  = 20
	offEncrypt   = 24
	offMetaType  = 25
	offLastPage  = 32
	hashMagic    = 0x061561
	minVersion   = 5
	maxVersion   = 10
	bdbMinPage   = 512
	bdbMaxPage   = 64 << 10
	typeHashMeta = 8
	// Of every other page.
	offNextPage    = 16
	offEntries     = 20
	offHighFree    = 22 // of an overflow page: the bytes of data in it
	offType        = 25
	pageHeader     = 26
	typeUnsorted   = 2 // P_HASH_UNSORTED
	typeOverflow   = 7
	typeHash       = 13
	itemData       = 1 // H_KEYDATA: the bytes follow
	itemOffPage    = 3 // H_OFFPAGE: they are in overflow pages
	offItemPage    = 4
	offItemLen     = 8
	itemOffPageLen = 12
)

func isBDB(head []byte) bool {
	return len(head) >= 72 && bdbOrder(head) != nil && head[offMetaType] == typeHashMeta
}

// bdbOrder is the byte order of the file, nil where it is no hash.
func bdbOrder(head []byte) binary.ByteOrder {
	switch {
	case binary.LittleEndian.Uint32(head[offMagic:]) == hashMagic:
		return binary.LittleEndian
	case binary.BigEndian.Uint32(head[offMagic:]) == hashMagic:
		return binary.BigEndian
	}
	return nil
}

// A bdb is an open Berkeley DB hash.
type bdb struct {
	f, chains *window // hash pages and chains of overflow pages are read in turns
	order     binary.ByteOrder
	size      int // of a page
	pages     uint32
}

func readBDB(f File, head []byte, take func([]byte) error, problem func(error)) error {
	d := &bdb{f: &window{f: f}, chains: &window{f: f}, order: bdbOrder(head)}
	if v := d.order.Uint32(head[offVersion:]); v < minVersion || v > maxVersion {
		return ondisk.Unsupported("Berkeley DB hash", "version %d", v)
	}
	if head[offEncrypt] != 0 {
		return ondisk.Unsupported("Berkeley DB hash", "encryption")
	}
	size := d.order.Uint32(head[offPageSize:])
	if size < bdbMinPage || size > bdbMaxPage || size&(size-1) != 0 {
		return ondisk.Corrupt("Berkeley DB metadata", offPageSize, "a page size of %d", size)
	}
	d.size = int(size)
	d.pages = uint32(min(f.Size()/int64(size), 1<<32-1))
	if last := d.order.Uint32(head[offLastPage:]); last < d.pages {
		d.pages = last + 1
	}
	page := make([]byte, d.size)
	for n := uint32(1); n < d.pages; n++ {
		if err := readFull(f, page, int64(n)*int64(d.size)); err != nil {
			return err
		}
		if page[offType] != typeHash && page[offType] != typeUnsorted {
			continue
		}
		if err := d.pairs(page, n, take, problem); err != nil {
			return err
		}
	}
	return nil
}

// pairs goes through a hash page: a key and its data take turns, from the
// page's end downwards; each ends where the one before it starts.
func (d *bdb) pairs(page []byte, n uint32, take func([]byte) error, problem func(error)) error {
	entries := int(d.order.Uint16(page[offEntries:]))
	if pageHeader+2*entries > d.size {
		problem(ondisk.Corrupt("Berkeley DB page", int64(n), "%d entries", entries))
		return nil
	}
	end := d.size
	for i := range entries {
		at := int(d.order.Uint16(page[pageHeader+2*i:]))
		if at < pageHeader+2*entries || at >= end {
			problem(ondisk.Corrupt("Berkeley DB page", int64(n), "an item from %d to %d", at, end))
			return nil
		}
		item := page[at:end]
		end = at
		if i%2 == 0 {
			continue // a key: the number of the header
		}
		blob, err := d.item(item)
		if err != nil {
			problem(err)
			continue
		}
		// The pair of the key 0 keeps the highest number that was given.
		if len(blob) == 4 || blob == nil {
			continue
		}
		if err := take(blob); err != nil {
			return err
		}
	}
	return nil
}

// item is the bytes of an item, nil where it is of another kind.
func (d *bdb) item(item []byte) ([]byte, error) {
	switch {
	case item[0] == itemData:
		return item[1:], nil
	case item[0] != itemOffPage || len(item) < itemOffPageLen:
		return nil, nil
	}
	next, size := d.order.Uint32(item[offItemPage:]), d.order.Uint32(item[offItemLen:])
	if size > MaxHeader {
		return nil, ondisk.Corrupt("Berkeley DB item", int64(next), "%d bytes", size)
	}
	var blob []byte
	page := make([]byte, d.size)
	for len(blob) < int(size) {
		if next == 0 || next >= d.pages {
			return nil, ondisk.Corrupt("Berkeley DB overflow chain", int64(next), "page %d of %d", next, d.pages)
		}
		if err := readFull(d.chains, page, int64(next)*int64(d.size)); err != nil {
			return nil, err
		}
		n := int(d.order.Uint16(page[offHighFree:]))
		// A page without data would make the chain endless.
		if page[offType] != typeOverflow || n == 0 || pageHeader+n > d.size {
			return nil, ondisk.Corrupt("Berkeley DB overflow page", int64(next), "type %d, %d bytes", page[offType], n)
		}
		blob = append(blob, page[pageHeader:pageHeader+n]...)
		next = d.order.Uint32(page[offNextPage:])
	}
	return blob[:size], nil
}
