package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/raw"
)

// An ancestor is an image that may name other files: the one the user named,
// or one of its backing files.
type ancestor struct {
	src     *sources
	path    string   // as it was named, where relative names start
	folders []folder // where files may be opened: those of the whole chain
	chain   []fileID // this file and those that led to it
}

// A folder is where files that an image names may be opened.
type folder struct {
	real   string // symlinks resolved
	direct bool   // only what is directly in it
}

// holds says whether the file real, symlinks resolved, may be opened.
func (f folder) holds(real string) bool {
	if f.direct {
		return filepath.Dir(real) == f.real
	}
	return f.real == "/" || strings.HasPrefix(real, f.real+"/")
}

// fileID is a file, whatever it is called.
type fileID struct{ dev, ino, rdev uint64 }

func idOf(f *raw.File) (fileID, error) {
	st, err := f.Host().Stat()
	if err != nil {
		return fileID{}, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, fmt.Errorf("stat %q: no inode number", f.Name())
	}
	if sys.Mode&syscall.S_IFMT == syscall.S_IFBLK {
		return fileID{rdev: sys.Rdev}, nil
	}
	return fileID{dev: sys.Dev, ino: sys.Ino}, nil
}

// ancestor is the image that the user named.
func (s *sources) ancestor(path string, f *raw.File) (*ancestor, error) {
	id, err := idOf(f)
	if err != nil {
		return nil, err
	}
	a := &ancestor{src: s, path: path, chain: []fileID{id}}
	for _, dir := range s.allow {
		a.folders = append(a.folders, folder{real: dir})
	}
	// A host's device is in the folder of all others, which are no business
	// of the guest whose disk it is.
	if id.rdev != 0 {
		return a, nil
	}
	real, err := realPath(path)
	if err != nil {
		return nil, err
	}
	named, err := realPath(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{named, filepath.Dir(real)} {
		a.folders = append(a.folders, folder{real: dir, direct: dir == "/"})
	}
	return a, nil
}

// open is formats.Options.Related of the image a.
func (a *ancestor) open(ctx context.Context, name, format string) (block.Device, error) {
	dev, err := a.openNamed(ctx, name, format)
	if err != nil {
		return nil, fmt.Errorf("file %q that %q names: %w", name, a.path, err)
	}
	return dev, nil
}

func (a *ancestor) openNamed(ctx context.Context, name, format string) (block.Device, error) {
	if len(a.chain) >= MaxChain {
		return nil, ErrChainTooDeep
	}
	ref, err := formats.ParseBacking(name)
	if err != nil {
		return nil, err
	}
	switch {
	case format == "":
		format = ref.Format
	case ref.Format != "" && ref.Format != format:
		return nil, ondisk.Corrupt("backing file format", 0, "the image says %q, the file's name %q", format, ref.Format)
	}
	path := ref.Path
	if !filepath.IsAbs(path) {
		// Not filepath.Join, which takes "link/.." away before it is resolved.
		path = filepath.Dir(a.path) + "/" + ref.Path
	}
	f, err := a.openFile(name, path)
	if err != nil {
		return nil, err
	}
	id, err := idOf(f)
	if err == nil {
		for _, seen := range a.chain {
			if seen == id {
				err = ErrChainLoop
			}
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if err := a.src.keepFile(f); err != nil {
		return nil, err
	}
	next := &ancestor{src: a.src, path: path, folders: a.folders, chain: append(a.chain[:len(a.chain):len(a.chain)], id)}
	images, err := a.src.openOn(ctx, f, format, formats.Options{Related: next.open})
	if err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, ondisk.Unsupported("backing file", "a container of %d disks", len(images))
	}
	return images[0], nil
}

// openFile opens path if it lies in one of the folders, for reading and with a
// reader's lock.
func (a *ancestor) openFile(name, path string) (*raw.File, error) {
	real, err := realPath(path)
	if err != nil {
		// What is outside is refused before it is said whether it exists.
		if abs, aerr := filepath.Abs(path); aerr != nil || !a.mayOpen(abs) {
			return nil, a.refuse(name, path)
		}
		return nil, unreadable(path, err)
	}
	for _, dir := range a.folders {
		if !dir.holds(real) {
			continue
		}
		f, err := openBeneath(dir.real, real)
		if err != nil {
			return nil, unreadable(real, err)
		}
		return raw.New(f, a.src.options())
	}
	return nil, a.refuse(name, real)
}

func (a *ancestor) mayOpen(path string) bool {
	for _, dir := range a.folders {
		if dir.holds(path) {
			return true
		}
	}
	return false
}

func (a *ancestor) refuse(name, path string) error {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return &RefusedError{Image: a.path, Name: name, Path: path, Folder: filepath.Dir(path)}
}

// openBeneath opens the file real, which is below dir, and leaves dir by no
// symlink, not even one that was put there since real was resolved.
func openBeneath(dir, real string) (*os.File, error) {
	rel, err := filepath.Rel(dir, real)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	st, err := root.Lstat(rel)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() && st.Mode().Type() != fs.ModeDevice {
		return nil, &os.PathError{Op: "open", Path: real, Err: errors.New("neither a file nor a block device")}
	}
	// Not to wait, should it have become a FIFO.
	return root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// realPath is the absolute path without symlinks.
func realPath(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(real)
}
