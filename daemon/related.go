package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/raw"
)

// An ancestor is an image that may name other files: the one the user named,
// or one of its backing files.
type ancestor struct {
	src   *sources
	root  string   // the image of the Spec that the chain begins with
	path  string   // as it was named, where relative names start
	chain []fileID // this file and those that led to it
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
	return &ancestor{src: s, root: path, path: path, chain: []fileID{id}}, nil
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
	f, err := a.openFile(ctx, name, path)
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
	next := &ancestor{src: a.src, root: a.root, path: path, chain: append(a.chain[:len(a.chain):len(a.chain)], id)}
	images, err := a.src.openOn(ctx, f, format, formats.Options{Related: next.open})
	if err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, ondisk.Unsupported("backing file", "a container of %d disks", len(images))
	}
	return images[0], nil
}

// openFile opens path if it may be, for reading and with a reader's lock.
func (a *ancestor) openFile(ctx context.Context, name, path string) (*raw.File, error) {
	f, err := a.src.opener.Related(ctx, RelatedFile{Root: a.root, Image: a.path, Name: name, Path: path})
	if err != nil {
		return nil, err
	}
	return raw.New(f, a.src.options())
}
