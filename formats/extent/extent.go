package extent

import "github.com/guestctl/guestctl/formats/block"

// Kind says where the bytes of an Extent are.
type Kind uint8

const (
	// Hole bytes are zero.
	Hole Kind = iota
	// Plain bytes lie in Dev at Off; those beyond its end are zero.
	Plain
	// Packed bytes are part of a compressed block.
	Packed
)

// An Extent is a stretch of a disk with one answer.
type Extent struct {
	Kind Kind
	Len  int64 // bytes of the disk

	Dev  block.Device // Plain, Packed: the file that has them
	File int          // the number of Dev: two extents with one number have one Dev
	Off  int64        // in Dev: of the bytes, or of the compressed block

	Size int64 // Packed: the bytes that the compressed block takes in Dev, at most
	In   int64 // Packed: where in the decoded block the extent begins
	Tag  int64 // Packed: for Config.Unpack; the same for all extents of a block
}

// Join puts next behind e if both have one answer.
func (e *Extent) Join(next Extent) bool {
	if e.Kind != next.Kind || e.Kind == Packed || e.Kind == Plain && (e.File != next.File || e.Off+e.Len != next.Off) {
		return false
	}
	e.Len += next.Len
	return true
}

// Scan joins the extents of a table's entries that lie in a row, up to n
// bytes. entry(0) is the rest of the block that is asked for, of which there
// are first bytes, and each other a block of size bytes; one that is shorter
// ends the scan. The error of a later entry is left to who asks for that.
func Scan(n int64, entries int, first, size int64, entry func(i int) (Extent, error)) (Extent, error) {
	e, err := entry(0)
	if err != nil {
		return Extent{}, err
	}
	for i := 1; i < entries && e.Len < n && e.Len == first+int64(i-1)*size; i++ {
		next, err := entry(i)
		if err != nil || !e.Join(next) {
			break
		}
	}
	e.Len = min(e.Len, n)
	return e, nil
}

// FromParent is n bytes at off of the parent image: zeros where it has ended
// or there is none.
func FromParent(parent block.Device, off, n int64) Extent {
	if parent == nil || off >= parent.Size() {
		return Extent{Kind: Hole, Len: n}
	}
	return Extent{Kind: Plain, Len: n, Dev: parent, File: parentFile, Off: off}
}

// parentFile is Extent.File of the parent.
const parentFile = -1
