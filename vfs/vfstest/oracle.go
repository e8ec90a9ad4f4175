package vfstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/vfs"
)

// FromDir reads the tree below a folder of the host: what an image was made
// of, or the kernel's mount of it. maxFile bounds the bytes hashed of one
// file, as Case.MaxRead does; 0 hashes all.
func FromDir(t testing.TB, dir string, maxFile int64) Tree {
	t.Helper()
	tree := Tree{}
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := fromHost(p, maxFile)
		if err != nil {
			return err
		}
		tree["/"+strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")] = f
		return nil
	})
	if err != nil {
		t.Fatalf("reading the oracle: %v", err)
	}
	return tree
}

// FromVFS reads the tree of another FileSystem; maxFile is as of FromDir.
func FromVFS(t testing.TB, fsys vfs.FileSystem, maxFile int64) Tree {
	t.Helper()
	tree, errs := snapshot(context.Background(), fsys, maxFile)
	for p, err := range errs {
		t.Errorf("reading the oracle: %s: %v", p, err)
	}
	return tree
}

func fromHost(p string, maxFile int64) (File, error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return File{}, &fs.PathError{Op: "lstat", Path: p, Err: err}
	}
	f := File{Mode: st.Mode, Nlink: uint32(st.Nlink), UID: st.Uid, GID: st.Gid, Rdev: encodeDev(st.Rdev), Size: st.Size,
		Blocks: st.Blocks, Atime: hostTime(st.Atim), Mtime: hostTime(st.Mtim), Ctime: hostTime(st.Ctim), Ino: st.Ino}
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		if maxFile == 0 || st.Size <= maxFile {
			in, err := os.Open(p)
			if err != nil {
				return File{}, err
			}
			defer in.Close()
			h := sha256.New()
			if _, err := io.Copy(h, in); err != nil {
				return File{}, err
			}
			f.SHA256 = hex.EncodeToString(h.Sum(nil))
		}
	case syscall.S_IFLNK:
		target, err := os.Readlink(p)
		if err != nil {
			return File{}, err
		}
		f.Target = target
	}
	var err error
	f.Xattrs, err = hostXattrs(p)
	return f, err
}

func hostTime(t unix.Timespec) vfs.Time { return vfs.Time{Sec: t.Sec, Nsec: uint32(t.Nsec)} }

// encodeDev is new_encode_dev of Linux's kdev_t.h.
func encodeDev(dev uint64) uint32 {
	major, minor := unix.Major(dev), unix.Minor(dev)
	return minor&0xff | major<<8 | minor&^0xff<<12
}

func hostXattrs(p string) (map[string]string, error) {
	m := map[string]string{}
	n, err := unix.Llistxattr(p, nil)
	if errors.Is(err, unix.ENOTSUP) {
		return m, nil
	} else if err != nil {
		return nil, &fs.PathError{Op: "llistxattr", Path: p, Err: err}
	}
	names := make([]byte, n)
	if n, err = unix.Llistxattr(p, names); err != nil {
		return nil, &fs.PathError{Op: "llistxattr", Path: p, Err: err}
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(p, name, value)
		if err != nil {
			return nil, &fs.PathError{Op: "lgetxattr " + name, Path: p, Err: err}
		}
		m[name] = string(value[:n])
	}
	return m, nil
}
