package mount

import (
	"bytes"
	"context"
	"io"
	"iter"
	"log/slog"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// panicking is a filesystem whose large files cannot be mapped without a panic.
type panicking struct{ vfs.FileSystem }

func (p panicking) Inode(ctx context.Context, ino vfs.Ino) (vfs.Inode, error) {
	f, err := p.FileSystem.Inode(ctx, ino)
	return panickingInode{f}, err
}

type panickingInode struct{ vfs.Inode }

func (p panickingInode) Map(ctx context.Context, off, n int64) (vfs.Extent, error) {
	if p.Attr().Size > 2<<20 {
		panic("a mistake of ours")
	}
	return p.Inode.Map(ctx, off, n)
}

// watched counts what is asked of a filesystem.
type watched struct {
	vfs.FileSystem
	listed     int       // calls of Entries
	prefetched []vfs.Ino // of the last Prefetch
	prefetches int
}

func (w *watched) Prefetch(_ context.Context, inos []vfs.Ino) {
	w.prefetches++
	w.prefetched = inos
}

func (w *watched) Inode(ctx context.Context, ino vfs.Ino) (vfs.Inode, error) {
	f, err := w.FileSystem.Inode(ctx, ino)
	return watchedInode{f, w}, err
}

type watchedInode struct {
	vfs.Inode
	w *watched
}

func (i watchedInode) Entries(ctx context.Context, after vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	i.w.listed++
	return i.Inode.Entries(ctx, after)
}

// memory is a device of these bytes.
func memory(s string) block.Device { return memoryDevice(s) }

type memoryDevice string

func (d memoryDevice) Size() int64 { return int64(len(d)) }

func (d memoryDevice) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader([]byte(d)).ReadAt(p, off)
}

func (d memoryDevice) Locate(_ context.Context, off, n int64) (block.Run, error) {
	return block.Run{Kind: block.Opaque, Len: block.Clamp(off, n, d.Size())}, nil
}
