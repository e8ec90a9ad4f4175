package ntfs

import "fmt"

// applyFixups undoes the protection of a multi-sector structure in place: the
// last two bytes of each 512 carry the update sequence number on the disk, and
// their own bytes stand in the update sequence array. It says what is wrong
// where a stride carries another number: a torn write.
func applyFixups(b []byte) (problem string) {
	m := multiSector(b)
	off, count := int(m.usaOffset()), int(m.usaCount())
	if off&1 != 0 || off < 8 || count < 2 || (count-1)*usaStride != len(b) || off+2*count > usaStride-2 {
		return fmt.Sprintf("an update sequence array of %d entries at %d for %d bytes", count, off, len(b))
	}
	usn := le.Uint16(b[off:])
	for i := 1; i < count; i++ {
		if tail := le.Uint16(b[i*usaStride-2:]); tail != usn {
			return fmt.Sprintf("stride %d ends with the update sequence number %#x, expected %#x: a torn write", i-1, tail, usn)
		}
	}
	for i := 1; i < count; i++ {
		copy(b[i*usaStride-2:i*usaStride], b[off+2*i:])
	}
	return ""
}
