// Package gpt reads the GUID Partition Table (UEFI 2.10, chapter 5).
//
// A disk has a GPT where its MBR has an entry of type 0xEE, alone or in a
// hybrid MBR, and where its MBR is empty but a primary header is intact (a
// warning). An MBR with other entries only is newer than any GPT that is still
// there, as the Linux kernel sees it, and a whole-disk filesystem leaves no
// empty MBR with an intact header behind.
//
// The size of a sector is where the header is: at byte 512 or 4096. The
// primary header and table count where their checksums are right. Else the
// backup does, at the disk's last sector or where the primary says, with a
// warning; unlike the kernel, which asks for gpt=1 on its command line first.
// Where neither is intact the disk is damaged, and nothing is guessed.
//
// A header whose usable range goes beyond the disk is read all the same, since
// its partitions are bounded one by one (scheme.Volume.Place): a truncated
// image still shows its first partitions. Entries are 128 bytes or a larger
// power of two, at most maxTable bytes in all.
//
// This package may change.
package gpt

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// Name is the scheme's name.
const Name = "gpt"

// maxTable bounds the partition entry array, in bytes. The usual one has 16 KiB.
const maxTable = 4 << 20

// Scheme is the GUID Partition Table.
func Scheme() scheme.Scheme { return scheme.Scheme{Name: Name, Scan: scheme.Each(Name, scan)} }

func scan(ctx context.Context, d scheme.Device, opt scheme.Options) ([]scheme.Volume, error) {
	warn := opt.Warn
	if d.Nested || d.Dev.Size() < pmbrSize+headerMinSize {
		return nil, nil
	}
	mbr := make([]byte, pmbrSize)
	if err := block.ReadFull(ctx, d.Dev, mbr, 0); err != nil {
		return nil, fmt.Errorf("read the first sector: %w", err)
	}
	claimed := isProtective(mbr)
	if !claimed && !isEmpty(mbr) {
		return nil, nil
	}
	t, err := find(ctx, d, claimed, warn)
	if err != nil || t == nil {
		return nil, err
	}
	if !claimed {
		warn(ondisk.Corrupt("protective MBR", 0, "it is empty, but there is an intact GPT, which is used"))
	}
	return t.volumes(d, warn), nil
}

// A table is an intact header with its entries.
type table struct {
	sector  int64
	header  header
	entries []byte
}

