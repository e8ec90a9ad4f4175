package ext4

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
	"github.com/guestctl/guestctl/vfs"
)

// TestWriteACL: what a directory's default ACL, a mask and a chmod make of new
// files is what the kernel makes of them, byte for byte.
func TestWriteACL(t *testing.T) {
	needKernel(t)
	images.NeedTool(t, "setfacl", "getfattr")
	ctx := context.Background()
	const defaults = "u::rwx,u:5:rw-,g::r-x,g:7:rwx,m::rwx,o::r--"
	all := [][]string{{"-b", "1024"}, nil, {"-I", "128"}}
	if os.Getenv("GUESTCTL_LONG") == "" {
		all = all[:1]
	}
	for _, options := range all {
		// By the kernel.
		path := filepath.Join(t.TempDir(), "kernel.img")
		if out, err := exec.Command("mke2fs", append(append([]string{"-q", "-F", "-t", "ext4"}, options...), path, "16M")...).CombinedOutput(); err != nil {
			t.Fatalf("mke2fs: %v: %s", err, out)
		}
		folder := images.KernelMount(t, path, 0, 0, "ext4", "")
		if err := sh(fmt.Sprintf(`
			umask 027
			mkdir -m 755 d; setfacl -d -m %s d; setfacl -m u:9:rwx d
			mkdir d/sub; touch d/file; mkdir plain; touch plain/file
			setfacl -m u:3:r-- plain/file; chmod 640 plain/file
			setfacl -m u::r--,g::r--,o::- d/file; setfacl -b d/file
			setfattr -n user.long -v "$(printf 'v%%.0s' {1..700})" d/file
			setfattr -n user.short -v s d/file; setfattr -n trusted.t -v t d/sub; setfattr -n user.long -v less d/file
		`, defaults))(folder); err != nil {
			t.Fatal(err)
		}
		get := func(name, attr string) []byte {
			v := make([]byte, 1000)
			n, err := syscall.Getxattr(filepath.Join(folder, name), attr, v)
			if err != nil {
				t.Fatalf("%s of %s: %v", attr, name, err)
			}
			return v[:n]
		}
		dirDefault, dirAccess, fileAccess := get("d", "system.posix_acl_default"), get("d", "system.posix_acl_access"), get("plain/file", "system.posix_acl_access")
		images.Unmount(t, folder)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kernel, err := open(ctx, []block.Device{blocktest.NewMemory(b)}, vfs.Options{})
		if err != nil {
			t.Fatal(err)
		}

		// By us.
		w := mkfs(t, "16M", options...)
		set := func(ino vfs.Ino, name string, v []byte, flags int) error {
			return w.do(func(x *tx) error { return x.SetXattr(ctx, ino, name, v, flags) })
		}
		make := func(dir vfs.Ino, name string, mode uint32) (ino vfs.Ino) {
			w.must(w.do(func(x *tx) (err error) {
				ino, err = x.Create(ctx, dir, name, vfs.New{Mode: mode, Mask: 0o027})
				return err
			}))
			return ino
		}
		chmod := func(ino vfs.Ino, mode uint32) {
			w.must(w.do(func(x *tx) error { return x.Setattr(ctx, ino, vfs.Change{Mode: &mode}) }))
		}
		d := make(w.Root(), "d", 0o40777)
		chmod(d, 0o755)
		w.must(set(d, "system.posix_acl_default", dirDefault, 0))
		w.must(set(d, "system.posix_acl_access", dirAccess, 0))
		sub, file := make(d, "sub", 0o40777), make(d, "file", 0o100666)
		plain := make(w.Root(), "plain", 0o40777)
		pf := make(plain, "file", 0o100666)
		// setfacl set an ACL with the old mask, before the chmod.
		acl, err := parseLinuxACL(fileAccess)
		w.must(err)
		setClasses(acl, 0o777, false)
		w.must(set(pf, "system.posix_acl_access", linuxBytes(acl), 0))
		chmod(pf, 0o640)
		w.must(set(file, "system.posix_acl_access", linuxBytes([]aclEntry{{aclUserObj, 4, aclNoID}, {aclGroupObj, 4, aclNoID}, {aclOther, 0, aclNoID}}), 0))
		long := slices.Repeat([]byte{'v'}, 700)
		w.must(set(file, "user.long", long, xattrCreate))
		w.must(set(file, "user.short", []byte("s"), 0))
		w.must(set(sub, "trusted.t", []byte("t"), 0))
		w.must(set(file, "user.long", []byte("less"), xattrReplace))

		for _, c := range []struct {
			got, want error
		}{
			{set(file, "user.long", long, xattrCreate), syscall.EEXIST},
			{set(file, "user.none", long, xattrReplace), syscall.ENODATA},
			{set(file, "user.none", nil, 0), syscall.ENODATA},
			{set(file, "other.none", long, 0), syscall.EOPNOTSUPP},
			{set(file, "user.huge", slices.Repeat([]byte{'v'}, 70_000), 0), syscall.ENOSPC},
			{set(file, "system.posix_acl_access", []byte("nonsense"), 0), syscall.EINVAL},
			{set(file, "system.posix_acl_default", dirDefault, 0), syscall.EACCES},
		} {
			if c.got != c.want {
				t.Errorf("%v, want %v", c.got, c.want)
			}
		}
		const fields = manifest.Type | manifest.Perm | manifest.Owner | manifest.Nlink | manifest.Xattrs
		if lines, total := manifest.Diff(manifestOf(t, kernel), manifestOf(t, w), fields, 10); total > 0 {
			t.Errorf("%v: the kernel has %d things differently: %q", options, total, lines)
		}
		kernelSeesClosed(t, w)
	}
}

// linuxBytes is an ACL in Linux's form.
func linuxBytes(acl []aclEntry) []byte {
	out := []byte{aclLinuxVersion, 0, 0, 0}
	for _, e := range acl {
		out = append(out, byte(e.tag), 0, byte(e.perm), 0, byte(e.id), byte(e.id>>8), byte(e.id>>16), byte(e.id>>24))
	}
	return out
}

// kernelSeesClosed closes the filesystem and compares what the kernel reads.
func kernelSeesClosed(t *testing.T, w *written) {
	t.Helper()
	w.must(w.Close(context.Background()))
	b := w.dev.Bytes()
	fsckBytes(t, b)
	fs, err := open(t.Context(), []block.Device{blocktest.NewMemory(b)}, vfs.Options{})
	w.must(err)
	kernelSees(t, b, fs)
}
