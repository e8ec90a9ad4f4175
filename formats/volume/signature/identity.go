package signature

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// identify adds to a name what the start b of the volume says about which one
// it is, where that stands in a fixed place: enough to find by a guest's fstab
// a volume that nothing reads yet.
func identify(name string, b []byte) Found {
	f := Found{Type: name}
	switch name {
	case "ext4":
		f.UUID, f.Label = uuid(b, 1024+104), text(b, 1024+120, 16)
	case "xfs":
		f.UUID, f.Label = uuid(b, 32), text(b, 108, 12)
	case "btrfs":
		f.UUID, f.Label = uuid(b, 64<<10+32), text(b, 64<<10+299, 256)
	case "swap":
		f.UUID, f.Label = uuid(b, 1024+12), text(b, 1024+28, 16)
	case "f2fs":
		f.UUID = uuid(b, 1024+108)
	case "crypto_LUKS":
		f.UUID = text(b, 168, 40)
	case "ntfs":
		if s := span(b, 72, 8); s != nil {
			f.UUID = fmt.Sprintf("%016X", binary.LittleEndian.Uint64(s))
		}
	case "exfat":
		f.UUID = serial(b, 100)
	case "vfat":
		// FAT32 has no sectors per FAT in the old field, and its own further on.
		if s := span(b, 22, 2); s != nil && binary.LittleEndian.Uint16(s) == 0 {
			f.UUID, f.Label = serial(b, 67), fatLabel(b, 71)
		} else {
			f.UUID, f.Label = serial(b, 39), fatLabel(b, 43)
		}
	}
	return f
}

// span is n bytes of b at off; nil where b is shorter.
func span(b []byte, off, n int) []byte {
	if len(b) < off+n {
		return nil
	}
	return b[off : off+n]
}

// uuid is the UUID at off, by RFC 9562's byte order; "" for the nil UUID.
func uuid(b []byte, off int) string {
	u := span(b, off, 16)
	if u == nil || strings.Trim(string(u), "\x00") == "" {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// serial is the volume serial number of FAT at off.
func serial(b []byte, off int) string {
	s := span(b, off, 4)
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%04X-%04X", binary.LittleEndian.Uint16(s[2:]), binary.LittleEndian.Uint16(s))
}

// text is the string of at most n bytes at off, to the first zero.
func text(b []byte, off, n int) string {
	s, _, _ := strings.Cut(string(span(b, off, n)), "\x00")
	return s
}

// fatLabel is the label in a boot sector. It may differ from the one in the
// root folder, which counts and is not looked for here.
func fatLabel(b []byte, off int) string {
	if s := strings.TrimRight(text(b, off, 11), " "); s != "NO NAME" {
		return s
	}
	return ""
}
