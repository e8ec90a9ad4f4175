package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
)

// A prober does the same below two folders and writes down what comes of it.
type prober struct {
	dir string
	log []string
}

func (p *prober) at(name string) string { return filepath.Join(p.dir, name) }

// note writes down an outcome.
func (p *prober) note(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

// did writes down an operation and its error.
func (p *prober) did(what string, err error) {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		p.note("%s: %s", what, unix.ErrnoName(errno))
		return
	}
	p.note("%s: %v", what, err)
}

// stat writes down what lstat says, but for times: only whether they changed since before.
func (p *prober) stat(name string, before ...unix.Stat_t) {
	var st unix.Stat_t
	if err := unix.Lstat(p.at(name), &st); err != nil {
		p.did("stat "+name, err)
		return
	}
	p.note("stat %s: %o %d links, %d:%d, %d bytes, rdev %x", name, st.Mode, st.Nlink, st.Uid, st.Gid, st.Size, st.Rdev)
	for _, b := range before {
		p.note("times of %s: mtime %v, ctime %v", name, st.Mtim != b.Mtim, st.Ctim != b.Ctim)
	}
}

func (p *prober) before(name string) (st unix.Stat_t) {
	if err := unix.Lstat(p.at(name), &st); err != nil {
		p.did("stat "+name, err)
	}
	time.Sleep(12 * time.Millisecond) // the kernel's clock of files is as coarse as 10 ms
	return st
}

func (p *prober) create(name string, mode uint32) {
	fd, err := unix.Open(p.at(name), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, mode)
	if err != nil {
		p.did("create "+name, err)
		return
	}
	unix.Close(fd)
}

func (p *prober) write(name, text string) {
	fd, err := unix.Open(p.at(name), unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err == nil {
		_, err = unix.Write(fd, []byte(text))
		unix.Close(fd)
	}
	p.did("write "+name, err)
}

// as does something as an ordinary user.
func (p *prober) as(uid, gid int, do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		for _, err := range []error{rawCall(unix.SYS_SETGROUPS, 0, 0, 0), rawCall(unix.SYS_SETRESGID, gid, gid, gid), rawCall(unix.SYS_SETRESUID, uid, uid, uid)} {
			if err != nil {
				p.did("become", err)
				return
			}
		}
		do()
	}()
	<-done
}

func rawCall(trap uintptr, a, b, c int) error {
	if _, _, errno := syscall.RawSyscall(trap, uintptr(a), uintptr(b), uintptr(c)); errno != 0 {
		return errno
	}
	return nil
}

