package bitlocker

import (
	"context"
	"fmt"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A metadata is what a volume says about its encryption.
type metadata struct {
	guid       string
	sector     int64
	size       int64    // bytes of the volume
	method     uint16   // of encryption
	areas      [3]int64 // of the metadata
	start      int64    // where the start of the volume is kept
	startSize  int64
	fvek       sealed
	protectors []protector
}

// A sealed is an encrypted key.
type sealed struct{ nonce, tag, body []byte }

// A protector is one way to the volume master key.
type protector struct {
	guid  string
	kind  uint16
	salt  []byte
	key   []byte // of a clear key
	vmk   sealed
	valid bool // there is an encrypted key
}

// read reads the metadata of dev. NotThis where dev is no BitLocker volume.
func read(ctx context.Context, dev block.Device, warn func(error)) (*metadata, error) {
	b := make([]byte, bootSize)
	if dev.Size() < metaSize {
		return nil, ondisk.NotThis(Name)
	}
	if err := block.ReadFull(ctx, dev, b, 0); err != nil {
		return nil, fmt.Errorf("read the first sector: %w", err)
	}
	at := normalGUID
	switch string(b[bootSignature : bootSignature+8]) {
	case signature:
	case toGoSignature:
		at = toGoGUID
	default:
		return nil, ondisk.NotThis(Name)
	}
	switch id := guid(b[at:]); {
	case id == guidNormal:
	case id == guidEOW:
		return nil, ondisk.Unsupported("BitLocker volume", "encrypt-on-write")
	case at == toGoGUID:
		return nil, ondisk.NotThis(Name) // FAT that Windows formatted
	default:
		return nil, ondisk.Unsupported("BitLocker volume", "the version of Vista")
	}
	sector := int64(u16(b, bootSector))
	if sector < 512 || sector > 4096 || sector&(sector-1) != 0 {
		return nil, ondisk.Corrupt("BitLocker volume header", bootSector, "sectors of %d bytes", sector)
	}
	var failed error
	for i := range 3 {
		m, err := readArea(ctx, dev, u64(b, at+guidSize+8*i), sector)
		if err == nil {
			if failed != nil {
				warn(fmt.Errorf("%w; another copy is used", failed))
			}
			return m, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if failed == nil {
			failed = err
		}
	}
	return nil, failed
}

// readArea reads one copy of the metadata.
func readArea(ctx context.Context, dev block.Device, off uint64, sector int64) (*metadata, error) {
	const what = "BitLocker metadata"
	if off > math.MaxInt64 || !ondisk.Fits(int64(off), metaSize, dev.Size()) {
		return nil, ondisk.Corrupt(what, 0, "a copy at byte %d of a volume of %d", off, dev.Size())
	}
	b := make([]byte, metaSize)
	if err := block.ReadFull(ctx, dev, b, int64(off)); err != nil {
		return nil, fmt.Errorf("read the metadata at byte %d: %w", off, err)
	}
	if string(b[:8]) != signature {
		return nil, ondisk.Corrupt(what, int64(off), "no signature")
	}
	if v := u16(b, metaVersion); v != 2 {
		return nil, ondisk.Unsupported("BitLocker volume", "version %d", v)
	}
	if s := u16(b, metaState); s != stateEncrypted {
		return nil, ondisk.Unsupported("BitLocker volume", "an encryption that has not ended or was taken back (state %d)", s)
	}
	m := &metadata{guid: guid(b[metaGUID:]), sector: sector, method: u16(b, metaMethod)}
	size, start := u64(b, metaVolumeSize), u64(b, metaStart)
	m.size = dev.Size() / sector * sector
	if size != 0 && size < uint64(m.size) {
		m.size = int64(size) / sector * sector
	}
	for i := range m.areas {
		a := u64(b, metaOffsets+8*i)
		if a > math.MaxInt64 || int64(a)%sector != 0 || !ondisk.Fits(int64(a), metaSize, dev.Size()) {
			return nil, ondisk.Corrupt(what, int64(off), "a copy at byte %d of a volume of %d", a, dev.Size())
		}
		m.areas[i] = int64(a)
	}
	startSize := uint64(u32(b, metaHeaderSize)) * uint64(sector)
	length := u32(b, metaEntries)
	if length < metaHeader || length > metaSize-metaEntries {
		return nil, ondisk.Corrupt(what, int64(off), "%d bytes of entries", length)
	}
	err := entries(b[metaEntries+metaHeader:metaEntries+length], func(typ, value uint16, data []byte) {
		switch {
		case typ == typeVMK && len(data) >= vmkEntries:
			m.protectors = append(m.protectors, parseProtector(data))
		case typ == typeFVEK && value == valueEncrypted && m.fvek.body == nil:
			m.fvek = parseSealed(data)
		case typ == typeStart && len(data) >= 16:
			start, startSize = u64(data, 0), u64(data, 8)
		}
	})
	if err != nil {
		return nil, ondisk.Corrupt(what, int64(off), "%v", err)
	}
	if start > math.MaxInt64 || startSize > uint64(m.size) || int64(start)%sector != 0 || int64(startSize)%sector != 0 || !ondisk.Fits(int64(start), int64(startSize), m.size) {
		return nil, ondisk.Corrupt(what, int64(off), "%d bytes of the volume's start are at byte %d of %d", startSize, start, m.size)
	}
	m.start, m.startSize = int64(start), int64(startSize)
	if m.fvek.body == nil {
		return nil, ondisk.Corrupt(what, int64(off), "it has no encrypted key of the volume")
	}
	return m, nil
}

// entries calls each for every entry of a list, which ends early at one of size
// 0.
func entries(b []byte, each func(typ, value uint16, data []byte)) error {
	for len(b) >= entryHeader {
		n := int(u16(b, entrySize))
		if n == 0 {
			return nil
		}
		if n < entryHeader || n > len(b) {
			return fmt.Errorf("an entry of %d bytes, where %d are left", n, len(b))
		}
		each(u16(b, entryType), u16(b, entryValue), b[entryHeader:n])
		b = b[n:]
	}
	return nil
}

func parseSealed(data []byte) sealed {
	if len(data) <= nonceSize+tagSize {
		return sealed{}
	}
	return sealed{data[:nonceSize], data[nonceSize : nonceSize+tagSize], data[nonceSize+tagSize:]}
}

func parseProtector(data []byte) protector {
	p := protector{guid: guid(data), kind: u16(data, vmkProtection)}
	// What is damaged here leaves a protector that opens nothing.
	_ = entries(data[vmkEntries:], func(_, value uint16, data []byte) {
		switch {
		case value == valueStretch && len(data) >= keyMethod+saltSize:
			p.salt = data[keyMethod : keyMethod+saltSize]
		case value == valueKey && len(data) == keyMethod+keySize:
			p.key = data[keyMethod:]
		case value == valueEncrypted && p.vmk.body == nil:
			p.vmk = parseSealed(data)
			p.valid = p.vmk.body != nil
		}
	})
	return p
}
