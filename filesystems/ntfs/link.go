package ntfs

import (
	"context"
	"strings"
	"syscall"
)

// maxDepth bounds the ancestors of a directory.
const maxDepth = 512

// linkTarget writes the target of a symlink or junction as a Linux path, as
// the package comment says.
func (n *inode) linkTarget(ctx context.Context, target string, relative bool) (string, error) {
	path := strings.ReplaceAll(target, `\`, "/")
	parent, err := n.f.parent(ctx)
	if err != nil {
		return "", err
	}
	if relative && !strings.HasPrefix(path, "/") {
		fixed, _, err := n.f.fs.fixCase(ctx, parent, path)
		return fixed, err
	}
	rest, letter := path, false
	if !relative {
		rest = strings.TrimPrefix(path, "/??/")
		if letter = len(rest) >= 2 && rest[1] == ':' && isLetter(rest[0]) && (len(rest) == 2 || rest[2] == '/'); !letter {
			return "/??/" + strings.TrimPrefix(rest, "/"), nil
		}
	}
	inside := rest
	if letter {
		inside = rest[2:]
	}
	inside = strings.Trim(inside, "/")
	fixed, found, err := n.f.fs.fixCase(ctx, fileRoot, inside)
	if err != nil {
		return "", err
	}
	if letter && !found {
		return "/??/" + rest, nil
	}
	up, err := n.f.fs.depth(ctx, parent)
	if err != nil {
		return "", err
	}
	out := strings.Repeat("../", up) + fixed
	if out == "" {
		return ".", nil
	}
	return strings.TrimSuffix(out, "/"), nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// parent is the record number of the directory of the file's first name.
func (f *file) parent(ctx context.Context) (uint64, error) {
	for k, err := range f.names(ctx) {
		if err != nil {
			return 0, err
		}
		if k.namespace() != nameDOS {
			return k.parent().number(), nil
		}
	}
	return fileRoot, nil
}

// depth is how many directories lie between a directory and the root.
func (fs *FileSystem) depth(ctx context.Context, num uint64) (int, error) {
	for depth := range maxDepth {
		if num == fileRoot {
			return depth, nil
		}
		f, err := fs.openRecord(ctx, num)
		if err != nil {
			if isErrno(err) {
				return depth, nil // an orphan: as far as is known
			}
			return 0, err
		}
		if num, err = f.parent(ctx); err != nil {
			return 0, err
		}
	}
	return 0, fs.corruptRecord(num, "more than %d directories are above it", maxDepth)
}

// fixCase writes a path below directory dir in the case that its names have on
// the volume, since Windows follows links whatever their case. It says whether
// the path is there. What is not there, and what is behind another link, keeps
// its case.
func (fs *FileSystem) fixCase(ctx context.Context, dir uint64, path string) (string, bool, error) {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part == "" || part == "." {
			continue
		}
		f, err := fs.openRecord(ctx, dir)
		if err != nil && !isErrno(err) {
			return "", false, err
		}
		if err != nil || f.rec.flags()&recordDirectory == 0 {
			return path, false, nil
		}
		if part == ".." {
			if dir, err = f.parent(ctx); err != nil {
				return "", false, err
			}
			continue
		}
		d := &inode{f: *f}
		var buf [2 * maxNameUnits]byte
		want, ok := encodeName(buf[:0], part)
		if !ok {
			return path, false, nil
		}
		e, err := d.findUnits(ctx, want, true)
		if err == syscall.ENOENT {
			return strings.Join(parts, "/"), false, nil
		}
		if err != nil {
			return "", false, err
		}
		k := fileName(e.key())
		if k.namespace() != nameDOS {
			parts[i] = decodeName(k.name())
		}
		dir = e.ref().number()
		if k.attributes()&attrReparsePoint != 0 {
			break // the caller's system follows that link itself
		}
	}
	return strings.Join(parts, "/"), true, nil
}
