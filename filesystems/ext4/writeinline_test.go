package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// inlineTree is made by the kernel: files, directories and symlinks of all
// lengths that are stored in inodes, with attributes beside them.
const inlineTree = `
	for i in 0 1 30 59 60 61 100 130 150 160 161 200; do
		head -c $i /dev/urandom > f$i
		head -c $i /dev/urandom > x$i; setfattr -n user.note -v "a note of file $i" x$i
		[ $i = 0 ] || ln -s "$(head -c $i /dev/zero | tr '\0' l)" l$i
		mkdir d$i e$i
		for k in $(seq $((i / 20))); do mkdir d$i/s$k; echo $k > d$i/f$k; done
	done
	setfacl -m u:5:rw- f30; setfacl -d -m u:7:rwx d60
`

// TestWriteInline: whatever is stored in an inode is changed as if it were not.
func TestWriteInline(t *testing.T) {
	needKernel(t)
	images.NeedTool(t, "setfattr", "setfacl")
	for _, options := range [][]string{{"-I", "256"}, {"-I", "1024", "-b", "1024"}, {"-I", "256", "-O", "^metadata_csum"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			if options[len(options)-1] != "256" {
				images.NeedLong(t)
			}
			ctx := context.Background()
			b := mkfsBytes(t, "16M", append([]string{"-O", "inline_data"}, options...)...)
			path := t.TempDir() + "/inline.img"
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			folder := images.KernelMount(t, path, 0, 0, "ext4", "")
			if err := sh(inlineTree)(folder); err != nil {
				t.Fatal(err)
			}
			images.Unmount(t, folder)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			// Each change on a filesystem of its own, and then all on one.
			changes := []func(w *written, name string, ino vfs.Ino, a vfs.Attr) error{
				func(w *written, _ string, ino vfs.Ino, a vfs.Attr) error {
					if a.Mode&syscall.S_IFMT != syscall.S_IFREG {
						return nil
					}
					old := w.read(ino)
					w.write(ino, a.Size/2, []byte("written over"))
					want := append(bytes.Clone(old), make([]byte, max(0, int(a.Size/2)+12-len(old)))...)
					copy(want[a.Size/2:], "written over")
					if !bytes.Equal(w.read(ino), want) {
						t.Error("a file reads differently")
					}
					return nil
				},
				func(w *written, _ string, ino vfs.Ino, a vfs.Attr) error {
					if a.Mode&syscall.S_IFMT != syscall.S_IFREG {
						return nil
					}
					if a.Size%2 == 0 {
						return w.Fallocate(ctx, ino, 10_000, 3000, 0, testTime)
					}
					return w.Truncate(ctx, ino, a.Size/3, testTime)
				},
				func(w *written, _ string, ino vfs.Ino, a vfs.Attr) error {
					if a.Mode&syscall.S_IFMT == syscall.S_IFLNK {
						return nil
					}
					return w.do(func(x *tx) error {
						return x.SetXattr(ctx, ino, "user.more", bytes.Repeat([]byte("m"), int(a.Size%70)), 0)
					})
				},
				func(w *written, _ string, ino vfs.Ino, a vfs.Attr) error {
					if a.Mode&syscall.S_IFMT == syscall.S_IFDIR {
						w.create(w.create(ino, "new", 0o40755), "file", 0o100644)
					}
					return nil
				},
				func(w *written, name string, ino vfs.Ino, a vfs.Attr) error {
					return w.do(func(x *tx) error {
						_, err := x.Rename(ctx, w.Root(), name, w.moved, "moved-"+name, 0)
						return err
					})
				},
				func(w *written, name string, ino vfs.Ino, a vfs.Attr) error {
					dir := w.Root()
					if w.moved != (vfs.Ino{}) && w.movedAll {
						dir, name = w.moved, "moved-"+name
					}
					var gone vfs.Ino
					err := w.do(func(x *tx) (err error) {
						gone, err = x.Unlink(ctx, dir, name, a.Mode&syscall.S_IFMT == syscall.S_IFDIR)
						return err
					})
					if errors.Is(err, syscall.ENOTEMPTY) {
						return nil
					}
					if err == nil {
						err = w.Evict(ctx, gone, testTime)
					}
					return err
				},
			}
			run := func(w *written, f func(w *written, name string, ino vfs.Ino, a vfs.Attr) error, names map[string]vfs.Ino) {
				for name, ino := range names {
					n, err := w.Inode(ctx, ino)
					w.must(err)
					if err := f(w, name, ino, n.Attr()); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
			list := func(w *written) map[string]vfs.Ino {
				names := map[string]vfs.Ino{}
				root, err := w.Inode(ctx, w.Root())
				w.must(err)
				for e, err := range root.Entries(ctx, vfs.Cursor{}) {
					w.must(err)
					if e.Name != "lost+found" && e.Name != "moved" {
						names[e.Name] = e.Ino
					}
				}
				return names
			}
			for i, f := range append(changes, nil) {
				if f != nil && os.Getenv("GUESTCTL_LONG") == "" {
					continue // all of them, one after the other, are enough
				}
				w := openWritten(t, blocktest.NewMemory(bytes.Clone(b)), &memorySidecar{})
				names := list(w)
				if len(names) < 50 {
					t.Fatalf("%d names", len(names))
				}
				inline := 0
				for _, ino := range names {
					if n, err := w.iget(ctx, uint32(ino.Num)); err == nil && n.flag(flagInlineData) {
						inline++
					}
				}
				if inline < 25 {
					t.Fatalf("%d are inline", inline)
				}
				w.moved = w.create(w.Root(), "moved", 0o40755)
				if f != nil {
					run(w, f, names)
				} else {
					for k, f := range changes {
						run(w, f, names)
						w.movedAll = w.movedAll || k == 4
					}
				}
				w.must(w.Sync(ctx))
				t.Run(fmt.Sprint("change ", i), func(t *testing.T) { kernelSees(t, w.dev.Bytes(), w) })
				w.fsck()
			}
		})
	}
}