var probes = []struct {
	name string
	do   func(p *prober)
}{
	{"create", func(p *prober) {
		for _, mode := range []uint32{0o644, 0o7777, 0, 0o2755} {
			name := fmt.Sprintf("f%o", mode)
			p.create(name, mode)
			p.stat(name)
			p.did("mkdir", unix.Mkdir(p.at("d"+name), mode))
			p.stat("d" + name)
		}
		p.create("f644", 0o644)
		p.did("mkdir on a file", unix.Mkdir(p.at("f644"), 0o755))
		p.did("below a file", unix.Mkdir(p.at("f644/x"), 0o755))
		p.did("in nothing", unix.Mkdir(p.at("none/x"), 0o755))
		p.create(strings.Repeat("n", 255), 0o600)
		p.create(strings.Repeat("n", 256), 0o600)
		p.did("mkdir 256", unix.Mkdir(p.at(strings.Repeat("d", 256)), 0o755))
		p.did("rename to 256", unix.Rename(p.at("f644"), p.at(strings.Repeat("r", 256))))
		p.did("link 256", unix.Link(p.at("f644"), p.at(strings.Repeat("r", 256))))
		p.did("symlink 256", unix.Symlink("x", p.at(strings.Repeat("r", 256))))
		p.did("unlink 256", unix.Unlink(p.at(strings.Repeat("r", 256))))
	}},
	{"nodes", func(p *prober) {
		for i, mode := range []uint32{unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFBLK, unix.S_IFREG, 0} {
			name := fmt.Sprintf("n%d", i)
			p.did("mknod "+name, unix.Mknod(p.at(name), mode|0o640, int(unix.Mkdev(259, 70000))))
			p.stat(name)
		}
		p.did("mknod again", unix.Mknod(p.at("n0"), unix.S_IFIFO|0o600, 0))
		p.did("truncate a fifo", unix.Truncate(p.at("n0"), 1))
	}},
	{"symlinks", func(p *prober) {
		for _, n := range []int{1, 59, 60, 61, 255, 4000, 4094, 4095, 4096} {
			name := fmt.Sprintf("l%d", n)
			p.did("symlink "+name, unix.Symlink(strings.Repeat("t", n), p.at(name)))
			p.stat(name)
			buf := make([]byte, 5000)
			k, err := unix.Readlink(p.at(name), buf)
			p.did(fmt.Sprintf("readlink of %d", k), err)
		}
		p.did("empty", unix.Symlink("", p.at("empty")))
		p.did("itself", unix.Symlink("loop", p.at("loop")))
		_, err := unix.Open(p.at("loop"), unix.O_RDONLY, 0)
		p.did("open a loop", err)
		p.did("again", unix.Symlink("x", p.at("loop")))
		p.did("link a symlink", unix.Linkat(unix.AT_FDCWD, p.at("loop"), unix.AT_FDCWD, p.at("loop2"), 0))
		p.stat("loop2")
		p.did("unlink", unix.Unlink(p.at("l4000")))
	}},
	{"links", func(p *prober) {
		p.write("a", "1")
		b := p.before("a")
		dir := p.before(".")
		p.did("link", unix.Link(p.at("a"), p.at("b")))
		p.stat("a", b)
		p.stat(".", dir)
		p.stat("b")
		p.did("link again", unix.Link(p.at("a"), p.at("b")))
		p.did("mkdir", unix.Mkdir(p.at("d"), 0o755))
		p.did("link a directory", unix.Link(p.at("d"), p.at("e")))
		p.did("link nothing", unix.Link(p.at("none"), p.at("e")))
		b = p.before("a")
		p.did("unlink", unix.Unlink(p.at("b")))
		p.stat("a", b)
		p.did("unlink again", unix.Unlink(p.at("b")))
		p.did("unlink a directory", unix.Unlink(p.at("d")))
		p.did("rmdir a file", unix.Rmdir(p.at("a")))
		p.did("rmdir .", unix.Rmdir(p.at("d")+"/."))
		p.did("rmdir ..", unix.Rmdir(p.at("d")+"/.."))
		p.write("d/x", "x")
		p.did("rmdir full", unix.Rmdir(p.at("d")))
		p.did("unlink", unix.Unlink(p.at("d/x")))
		b = p.before(".")
		p.did("rmdir", unix.Rmdir(p.at("d")))
		p.stat(".", b)
		p.did("rmdir again", unix.Rmdir(p.at("d")))
	}},
	{"rename", func(p *prober) {
		for _, d := range []string{"d", "d/e", "full", "empty"} {
			p.did("mkdir", unix.Mkdir(p.at(d), 0o755))
		}
		for _, f := range []string{"a", "b", "full/x"} {
			p.write(f, f)
		}
		p.did("into itself", unix.Rename(p.at("d"), p.at("d/e/d")))
		p.did("onto its parent", unix.Rename(p.at("d/e"), p.at("d")))
		p.did("nothing", unix.Rename(p.at("none"), p.at("c")))
		p.did("file onto directory", unix.Rename(p.at("a"), p.at("d")))
		p.did("directory onto file", unix.Rename(p.at("d"), p.at("a")))
		p.did("onto a full one", unix.Rename(p.at("d"), p.at("full")))
		p.did("onto an empty one", unix.Rename(p.at("d"), p.at("empty")))
		p.stat("empty")
		p.stat(".")
		b, dir := p.before("a"), p.before(".")
		p.did("onto a file", unix.Rename(p.at("a"), p.at("b")))
		p.stat("b", b)
		p.stat(".", dir)
		p.did("onto itself", unix.Rename(p.at("b"), p.at("b")))
		p.did("link", unix.Link(p.at("b"), p.at("c")))
		p.did("onto a name of its own", unix.Rename(p.at("b"), p.at("c")))
		p.stat("b")
		p.did("moved", unix.Rename(p.at("empty"), p.at("full/moved")))
		p.stat("full")
		p.stat(".")
		p.write("z", "z")
		for _, flags := range []uint{unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE, unix.RENAME_NOREPLACE | unix.RENAME_EXCHANGE, 1 << 10} {
			p.did(fmt.Sprintf("flags %x", flags), unix.Renameat2(unix.AT_FDCWD, p.at("z"), unix.AT_FDCWD, p.at("full"), flags))
			p.did(fmt.Sprintf("flags %x, new name", flags), unix.Renameat2(unix.AT_FDCWD, p.at("z"), unix.AT_FDCWD, p.at("full/new"), flags))
			p.stat("full")
			p.stat("z")
			p.stat(".")
		}
		p.did("exchange with an ancestor", unix.Renameat2(unix.AT_FDCWD, p.at("z"), unix.AT_FDCWD, p.at("z/moved"), unix.RENAME_EXCHANGE))
	}},
	{"attributes", func(p *prober) {
		p.write("f", "text")
		for _, mode := range []uint32{0o600, 0o4755, 0o2755, 0o1777, 0o6711, 0} {
			b := p.before("f")
			p.did("chmod", unix.Chmod(p.at("f"), mode))
			p.stat("f", b)
			p.did("chown", unix.Lchown(p.at("f"), 1000, 1001))
			p.stat("f")
		}
		p.did("chown large", unix.Lchown(p.at("f"), 1<<31, 1<<32-2))
		p.stat("f")
		p.did("chown nothing", unix.Lchown(p.at("f"), -1, -1))
		p.stat("f")
		p.did("mkdir", unix.Mkdir(p.at("d"), 0o2755))
		p.did("chmod", unix.Chmod(p.at("d"), 0o2755))
		p.did("chown", unix.Lchown(p.at("d"), 1, 77))
		p.stat("d")
		p.create("d/inherits", 0o644)
		p.stat("d/inherits")
		p.did("mkdir", unix.Mkdir(p.at("d/inherits too"), 0o700))
		p.stat("d/inherits too")
		for _, sec := range []int64{0, -1, 1 - 1<<31, 1<<31 - 1, 1 << 31, 1<<33 + 5} {
			p.did("utimens", unix.UtimesNanoAt(unix.AT_FDCWD, p.at("f"), []unix.Timespec{{Sec: sec, Nsec: 999_999_999}, {Sec: sec, Nsec: 1}}, 0))
			var st unix.Stat_t
			p.did("stat", unix.Stat(p.at("f"), &st))
			p.note("%d.%d %d.%d", st.Atim.Sec, st.Atim.Nsec, st.Mtim.Sec, st.Mtim.Nsec)
		}
		b := p.before("f")
		p.did("utimens omit", unix.UtimesNanoAt(unix.AT_FDCWD, p.at("f"), []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}, 0))
		p.stat("f", b)
		p.did("utimens now", unix.UtimesNanoAt(unix.AT_FDCWD, p.at("f"), []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}, 0))
		p.stat("f", b)
	}},
	{"sizes", func(p *prober) {
		p.write("f", strings.Repeat("x", 10_000))
		for _, size := range []int64{10_000, 5000, 4096, 0, 1 << 30, 1<<44 - 8192, 1 << 44, 1 << 50, -1, 3} {
			b := p.before("f")
			p.did(fmt.Sprintf("truncate to %d", size), unix.Truncate(p.at("f"), size))
			p.stat("f", b)
		}
		p.did("truncate a directory", unix.Truncate(p.dir, 0))
		fd, err := unix.Open(p.at("f"), unix.O_RDWR|unix.O_TRUNC, 0)
		p.did("open", err)
		p.stat("f")
		for _, off := range []int64{0, 5000, 1 << 30, 1<<44 - 4096, 1 << 44, 1 << 60} {
			b := p.before("f")
			n, err := unix.Pwrite(fd, []byte("data"), off)
			p.did(fmt.Sprintf("pwrite at %d: %d", off, n), err)
			p.stat("f", b)
		}
		for _, whence := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
			for _, off := range []int64{0, 1, 9000, 1<<44 - 1} {
				at, err := unix.Seek(fd, off, whence)
				p.did(fmt.Sprintf("seek %d %d: %d", whence, off, at), err)
			}
		}
		p.did("ftruncate", unix.Ftruncate(fd, 100_000))
		for _, mode := range []uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE,
			unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE} {
			for _, r := range [][2]int64{{0, 0}, {0, 4096}, {5000, 200_000}, {50_000, 1}, {1 << 50, 4096}} {
				p.did(fmt.Sprintf("fallocate %x %v", mode, r), unix.Fallocate(fd, mode, r[0], r[1]))
				p.stat("f")
			}
		}
		p.did("fsync", unix.Fsync(fd))
		p.did("fdatasync", unix.Fdatasync(fd))
		unix.Close(fd)
		d, err := unix.Open(p.dir, unix.O_RDONLY, 0)
		p.did("open", err)
		p.did("fsync of a directory", unix.Fsync(d))
		unix.Close(d)
		_, err = unix.Open(p.dir, unix.O_RDWR, 0)
		p.did("write to a directory", err)
	}},
	{"unnamed", func(p *prober) {
		fd, err := unix.Open(p.dir, unix.O_TMPFILE|unix.O_RDWR, 0o640)
		p.did("O_TMPFILE", err)
		_, err = unix.Write(fd, []byte("unnamed"))
		p.did("write", err)
		var st unix.Stat_t
		p.did("fstat", unix.Fstat(fd, &st))
		p.note("%o %d links %d bytes", st.Mode, st.Nlink, st.Size)
		p.did("linkat", unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, p.at("named"), unix.AT_SYMLINK_FOLLOW))
		unix.Close(fd)
		p.stat("named")
		fd, err = unix.Open(p.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL, 0o640)
		p.did("O_TMPFILE|O_EXCL", err)
		unix.Close(fd)
		fd, err = unix.Open(p.at("gone"), unix.O_CREAT|unix.O_RDWR, 0o644)
		p.did("create", err)
		p.did("unlink", unix.Unlink(p.at("gone")))
		_, err = unix.Pwrite(fd, []byte("still here"), 4090)
		p.did("write", err)
		buf := make([]byte, 20)
		n, err := unix.Pread(fd, buf, 4089)
		p.did(fmt.Sprintf("read %q", buf[:n]), err)
		p.did("fstat", unix.Fstat(fd, &st))
		p.note("%o %d links %d bytes", st.Mode, st.Nlink, st.Size)
		p.did("ftruncate", unix.Ftruncate(fd, 5))
		unix.Close(fd)
		p.did("mkdir", unix.Mkdir(p.at("d"), 0o755))
		d, err := unix.Open(p.at("d"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		p.did("open", err)
		p.did("rmdir", unix.Rmdir(p.at("d")))
		p.did("fstat", unix.Fstat(d, &st))
		p.note("%o %d links", st.Mode, st.Nlink)
		_, err = unix.Openat(d, "new", unix.O_CREAT|unix.O_RDWR, 0o644)
		p.did("create in what is removed", err)
		unix.Close(d)
	}},
	{"xattrs", func(p *prober) {
		p.write("f", "x")
		p.did("symlink", unix.Symlink("f", p.at("l")))
		for _, name := range []string{"user.a", "trusted.b", "security.c", "system.d", "nothing.e", "user.", "user." + strings.Repeat("n", 250), "user." + strings.Repeat("n", 251)} {
			b := p.before("f")
			p.did("set "+name[:min(12, len(name))], unix.Lsetxattr(p.at("f"), name, []byte("value"), 0))
			p.stat("f", b)
		}
		p.did("create", unix.Lsetxattr(p.at("f"), "user.a", []byte("v"), unix.XATTR_CREATE))
		p.did("replace", unix.Lsetxattr(p.at("f"), "user.a", nil, unix.XATTR_REPLACE))
		p.did("replace nothing", unix.Lsetxattr(p.at("f"), "user.z", []byte("v"), unix.XATTR_REPLACE))
		p.did("remove nothing", unix.Lremovexattr(p.at("f"), "user.z"))
		p.did("of a symlink", unix.Lsetxattr(p.at("l"), "user.a", []byte("v"), 0))
		p.did("trusted of a symlink", unix.Lsetxattr(p.at("l"), "trusted.a", []byte("v"), 0))
		for _, n := range []int{3000, 4000, 5000, 65536, 65537} {
			p.did(fmt.Sprintf("%d bytes", n), unix.Lsetxattr(p.at("f"), "user.large", make([]byte, n), 0))
		}
		buf := make([]byte, 1000)
		n, err := unix.Lgetxattr(p.at("f"), "user.a", buf)
		p.did(fmt.Sprintf("get %q", buf[:max(n, 0)]), err)
		p.did("remove", unix.Lremovexattr(p.at("f"), "user.a"))
		acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x07\x00\xe8\x03\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
		p.did("ACL", unix.Lsetxattr(p.at("f"), "system.posix_acl_access", []byte(acl), 0))
		p.stat("f")
		p.did("chmod", unix.Chmod(p.at("f"), 0o640))
		n, err = unix.Lgetxattr(p.at("f"), "system.posix_acl_access", buf)
		p.did(fmt.Sprintf("ACL %x", buf[:max(n, 0)]), err)
		p.did("bad ACL", unix.Lsetxattr(p.at("f"), "system.posix_acl_access", []byte(acl[:20]), 0))
		p.did("default ACL of a file", unix.Lsetxattr(p.at("f"), "system.posix_acl_default", []byte(acl), 0))
		p.did("mkdir", unix.Mkdir(p.at("d"), 0o755))
		p.did("default ACL", unix.Lsetxattr(p.at("d"), "system.posix_acl_default", []byte(acl), 0))
		p.create("d/f", 0o666)
		p.stat("d/f")
		p.did("mkdir", unix.Mkdir(p.at("d/d"), 0o777))
		p.stat("d/d")
		n, err = unix.Lgetxattr(p.at("d/d"), "system.posix_acl_default", buf)
		p.did(fmt.Sprintf("ACL %x", buf[:max(n, 0)]), err)
	}},
}

