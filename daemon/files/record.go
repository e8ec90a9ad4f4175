package files

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/vfs"
)

// A Record is a file as --json shows it: by ls, find and stat, one object a
// line.
type Record = api.File

// NewRecord describes e. What else has to be read of it is, and where that
// fails, Error says so; with withXattrs its extended attributes are.
func NewRecord(ctx context.Context, ns *vfs.Namespace, e *Entry, withXattrs bool) Record {
	a := e.Attr
	r := Record{Schema: api.FileSchema, Type: typeName(e.Type()), Mode: fmt.Sprintf("%04o", a.Mode&0o7777), Nlink: a.Nlink,
		UID: a.UID, GID: a.GID, Size: a.Size, Blocks: a.Blocks, Inode: ns.Number(e.Node), Volume: e.Node.Tree.Name(),
		Mtime: formatTime(a.Mtime), Ctime: formatTime(a.Ctime), Atime: formatTime(a.Atime), Project: a.Project, Flags: flagNames(a.Flags)}
	r.Path, r.PathRaw = text(e.Path)
	if a.Btime != (vfs.Time{}) {
		r.Btime = formatTime(a.Btime)
	}
	if e.Err != nil {
		r.Error = e.Err.Error()
	}
	if e.Inode == nil {
		r.Type = "unknown"
		return r
	}
	switch r.Type {
	case "symlink":
		target, err := e.Inode.Readlink(ctx)
		if err != nil {
			r.Error = err.Error()
		}
		r.Target, r.TargetRaw = text(target)
	case "chardev", "blockdev":
		major, minor := decodeDev(a.Rdev)
		r.Device = fmt.Sprintf("%d:%d", major, minor)
	}
	if withXattrs && !a.NoXattr {
		m, errs := xattrs(ctx, e)
		r.Xattrs = map[string][]byte{}
		for name, value := range m {
			r.Xattrs[name] = []byte(value)
		}
		for _, err := range errs {
			r.Error = err.Error()
		}
	}
	return r
}

// text is s for JSON, and its bytes where they are not UTF-8.
func text(s string) (string, []byte) {
	if utf8.ValidString(s) {
		return s, nil
	}
	return strings.ToValidUTF8(s, "\uFFFD"), []byte(s)
}

func formatTime(t vfs.Time) string { return t.Go().Format(time.RFC3339Nano) }

func flagNames(f vfs.Flags) []string {
	var names []string
	for _, n := range []struct {
		flag vfs.Flags
		name string
	}{{vfs.FlagAppend, "append"}, {vfs.FlagCompressed, "compressed"}, {vfs.FlagEncrypted, "encrypted"},
		{vfs.FlagImmutable, "immutable"}, {vfs.FlagNoDump, "nodump"}, {vfs.FlagVerity, "verity"}} {
		if f&n.flag != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// XattrText is the value of an extended attribute for people: as text in
// quotes where it is some, as getfattr's 0s and base64 where not.
func XattrText(value []byte) string {
	trimmed := strings.TrimSuffix(string(value), "\x00")
	if utf8.ValidString(trimmed) && !strings.ContainsFunc(trimmed, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return fmt.Sprintf("%q", trimmed)
	}
	return "0s" + base64.StdEncoding.EncodeToString(value)
}
