package manifest

import (
	"crypto/sha256"
	"fmt"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// An Entry is one name in the tree and what it leads to.
type Entry struct {
	Path   string // relative to the root; "." is the root
	Mode   uint32 // st_mode: type and permissions
	UID    uint32
	GID    uint32
	Nlink  uint32
	Size   int64
	Mtime  time.Time // with nanoseconds, UTC
	Ctime  time.Time
	Btime  time.Time // zero where the source has none
	Rdev   uint64    // Linux device number, of device nodes
	Target string    // of a symbolic link
	Xattrs map[string]string
	Sum    [sha256.Size]byte // of a regular file: see Sparse
	NoKey  bool              // the contents of this regular file are encrypted and the key is not there: Sum is zero
	Ino    uint64
	First  string // the first path, in byte order, that leads to the same inode: equal sets of hard links have equal Firsts
}

// Sparse is the size from which Sum is not the SHA-256 of the contents but of the position (8 bytes, little-endian) and
// bytes of each aligned block of 4096 that is not all zero, so that a hole of terabytes costs nothing. Holes are found with
// SEEK_DATA: a hole claimed where data is changes the sum, data claimed where a hole is does not.
const Sparse = 64 << 20

// A Manifest holds the entries of a tree in byte order of their paths.
type Manifest []Entry

// A Field is what Diff compares.
type Field uint

const (
	Type Field = 1 << iota
	Perm
	Owner
	Nlink
	Size
	Mtime
	Ctime
	Btime
	Rdev
	Target
	Xattrs
	Sum
	Links // which names are one file
	Ino

	// All is what two mounts of one image must agree on.
	All = Type | Perm | Owner | Nlink | Size | Mtime | Ctime | Rdev | Target | Xattrs | Sum | Links
)

// finish sorts the entries and fills in First.
func finish(entries []Entry) Manifest {
	sort.Slice(entries, func(i, j int) bool { return entries[i].Path < entries[j].Path })
	first := map[uint64]string{}
	for i := range entries {
		e := &entries[i]
		if p, ok := first[e.Ino]; ok {
			e.First = p
		} else {
			first[e.Ino] = e.Path
			e.First = e.Path
		}
	}
	return entries
}

// Diff compares the given fields and answers one line a difference, at most limit of them (0 is 20), and the number of all.
func Diff(want, got Manifest, fields Field, limit int) (lines []string, total int) {
	if limit == 0 {
		limit = 20
	}
	say := func(format string, args ...any) {
		if total++; total <= limit {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case j == len(got) || i < len(want) && want[i].Path < got[j].Path:
			say("%q is missing", want[i].Path)
			i++
		case i == len(want) || got[j].Path < want[i].Path:
			say("%q should not be there", got[j].Path)
			j++
		default:
			for _, d := range want[i].diff(&got[j], fields) {
				say("%q: %s", want[i].Path, d)
			}
			i++
			j++
		}
	}
	if total > limit {
		lines = append(lines, fmt.Sprintf("... and %d differences more", total-limit))
	}
	return lines, total
}

// diff says how got is not e.
func (e *Entry) diff(got *Entry, fields Field) []string {
	var d []string
	differ := func(f Field, name string, want, got any) {
		if fields&f != 0 && want != got {
			d = append(d, fmt.Sprintf("%s is %v, want %v", name, got, want))
		}
	}
	oct := func(n uint32) string { return fmt.Sprintf("%#o", n) }
	differ(Type, "type", oct(e.Mode&unix.S_IFMT), oct(got.Mode&unix.S_IFMT))
	differ(Perm, "mode", oct(e.Mode&^unix.S_IFMT), oct(got.Mode&^unix.S_IFMT))
	differ(Owner, "owner", fmt.Sprintf("%d:%d", e.UID, e.GID), fmt.Sprintf("%d:%d", got.UID, got.GID))
	differ(Nlink, "nlink", e.Nlink, got.Nlink)
	differ(Size, "size", e.Size, got.Size)
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	differ(Mtime, "mtime", stamp(e.Mtime), stamp(got.Mtime))
	differ(Ctime, "ctime", stamp(e.Ctime), stamp(got.Ctime))
	differ(Btime, "birth time", stamp(e.Btime), stamp(got.Btime))
	differ(Rdev, "device number", fmt.Sprintf("%#x", e.Rdev), fmt.Sprintf("%#x", got.Rdev))
	differ(Target, "link target", fmt.Sprintf("%q", e.Target), fmt.Sprintf("%q", got.Target))
	differ(Sum, "without a key", e.NoKey, got.NoKey)
	differ(Sum, "SHA-256", fmt.Sprintf("%x", e.Sum), fmt.Sprintf("%x", got.Sum))
	differ(Links, "first name of the same file", e.First, got.First)
	differ(Ino, "inode number", e.Ino, got.Ino)
	if fields&Xattrs != 0 {
		differ(Xattrs, "xattrs", xattrText(e.Xattrs), xattrText(got.Xattrs))
	}
	return d
}

func xattrText(m map[string]string) string {
	var all []string
	for name, value := range m {
		if len(value) > 80 {
			value = fmt.Sprintf("%d bytes, SHA-256 %x", len(value), sha256.Sum256([]byte(value)))
		} else {
			value = fmt.Sprintf("%q", value)
		}
		all = append(all, fmt.Sprintf("%q=%s", name, value))
	}
	sort.Strings(all)
	return "{" + strings.Join(all, " ") + "}"
}
