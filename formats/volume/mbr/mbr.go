// Package mbr reads the partition table of the PC: the master boot record with
// four primary partitions, and the logical ones in the chains of extended boot
// records. There is no specification; it does what the Linux kernel does
// (block/partitions/msdos.c), since libguestfs shows what the kernel shows.
//
//   - A boot indicator other than 0x00 and 0x80 is no MBR.
//   - The boot sector of a FAT or NTFS volume ends with the same signature. It
//     is one, and no MBR, where its parameter block is valid, unless all its
//     entries make sense as partitions of this disk.
//   - An entry without sectors is unused; its type says nothing. Types are not
//     looked at otherwise: what is not read here is still a volume.
//   - Logical partitions count from 5, in the order of the chain. Each of an
//     EBR's four entries may be one (OS/2 and DR-DOS use them), but the third and
//     fourth only inside the extended partition, since they may be left-overs.
//     The first entry of an extended type is the next link.
//   - A chain ends at a sector without the signature (a warning), at a sector
//     seen before (a warning) and after maxLinks links (a warning).
//   - The extended partition itself is no volume.
//   - What goes beyond the disk is treated by scheme.Volume.Place, as the kernel
//     does.
//   - An 0xEE entry makes the disk a GPT disk and leaves nothing here.
//
// Sizes and places are in sectors, and no field says how large one is. It is
// 512, unless that reading shows nothing that is known on any partition, while
// 4096 shows something known, with every partition inside the disk.
//
// This package may change.
package mbr

import (
	"context"
	"fmt"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/scheme"
	"github.com/guestctl/guestctl/formats/volume/signature"
)

// Name is the scheme's name.
const Name = "mbr"

// maxLinks bounds a chain of EBRs. Linux shows 255 partitions of a disk.
const maxLinks = 256

// Scheme is the MBR with its extended partitions.
func Scheme() scheme.Scheme { return scheme.Scheme{Name: Name, Scan: scheme.Each(Name, scan)} }

