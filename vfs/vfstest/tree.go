package vfstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// A Tree is what a filesystem holds, by path: "/", "/etc/passwd".
type Tree map[string]File

// A File is what a Tree knows of one file.
type File struct {
	Mode   uint32 // type and permissions
	Nlink  uint32
	UID    uint32
	GID    uint32
	Rdev   uint32 // new_encode_dev
	Size   int64
	Blocks int64
	Atime  vfs.Time
	Mtime  vfs.Time
	Ctime  vfs.Time
	Target string            // of a symlink
	SHA256 string            // of a regular file's bytes, in hex
	Xattrs map[string]string // never nil in a comparison's eyes: empty is none
	Ino    uint64            // the number, to compare hard links
}

// A Field names a part of a File that a comparison leaves out.
type Field uint32

// The fields.
const (
	Mode Field = 1 << iota
	Nlink
	Owner
	Rdev
	Size // of everything but regular files, whose size always counts
	DirSize
	Blocks
	Atime
	Mtime
	Ctime
	Target
	Contents
	Xattrs
	InoNumber
	LostFound // the directory lost+found, which mke2fs adds
)

// snapshot reads the whole tree of fsys. What cannot be read is in the second
// answer, by path and step. maxFile bounds the bytes hashed of one file, 0
// hashes all; where a file is longer its SHA256 is empty.
func snapshot(ctx context.Context, fsys vfs.FileSystem, maxFile int64) (Tree, map[string]error) {
	s := &scan{ctx: ctx, fsys: fsys, maxFile: maxFile, tree: Tree{}, errs: map[string]error{}, dirs: map[[2]uint64]bool{}}
	s.visit("/", fsys.Root())
	return s.tree, s.errs
}

type scan struct {
	ctx     context.Context
	fsys    vfs.FileSystem
	maxFile int64
	tree    Tree
	errs    map[string]error
	dirs    map[[2]uint64]bool // visited: a damaged tree may hold a loop
}

func (s *scan) visit(p string, ino vfs.Ino) {
	f, err := s.fsys.Inode(s.ctx, ino)
	if err != nil {
		s.errs[p+" inode"] = err
		return
	}
	file, errs := describe(s.ctx, f, s.maxFile)
	s.tree[p] = file
	for step, err := range errs {
		s.errs[p+" "+step] = err
	}
	if file.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return
	}
	key := [2]uint64{f.Ino().Tree, f.Ino().Num}
	if s.dirs[key] || len(p) > 64<<10 {
		s.errs[p+" loop"] = syscall.ELOOP
		return
	}
	s.dirs[key] = true
	for e, err := range f.Entries(s.ctx, vfs.Cursor{}) {
		if err != nil {
			s.errs[p+" entries"] = err
			break
		}
		s.visit(strings.TrimSuffix(p, "/")+"/"+e.Name, e.Ino)
	}
}

// describe reads all that a File says of f.
func describe(ctx context.Context, f vfs.Inode, maxFile int64) (File, map[string]error) {
	a := f.Attr()
	file := File{Mode: a.Mode, Nlink: a.Nlink, UID: a.UID, GID: a.GID, Rdev: a.Rdev, Size: a.Size, Blocks: a.Blocks,
		Atime: a.Atime, Mtime: a.Mtime, Ctime: a.Ctime, Ino: f.Ino().Num, Xattrs: map[string]string{}}
	errs := map[string]error{}
	switch a.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		if maxFile == 0 || a.Size <= maxFile {
			h := sha256.New()
			n, err := io.CopyBuffer(h, struct{ io.Reader }{vfs.NewReader(ctx, f)}, make([]byte, 256<<10))
			if err != nil {
				errs["read"] = err
			} else if n != a.Size {
				errs["read"] = fmt.Errorf("%d bytes of %d: %w", n, a.Size, io.ErrUnexpectedEOF)
			}
			file.SHA256 = hex.EncodeToString(h.Sum(nil))
		}
	case syscall.S_IFLNK:
		target, err := f.Readlink(ctx)
		if err != nil {
			errs["readlink"] = err
		}
		file.Target = target
	}
	for x, err := range f.Xattrs(ctx) {
		if err != nil {
			errs["xattrs"] = err
			break
		}
		value, err := x.Read(ctx)
		if err != nil {
			errs["xattr "+x.Name] = err
			continue
		}
		if !x.Hidden { // no oracle that lists attributes knows of it
			file.Xattrs[x.Name] = string(value)
		}
	}
	return file, errs
}

// Differences compares two trees and says, a line for each, where got is not as
// want.
func Differences(got, want Tree, ignore Field) []string {
	var lines []string
	paths := slices.Sorted(maps.Keys(want))
	for _, p := range paths {
		if ignore&LostFound != 0 && below(p, "/lost+found") {
			continue
		}
		g, ok := got[p]
		if !ok {
			lines = append(lines, fmt.Sprintf("%q is missing", p))
			continue
		}
		lines = append(lines, g.differences(p, want[p], ignore)...)
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[p]; !ok && (ignore&LostFound == 0 || !below(p, "/lost+found")) {
			lines = append(lines, fmt.Sprintf("%q is too many", p))
		}
	}
	return lines
}

func below(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func (f File) differences(p string, want File, ignore Field) []string {
	var lines []string
	differ := func(field Field, what string, g, w any) {
		if ignore&field == 0 && g != w {
			lines = append(lines, fmt.Sprintf("%q: %s is %v, want %v", p, what, g, w))
		}
	}
	kind := want.Mode & syscall.S_IFMT
	if f.Mode&syscall.S_IFMT != kind {
		differ(0, "type", fmt.Sprintf("%#o", f.Mode&syscall.S_IFMT), fmt.Sprintf("%#o", kind))
		return lines
	}
	differ(Mode, "mode", fmt.Sprintf("%#o", f.Mode), fmt.Sprintf("%#o", want.Mode))
	if kind != syscall.S_IFDIR || ignore&LostFound == 0 || p != "/" {
		differ(Nlink, "nlink", f.Nlink, want.Nlink)
	}
	differ(Owner, "uid", f.UID, want.UID)
	differ(Owner, "gid", f.GID, want.GID)
	if kind == syscall.S_IFBLK || kind == syscall.S_IFCHR {
		differ(Rdev, "rdev", f.Rdev, want.Rdev)
	}
	switch kind {
	case syscall.S_IFREG:
		differ(0, "size", f.Size, want.Size)
	case syscall.S_IFDIR:
		differ(DirSize|Size, "size", f.Size, want.Size)
	default:
		differ(Size, "size", f.Size, want.Size)
	}
	differ(Blocks, "blocks", f.Blocks, want.Blocks)
	differ(Atime, "atime", f.Atime, want.Atime)
	differ(Mtime, "mtime", f.Mtime, want.Mtime)
	differ(Ctime, "ctime", f.Ctime, want.Ctime)
	differ(Target, "target", fmt.Sprintf("%q", f.Target), fmt.Sprintf("%q", want.Target))
	if f.SHA256 != "" && want.SHA256 != "" {
		differ(Contents, "SHA-256", f.SHA256, want.SHA256)
	}
	if ignore&Xattrs == 0 && !maps.Equal(f.Xattrs, want.Xattrs) {
		lines = append(lines, fmt.Sprintf("%q: xattrs are %q, want %q", p, f.Xattrs, want.Xattrs))
	}
	differ(InoNumber, "inode", f.Ino, want.Ino)
	return lines
}
