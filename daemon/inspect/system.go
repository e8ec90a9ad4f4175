package inspect

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// maxFile bounds what is read of one file of the guest, in bytes; libguestfs
// has the same bound.
const maxFile = 100_000

// A Source is one volume, as inspection sees it.
type Source struct {
	Name      string // "sda1"
	Disk      string // "sda"
	Type      string // of the filesystem, as blkid names it; "" where not recognised
	UUID      string // of the filesystem
	Label     string // of the filesystem
	PartUUID  string
	PartLabel string

	Scheme     string   // what it is a volume of: "gpt", "lvm2", "luks", "md", "disk"
	VolumeUUID string   // of the logical volume, LUKS header or array
	Aliases    []string // other names, relative to /dev: "vg/root", "mapper/vg-root"
	On         []string // names of the sources that it lies on

	Tree *vfs.Tree // the opened filesystem; nil where it is not open
	Err  error     // why it is not open
}

// A System is an operating system.
type System struct {
	Kind string // "linux"
	Name string // what it calls itself: "Debian GNU/Linux 12 (bookworm)"; Kind where it does not say
	Root Source // the filesystem that is its root
}

// A kind is a kind of operating system, known by what its root has.
type kind struct {
	name   string
	isRoot func(ctx context.Context, ns *vfs.Namespace) (bool, error)
}

// kinds lists them in the order in which they are asked.
func kinds() []kind {
	return []kind{{"linux", isLinuxRoot}}
}

// Systems finds the operating systems whose roots are open among sources. What
// is damaged in one filesystem is not the end of it: it is no root. The error
// is ctx's.
func Systems(ctx context.Context, sources []Source) ([]System, error) {
	var found []System
	for _, s := range sources {
		if s.Tree == nil {
			continue
		}
		ns := vfs.NewNamespace(s.Tree)
		for _, k := range kinds() {
			root, err := k.isRoot(ctx, ns)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil || !root {
				continue
			}
			name := PrettyName(ctx, ns)
			if name == "" {
				name = k.name
			}
			found = append(found, System{Kind: k.name, Name: name, Root: s})
			break
		}
	}
	return found, nil
}

func isLinuxRoot(ctx context.Context, ns *vfs.Namespace) (bool, error) {
	l := look{ctx: ctx, ns: ns}
	boot := l.file("/grub/menu.lst") || l.file("/grub/grub.conf") || l.file("/grub2/grub.cfg")
	root := !boot && l.dir("/etc") && (l.dir("/bin") || l.link("/bin", "usr/bin")) && (l.file("/etc/fstab") || l.file("/etc/hosts"))
	return root, l.err
}

// A look asks a Namespace what is there. The first error other than that
// nothing is ends it.
type look struct {
	ctx context.Context
	ns  *vfs.Namespace
	err error
}

func (l *look) inode(path string) vfs.Inode {
	if l.err != nil {
		return nil
	}
	n, err := l.ns.Walk(l.ctx, path, false)
	if err == nil {
		var f vfs.Inode
		if f, err = l.ns.Inode(l.ctx, n); err == nil {
			return f
		}
	}
	for _, absent := range []error{syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP} {
		if errors.Is(err, absent) {
			return nil
		}
	}
	l.err = err
	return nil
}

func (l *look) is(path string, kind uint32) bool {
	f := l.inode(path)
	return f != nil && f.Attr().Mode&syscall.S_IFMT == kind
}

func (l *look) file(path string) bool { return l.is(path, syscall.S_IFREG) }
func (l *look) dir(path string) bool  { return l.is(path, syscall.S_IFDIR) }

// link says whether path is a symlink to target, from the root or beside it.
func (l *look) link(path, target string) bool {
	f := l.inode(path)
	if f == nil || f.Attr().Mode&syscall.S_IFMT != syscall.S_IFLNK {
		return false
	}
	to, err := f.Readlink(l.ctx)
	if err != nil {
		l.err = err
		return false
	}
	return strings.Trim(to, "/") == target
}

// errTooLarge says that a file is larger than maxFile.
var errTooLarge = errors.New("the file is larger than the 100,000 bytes that are read")

// readFile reads a regular file of the guest.
func readFile(ctx context.Context, ns *vfs.Namespace, path string) ([]byte, error) {
	n, err := ns.Walk(ctx, path, true)
	if err != nil {
		return nil, err
	}
	f, err := ns.Inode(ctx, n)
	if err != nil {
		return nil, err
	}
	switch a := f.Attr(); {
	case a.Mode&syscall.S_IFMT != syscall.S_IFREG:
		return nil, errors.New("it is no regular file")
	case a.Size > maxFile:
		return nil, errTooLarge
	case a.Size == 0:
		return nil, nil
	}
	b := make([]byte, f.Attr().Size)
	k, err := vfs.ReadAt(ctx, f, b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:k], err
}
