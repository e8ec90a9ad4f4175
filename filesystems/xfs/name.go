package xfs

import "math/bits"

// nameHash is the hash of names in directories and of attributes
// (xfs_da_hashname).
func nameHash(name string) uint32 {
	h := uint32(0)
	for ; len(name) >= 4; name = name[4:] {
		h = uint32(name[0])<<21 ^ uint32(name[1])<<14 ^ uint32(name[2])<<7 ^ uint32(name[3]) ^ bits.RotateLeft32(h, 4*7)
	}
	switch len(name) {
	case 3:
		return uint32(name[0])<<14 ^ uint32(name[1])<<7 ^ uint32(name[2]) ^ bits.RotateLeft32(h, 3*7)
	case 2:
		return uint32(name[0])<<7 ^ uint32(name[1]) ^ bits.RotateLeft32(h, 2*7)
	case 1:
		return uint32(name[0]) ^ bits.RotateLeft32(h, 7)
	}
	return h
}

// fold is the case folding of filesystems with ASCII-insensitive names, which
// is that of ISO 8859-1.
func fold(c byte) byte {
	if c >= 'A' && c <= 'Z' || c >= 0xC0 && c <= 0xDE && c != 0xD7 {
		return c + 0x20
	}
	return c
}

// foldedHash is the hash of names in such a filesystem.
func foldedHash(name string) uint32 {
	h := uint32(0)
	for i := range len(name) {
		h = uint32(fold(name[i])) ^ bits.RotateLeft32(h, 7)
	}
	return h
}

// sameFolded compares names without their case.
func sameFolded(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}