// userProbes need the kernel to check permissions.
var userProbes = []struct {
	name string
	do   func(p *prober)
}{
	{"users", func(p *prober) {
		p.did("mkdir", unix.Mkdir(p.at("sticky"), 0o1777))
		p.did("chmod", unix.Chmod(p.at("sticky"), 0o1777))
		p.write("sticky/root's", "x")
		p.write("closed", "x")
		p.did("chmod", unix.Chmod(p.at("closed"), 0o600))
		p.write("suid", "x")
		p.did("chmod", unix.Chmod(p.at("suid"), 0o6777))
		p.write("own", "x")
		p.did("chown", unix.Lchown(p.at("own"), 1000, 1000))
		p.did("mkdir", unix.Mkdir(p.at("group"), 0o777))
		p.did("chown", unix.Lchown(p.at("group"), 0, 55))
		p.did("chmod", unix.Chmod(p.at("group"), 0o2777))
		p.as(1000, 1000, func() {
			p.did("unlink in sticky", unix.Unlink(p.at("sticky/root's")))
			p.did("rename in sticky", unix.Rename(p.at("sticky/root's"), p.at("sticky/mine")))
			p.create("sticky/u", 0o644)
			p.stat("sticky/u")
			p.create("group/u", 0o2755)
			p.stat("group/u")
			p.did("mkdir", unix.Mkdir(p.at("group/d"), 0o755))
			p.stat("group/d")
			p.create("denied", 0o644)
			p.did("mkdir", unix.Mkdir(p.at("denied"), 0o755))
			p.write("closed", "y")
			p.did("truncate", unix.Truncate(p.at("closed"), 0))
			p.did("chmod another's", unix.Chmod(p.at("closed"), 0o644))
			p.did("chown another's", unix.Lchown(p.at("closed"), 1000, 1000))
			p.did("chown away", unix.Lchown(p.at("own"), 0, 0))
			p.did("chmod setgid", unix.Chmod(p.at("own"), 0o6755))
			p.stat("own")
			p.did("utimes of another's", unix.UtimesNanoAt(unix.AT_FDCWD, p.at("closed"), []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0))
			p.did("xattr of another's", unix.Lsetxattr(p.at("closed"), "user.a", []byte("v"), 0))
			p.did("trusted", unix.Lsetxattr(p.at("own"), "trusted.a", []byte("v"), 0))
			p.write("suid", "z")
			p.stat("suid")
			p.did("mknod", unix.Mknod(p.at("sticky/null"), unix.S_IFCHR|0o666, 0x103))
		})
		p.did("chmod", unix.Chmod(p.at("suid"), 0o6777))
		p.as(1000, 1000, func() {
			p.did("truncate", unix.Truncate(p.at("suid"), 0))
			p.stat("suid")
		})
		p.did("chmod", unix.Chmod(p.at("suid"), 0o6777))
		p.write("suid", "by root")
		p.stat("suid")
		for _, mode := range []uint32{0o6767, 0o2666, 0o4666} {
			p.did("chmod", unix.Chmod(p.at("suid"), mode))
			p.as(1000, 1000, func() { p.write("suid", "z") })
			p.stat("suid")
			p.did("chown", unix.Lchown(p.at("suid"), 0, 0))
			p.stat("suid")
		}
		p.write("capable", "x")
		p.did("chmod", unix.Chmod(p.at("capable"), 0o777))
		capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		p.did("capability", unix.Lsetxattr(p.at("capable"), "security.capability", []byte(capability), 0))
		p.write("capable", "y")
		_, err := unix.Lgetxattr(p.at("capable"), "security.capability", make([]byte, 100))
		p.did("capability after a write", err)
		p.did("capability", unix.Lsetxattr(p.at("capable"), "security.capability", []byte(capability), 0))
		p.did("chown", unix.Lchown(p.at("capable"), 1000, 0))
		_, err = unix.Lgetxattr(p.at("capable"), "security.capability", make([]byte, 100))
		p.did("capability after a chown", err)
	}},
}

