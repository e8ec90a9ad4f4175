package scheme

import (
	"fmt"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Place gives v the device that the table declares: length bytes of the disk
// at off. It does as the Linux kernel does (block/partitions/core.c): what
// starts beyond the end of the disk cannot be used, and what only ends beyond
// it is cut there, with a warning, since the start of a truncated image is
// still worth reading.
func (v *Volume) Place(d Device, off, length int64, warn func(error)) {
	v.Off = off
	size := d.Dev.Size()
	if off < 0 || off >= size {
		v.Err = ondisk.Corrupt("partition "+v.Name, off, "it starts beyond the end of the disk, which has %d bytes: the image is truncated or the table damaged", size)
		return
	}
	if length > size-off {
		warn(ondisk.Corrupt("partition "+v.Name, off, "its %d bytes go %d beyond the end of the disk: the image is truncated or the table damaged; it is cut there",
			length, length-(size-off)))
		length = size - off
	}
	v.Dev, v.Err = block.Section(d.Dev, off, length)
}

// WarnOverlaps warns of volumes of one disk that share bytes.
func WarnOverlaps(vols []Volume, warn func(error)) {
	placed := slices.DeleteFunc(slices.Clone(vols), func(v Volume) bool { return v.Dev == nil })
	slices.SortStableFunc(placed, func(a, b Volume) int {
		switch {
		case a.Off < b.Off:
			return -1
		case a.Off > b.Off:
			return 1
		}
		return 0
	})
	for i := 1; i < len(placed); i++ {
		// The one before with the farthest end is kept in place i-1.
		last, v := placed[i-1], placed[i]
		if v.Off < last.Off+last.Dev.Size() {
			warn(ondisk.Corrupt("partition "+v.Name, v.Off, "it overlaps %s, which ends at byte %d", last.Name, last.Off+last.Dev.Size()))
		}
		if last.Off+last.Dev.Size() > v.Off+v.Dev.Size() {
			placed[i] = last
		}
	}
}

// Number is the name of partition n of a disk as libguestfs and the kernel have
// it: "sda1", "md0p1".
func Number(disk string, n int) string {
	if c := disk[len(disk)-1]; c >= '0' && c <= '9' {
		return fmt.Sprintf("%sp%d", disk, n)
	}
	return fmt.Sprintf("%s%d", disk, n)
}

// MapName is libguestfs's name for the unlocked device: crypt and the letters
// and digits of its name.
func MapName(device string) string {
	return "crypt" + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, device)
}

// Clean is s as a name that can stand in a path.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '/' || r == 0x7f || r == 0xfffd {
			return '_'
		}
		return r
	}, s)
}
