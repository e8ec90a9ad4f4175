package crash

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sort"
	"strings"

	"github.com/guestctl/guestctl/vfs"
)

// Tree describes everything that a filesystem shows, one line a name.
func Tree(ctx context.Context, fs vfs.FileSystem) (string, error) {
	var lines []string
	err := walk(ctx, fs, fs.Root(), "", func(path string, n vfs.Inode) error {
		a := n.Attr()
		line := fmt.Sprintf("%s mode=%o nlink=%d uid=%d gid=%d mtime=%d.%d", path, a.Mode, a.Nlink, a.UID, a.GID, a.Mtime.Sec, a.Mtime.Nsec)
		switch a.Mode & 0o170000 {
		case 0o100000:
			b := make([]byte, a.Size)
			if a.Size > 0 {
				if _, err := vfs.ReadAt(ctx, n, b, 0); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
			line += fmt.Sprintf(" size=%d sum=%x", a.Size, sha256.Sum256(b))
		case 0o120000:
			target, err := n.Readlink(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			line += " target=" + target
		}
		var attrs []string
		for x, err := range n.Xattrs(ctx) {
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			v, err := x.Read(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			attrs = append(attrs, fmt.Sprintf(" %s=%x", x.Name, v))
		}
		sort.Strings(attrs)
		lines = append(lines, line+strings.Join(attrs, ""))
		return nil
	})
	sort.Strings(lines)
	return strings.Join(lines, "\n"), err
}

func walk(ctx context.Context, fs vfs.FileSystem, ino vfs.Ino, path string, visit func(path string, n vfs.Inode) error) error {
	n, err := fs.Inode(ctx, ino)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if path != "" { // the root's times change with what nobody looks at here
		if err := visit(path, n); err != nil {
			return err
		}
	}
	if n.Attr().Mode&0o170000 != 0o040000 {
		return nil
	}
	for e, err := range n.Entries(ctx, vfs.Cursor{}) {
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if path == "" && e.Name == "lost+found" {
			continue
		}
		if err := walk(ctx, fs, e.Ino, path+"/"+e.Name, visit); err != nil {
			return err
		}
	}
	return nil
}