// compare does the same on the kernel's mount and on ours.
func compare(t *testing.T, name string, do func(p *prober), kernel, ours string) {
	t.Run(name, func(t *testing.T) {
		defer syscall.Umask(syscall.Umask(0o022))
		want, got := &prober{dir: filepath.Join(kernel, name)}, &prober{dir: filepath.Join(ours, name)}
		for _, p := range []*prober{want, got} {
			if err := os.Mkdir(p.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			do(p)
		}
		for i := range max(len(want.log), len(got.log)) {
			w, g := "", ""
			if i < len(want.log) {
				w = want.log[i]
			}
			if i < len(got.log) {
				g = got.log[i]
			}
			if w != g {
				t.Errorf("line %d: the kernel: %s; ours: %s", i, w, g)
			}
		}
	})
}

// TestAsTheKernel: the same calls have the same outcome as on the kernel's own mount of the same image.
func TestAsTheKernel(t *testing.T) {
	images.NeedRoot(t)
	image := mkext4(t, "64M")
	for _, c := range []struct {
		name string
		opt  Options
	}{{"root", Options{}}, {"allow_other", Options{AllowOther: true}}} {
		t.Run(c.name, func(t *testing.T) {
			theirs := filepath.Join(t.TempDir(), "theirs.img")
			ours := filepath.Join(t.TempDir(), "ours.img")
			b, err := os.ReadFile(image)
			if err == nil {
				err = errors.Join(os.WriteFile(theirs, b, 0o600), os.WriteFile(ours, b, 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			kernel := images.KernelMount(t, theirs, 0, 0, "ext4", "")
			l := mountWritable(t, ours, c.opt)
			for dir := l.Dir(); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
				if dir != l.Dir() {
					os.Chmod(dir, 0o755)
				}
			}
			for _, p := range probes {
				compare(t, p.name, p.do, kernel, l.Dir())
			}
			if c.opt.AllowOther {
				for _, p := range userProbes {
					compare(t, p.name, p.do, kernel, l.Dir())
				}
			}
		})
	}
}