// find is the table to use. claimed says that the MBR promises one: then its
// absence is damage, and the backup counts too.
func find(ctx context.Context, d scheme.Device, claimed bool, warn func(error)) (*table, error) {
	var damage error // of the first primary header that has its signature
	var places []place
	for _, sector := range d.SectorSizes() {
		t, alternate, err := read(ctx, d.Dev, sector, 1)
		if err == nil {
			return t, nil
		}
		if not := (*ondisk.NotThisError)(nil); !errors.As(err, &not) {
			if !isDamage(err) {
				return nil, err
			}
			if damage == nil {
				damage = err
			}
			if alternate != 0 {
				places = append(places, place{sector, alternate})
			}
		}
		if last := d.Dev.Size()/sector - 1; last > 1 {
			places = append(places, place{sector, uint64(last)})
		}
	}
	if !claimed {
		return nil, nil
	}
	if damage == nil {
		damage = ondisk.Corrupt("GPT header", d.SectorSizes()[0], "the protective MBR promises one, and there is none")
	}
	for _, p := range places {
		t, _, err := read(ctx, d.Dev, p.sector, p.lba)
		switch {
		case err == nil:
			warn(fmt.Errorf("%w; the backup at byte %d is used", damage, int64(p.lba)*p.sector))
			return t, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
	return nil, fmt.Errorf("%w; there is no intact backup (sgdisk -v and gdisk's recovery menu can examine a copy of the disk)", damage)
}

type place struct {
	sector int64
	lba    uint64
}

// isDamage says whether err is about the bytes and not about reading them. A
// header that points beyond the disk is damage as well.
func isDamage(err error) bool {
	corrupt, unsupported := (*ondisk.CorruptError)(nil), (*ondisk.UnsupportedError)(nil)
	return errors.As(err, &corrupt) || errors.As(err, &unsupported)
}

// read reads and verifies the header at lba and its entries. alternate is
// where a damaged primary says that the backup is, 0 where it cannot be told.
func read(ctx context.Context, dev block.Device, sector int64, lba uint64) (t *table, alternate uint64, err error) {
	if lba > math.MaxInt64/uint64(sector) || !ondisk.Fits(int64(lba)*sector, sector, dev.Size()) {
		return nil, 0, ondisk.NotThis(Name)
	}
	at := int64(lba) * sector
	h := make(header, sector)
	if err := block.ReadFull(ctx, dev, h, at); err != nil {
		return nil, 0, fmt.Errorf("read the GPT header at byte %d: %w", at, err)
	}
	if !h.signed() {
		return nil, 0, ondisk.NotThis(Name)
	}
	if lba == 1 {
		alternate = h.alternateLBA()
	}
	if n := h.size(); n < headerMinSize || int64(n) > sector {
		return nil, alternate, ondisk.Corrupt("GPT header", at, "its size is %d, not %d to %d", n, headerMinSize, sector)
	}
	if sum := h.computeCRC(h.size()); sum != h.headerCRC() {
		return nil, alternate, ondisk.BadChecksum("GPT header", at, h.headerCRC(), sum)
	}
	if h.myLBA() != lba {
		return nil, alternate, ondisk.Corrupt("GPT header", at, "it says that it is at sector %d, not %d", h.myLBA(), lba)
	}
	size := int64(h.entrySize())
	if size < entryMinSize || size&(size-1) != 0 {
		return nil, alternate, ondisk.Corrupt("GPT header", at, "its entries have %d bytes, not 128 times a power of two", size)
	}
	length := int64(h.entries()) * size // both are below 2^32
	if length > maxTable || length < 0 {
		return nil, alternate, ondisk.Unsupported("GPT", "a table of %d entries of %d bytes", h.entries(), size)
	}
	if h.entryLBA() > math.MaxInt64/uint64(sector) || !ondisk.Fits(int64(h.entryLBA())*sector, length, dev.Size()) {
		return nil, alternate, ondisk.Corrupt("GPT header", at, "its entries at sector %d lie beyond the disk", h.entryLBA())
	}
	from := int64(h.entryLBA()) * sector
	entries := make([]byte, length)
	if err := block.ReadFull(ctx, dev, entries, from); err != nil {
		return nil, alternate, fmt.Errorf("read the GPT entries at byte %d: %w", from, err)
	}
	if sum := crc32.ChecksumIEEE(entries); sum != h.entriesCRC() {
		return nil, alternate, ondisk.BadChecksum("GPT partition entry array", from, h.entriesCRC(), sum)
	}
	return &table{sector: sector, header: h, entries: entries}, alternate, nil
}

// volumes are the used entries. Partition numbers are the places in the table.
func (t *table) volumes(d scheme.Device, warn func(error)) []scheme.Volume {
	vols := []scheme.Volume{}
	size := int(t.header.entrySize())
	for i := range len(t.entries) / size {
		e := entry(t.entries[i*size:][:size])
		if e.typeGUID() == (guid{}) {
			continue
		}
		if len(vols) == scheme.MaxVolumes {
			warn(ondisk.Unsupported("GPT", "more than %d partitions", scheme.MaxVolumes))
			break
		}
		v := scheme.Volume{Name: scheme.Number(d.Name, i+1), Type: Name, Kind: e.typeGUID().upper(), UUID: e.uniqueGUID().lower(),
			Label: e.name(), Disk: d.Root()}
		first, last := e.startingLBA(), e.endingLBA()
		// The largest sector number whose end still fits an int64.
		limit := uint64(math.MaxInt64/t.sector - 1)
		if first > last || last > limit {
			v.Err = ondisk.Corrupt("GPT entry of "+v.Name, int64(t.header.entryLBA())*t.sector+int64(i*size), "it goes from sector %d to %d", first, last)
		} else {
			v.Place(d, int64(first)*t.sector, int64(last-first+1)*t.sector, warn)
		}
		vols = append(vols, v)
	}
	scheme.WarnOverlaps(vols, warn)
	return vols
}