func scan(ctx context.Context, d scheme.Device, opt scheme.Options) ([]scheme.Volume, error) {
	warn := opt.Warn
	if d.Nested || d.Dev.Size() < recordSize {
		return nil, nil
	}
	r := make(record, recordSize)
	if err := block.ReadFull(ctx, d.Dev, r, 0); err != nil {
		return nil, fmt.Errorf("read the first sector: %w", err)
	}
	if !isTable(r, d) {
		return nil, nil
	}
	var first *reading
	for _, sector := range d.SectorSizes() {
		rd := &reading{disk: d, sector: sector}
		if err := rd.read(ctx, r); err != nil {
			return nil, err
		}
		known := rd.known(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if first == nil {
			first = rd
			if known {
				break
			}
		} else if known && rd.inside {
			first = rd
		}
	}
	for _, w := range first.warnings {
		warn(w)
	}
	scheme.WarnOverlaps(first.vols, warn)
	return first.vols, nil
}

// isTable says whether the first sector of the disk is an MBR with partitions.
func isTable(r record, d scheme.Device) bool {
	if !r.signed() {
		return false
	}
	used := false
	for i := range 4 {
		e := r.entry(i)
		if e.bootIndicator() != 0 && e.bootIndicator() != 0x80 || e.kind() == kindProtective {
			return false
		}
		used = used || e.sectors() != 0
	}
	if !used {
		return false
	}
	if !signature.BootSector(r) {
		return true
	}
	for _, sector := range d.SectorSizes() {
		if makeSense(r, d.Dev.Size()/sector) {
			return true
		}
	}
	return false
}

// makeSense says whether the entries are typed partitions inside a disk of
// that many sectors, none over another: unlikely for boot code.
func makeSense(r record, sectors int64) bool {
	for i := range 4 {
		e := r.entry(i)
		if e.sectors() == 0 {
			continue
		}
		if e.kind() == 0 || e.start() == 0 || !ondisk.Fits(e.start(), e.sectors(), sectors) {
			return false
		}
		for j := range i {
			if o := r.entry(j); o.sectors() != 0 && e.start() < o.start()+o.sectors() && o.start() < e.start()+e.sectors() {
				return false
			}
		}
	}
	return true
}

// A reading is the table taken with one sector size.
type reading struct {
	disk     scheme.Device
	sector   int64
	diskID   uint32
	vols     []scheme.Volume
	inside   bool // every partition lies inside the disk
	warnings []error
	logical  int // number of the last logical partition
	seen     map[int64]bool
}

func (rd *reading) warn(err error) { rd.warnings = append(rd.warnings, err) }

func (rd *reading) read(ctx context.Context, r record) error {
	rd.diskID, rd.inside, rd.logical, rd.seen = r.diskID(), true, 4, make(map[int64]bool)
	var extended []entry
	for i := range 4 {
		e := r.entry(i)
		switch {
		case e.sectors() == 0:
		case e.extended():
			extended = append(extended, e)
		default:
			rd.add(i+1, e, e.start())
		}
	}
	for _, e := range extended {
		if err := rd.chain(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// add makes partition n of e, which starts at that sector.
func (rd *reading) add(n int, e entry, start int64) {
	v := scheme.Volume{Name: scheme.Number(rd.disk.Name, n), Type: Name, Kind: fmt.Sprintf("0x%02x", e.kind()), Disk: rd.disk.Root()}
	if rd.diskID != 0 {
		v.UUID = fmt.Sprintf("%08x-%02x", rd.diskID, n)
	}
	// Two numbers of 32 bits and a chain that stays inside the disk: no
	// overflow, but a disk of 2^63 bytes is no reason to rely on it.
	off, ok := ondisk.Mul(uint64(start), uint64(rd.sector))
	length := e.sectors() * rd.sector
	if !ok || off > math.MaxInt64-length {
		v.Err = ondisk.Corrupt("partition "+v.Name, 0, "it starts at sector %d", start)
	} else {
		v.Place(rd.disk, off, length, rd.warn)
	}
	if v.Err != nil || v.Dev.Size() < length {
		rd.inside = false
	}
	rd.vols = append(rd.vols, v)
}

// chain walks the EBRs of the extended partition ext.
func (rd *reading) chain(ctx context.Context, ext entry) error {
	first, total := ext.start(), ext.sectors()
	at, span := first, total
	for link := 0; ; link++ {
		off := at * rd.sector // at is below 2^33, sector at most 4096
		switch {
		case link == maxLinks:
			rd.warn(ondisk.Unsupported("extended partition", "a chain of more than %d EBRs", maxLinks))
			return nil
		case rd.seen[at]:
			rd.warn(ondisk.Corrupt("EBR", off, "the chain comes back to it; the logical partitions up to here are shown"))
			return nil
		case !ondisk.Fits(off, recordSize, rd.disk.Dev.Size()):
			rd.inside = false
			rd.warn(ondisk.Corrupt("EBR", off, "it lies beyond the end of the disk; logical partitions from number %d on are missing", rd.logical+1))
			return nil
		}
		rd.seen[at] = true
		r := make(record, recordSize)
		if err := block.ReadFull(ctx, rd.disk.Dev, r, off); err != nil {
			return fmt.Errorf("read the EBR at byte %d: %w", off, err)
		}
		if !r.signed() {
			rd.warn(ondisk.Corrupt("EBR", off, "it ends with %02x %02x, not 55 aa; logical partitions from number %d on are missing", r[510], r[511], rd.logical+1))
			return nil
		}
		next := entry(nil)
		for i := range 4 {
			e := r.entry(i)
			if e.sectors() == 0 {
				continue
			}
			if e.extended() {
				if next == nil {
					next = e
				}
				continue
			}
			start := at + e.start()
			if i >= 2 && (e.start()+e.sectors() > span || start < first || start+e.sectors() > first+total) {
				continue
			}
			if len(rd.vols) == scheme.MaxVolumes {
				rd.warn(ondisk.Unsupported("extended partition", "more than %d partitions", scheme.MaxVolumes))
				return nil
			}
			rd.logical++
			rd.add(rd.logical, e, start)
		}
		if next == nil {
			return nil
		}
		at, span = first+next.start(), next.sectors()
	}
}

// known says whether any of the first partitions carries something known.
func (rd *reading) known(ctx context.Context) bool {
	const enough = 16
	for _, v := range rd.vols[:min(enough, len(rd.vols))] {
		if v.Dev == nil {
			continue
		}
		if sig, err := signature.Find(ctx, v.Dev); err == nil && sig.Type != "" {
			return true
		}
	}
	return false
}
