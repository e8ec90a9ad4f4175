package ntfs_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

var le = binary.LittleEndian

// setxattr sets one of the attributes by which ntfs-3g writes what NTFS keeps.
func setxattr(t testing.TB, path, name string, value []byte) {
	t.Helper()
	if err := unix.Lsetxattr(path, name, value, 0); err != nil {
		t.Fatalf("%s of %s: %v", name, path, err)
	}
}

// reparse is a reparse point with a Microsoft tag.
func reparse(tag uint32, data []byte) []byte {
	b := le.AppendUint32(nil, tag)
	b = le.AppendUint16(b, uint16(len(data)))
	return append(append(b, 0, 0), data...)
}

func utf16le(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = le.AppendUint16(b, u)
	}
	return b
}

// windowsLink is the reparse point of a symlink or of a junction.
func windowsLink(target string, junction, relative bool) []byte {
	name := utf16le(target)
	var b []byte
	for _, v := range []int{0, len(name), len(name) + 2, 0} {
		b = le.AppendUint16(b, uint16(v))
	}
	tag := uint32(0xA0000003)
	if !junction {
		tag = 0xA000000C
		flags := uint32(0)
		if relative {
			flags = 1
		}
		b = le.AppendUint32(b, flags)
	}
	b = append(append(b, name...), 0, 0, 0, 0)
	return reparse(tag, b)
}

// TestCompression has ntfs-3g write compressed files of every state of a unit.
func TestCompression(t *testing.T) {
	for _, cluster := range []string{"4096", "512"} {
		t.Run("clusters of "+cluster, func(t *testing.T) {
			img := format(t, 48<<20, "-c", cluster)
			mounted(t, img, "compression", func(dir string) {
				d := filepath.Join(dir, "compressed")
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
				setxattr(t, d, "system.ntfs_attrib", []byte{0, 8, 0, 0})
				for i, n := range []int{10, 900, 4096, 5000, 65535, 65536, 65537, 200_000, 1_000_000} {
					write(t, filepath.Join(d, fmt.Sprint("text", n)), text(uint64(i), n))
					write(t, filepath.Join(d, fmt.Sprint("noise", n)), noise(uint64(i), n))
					write(t, filepath.Join(d, fmt.Sprint("zeros", n)), make([]byte, n))
					mixed := append(append(text(1, n), noise(2, n)...), make([]byte, n)...)
					write(t, filepath.Join(d, fmt.Sprint("mixed", n)), append(mixed, text(3, n)...))
				}
				// Written late in the middle, and left with holes.
				f, err := os.OpenFile(filepath.Join(d, "text1000000"), os.O_RDWR, 0)
				if err == nil {
					_, err = f.WriteAt(noise(9, 30_000), 130_000)
				}
				if err == nil {
					_, err = f.WriteAt(text(9, 1000), 3_000_000)
				}
				if err == nil {
					err = f.Truncate(4_000_001)
				}
				if err != nil {
					t.Fatal(err)
				}
				f.Close()
			})
			join(t, img, oracle(t, img), hostOnly, cluster == "4096")
			kinds := map[vfs.ExtentKind]int{}
			f := lookup(t, open(t, device(t, img), ""), "compressed/mixed1000000")
			for off := int64(0); off < f.Attr().Size; {
				ext, err := f.Map(ctx, off, f.Attr().Size-off)
				if err != nil {
					t.Fatal(err)
				}
				kinds[ext.Kind]++
				off += ext.Len
			}
			if kinds[vfs.Encoded] == 0 || kinds[vfs.Mapped] == 0 || kinds[vfs.Hole] == 0 {
				t.Errorf("the units are %v, want all of encoded, plain and zeros", kinds)
			}
			if f.Attr().Flags&vfs.FlagCompressed == 0 {
				t.Error("it is not marked as compressed")
			}
		})
	}
}

// wimResource compresses plain with wimlib-imagex and takes the compressed
// resource, which WOF's stream is byte by byte, out of the WIM file.
func wimResource(t testing.TB, method string, chunk int, plain []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in", "file"), plain)
	wim := filepath.Join(dir, "out.wim")
	run(t, "wimlib-imagex", "capture", filepath.Join(dir, "in"), wim, "name", "--no-acls", "--threads=1",
		"--compress="+method, fmt.Sprint("--chunk-size=", chunk))
	b, err := os.ReadFile(wim)
	if err != nil {
		t.Fatal(err)
	}
	// The header says where the table of resources is; an entry has the size
	// and flags, the place and the size before compression.
	table := b[le.Uint64(b[56:]):][:le.Uint64(b[48:])&(1<<56-1)]
	for e := table; len(e) >= 50; e = e[50:] {
		size, flags := le.Uint64(e)&(1<<56-1), e[7]
		if le.Uint64(e[16:]) == uint64(len(plain)) && flags&4 != 0 {
			return b[le.Uint64(e[8:]):][:size]
		}
	}
	t.Fatal("the WIM file has no compressed resource of the file")
	return nil
}

// wofReparse is the reparse point of a file that WOF compresses.
func wofReparse(provider, algorithm uint32) []byte {
	var b []byte
	for _, v := range []uint32{1, provider, 1, algorithm} {
		b = le.AppendUint32(b, v)
	}
	return reparse(0x80000017, b)
}

func TestWOF(t *testing.T) {
	need(t, "wimlib-imagex", "mkntfs", "ntfs-3g")
	plain := append(append(append(text(1, 700_000), noise(2, 200_000)...), make([]byte, 150_000)...), text(3, 123_457)...)
	if exe, err := os.ReadFile("/bin/ls"); err == nil {
		plain = append(plain, exe...)
	}
	img := format(t, 64<<20)
	type method struct {
		name      string
		wim       string
		chunk     int
		algorithm uint32
	}
	methods := []method{{"xpress4k", "XPRESS", 4096, 0}, {"lzx", "LZX", 32768, 1}, {"xpress8k", "XPRESS", 8192, 2}, {"xpress16k", "XPRESS", 16384, 3}}
	make := func(dir, name string, plain, packed, point []byte) {
		p := filepath.Join(dir, name)
		write(t, p, nil)
		if err := os.Truncate(p, int64(len(plain))); err != nil {
			t.Fatal(err)
		}
		if packed != nil {
			write(t, p+":WofCompressedData", packed)
		}
		write(t, p+":other", []byte("another stream"))
		setxattr(t, p, "system.ntfs_reparse_data", point)
	}
	damaged := wimResource(t, "LZX", 32768, plain)
	for i := range 64 {
		damaged[4*(len(plain)/32768)+2000+i] ^= 0x55
	}
	mounted(t, img, "streams_interface=windows", func(dir string) {
		for _, m := range methods {
			make(dir, m.name, plain, wimResource(t, m.wim, m.chunk, plain), wofReparse(2, m.algorithm))
			short := text(8, 2*m.chunk+100)
			make(dir, m.name+" short", short, wimResource(t, m.wim, m.chunk, short), wofReparse(2, m.algorithm))
			one := text(8, m.chunk-100)
			make(dir, m.name+" one", one, wimResource(t, m.wim, m.chunk, one), wofReparse(2, m.algorithm))
		}
		make(dir, "damaged", plain, damaged, wofReparse(2, 1))
		make(dir, "wimboot", plain, nil, wofReparse(1, 0))
		make(dir, "algorithm 9", plain, nil, wofReparse(2, 9))
		make(dir, "no stream", plain, nil, wofReparse(2, 1))
		make(dir, "short stream", plain, []byte("short"), wofReparse(2, 1))
		make(dir, "dedup", plain, nil, reparse(0x80000013, []byte("chunks are elsewhere")))
		make(dir, "unknown tag", plain, nil, reparse(0x80004242, []byte("data")))
	})
	fs := open(t, device(t, img), "")
	for _, m := range methods {
		f := lookup(t, fs, m.name)
		if got := contents(t, f); !bytes.Equal(got, plain) {
			t.Errorf("%s: other bytes", m.name)
		}
		if f.Attr().Flags&vfs.FlagCompressed == 0 || f.Attr().Mode&syscall.S_IFMT != syscall.S_IFREG {
			t.Errorf("%s: %+v", m.name, f.Attr())
		}
		for x, err := range f.Xattrs(ctx) {
			if err != nil || strings.HasPrefix(x.Name, "user.") && x.Name != "user.ntfs.stream.other" {
				t.Errorf("%s has the attribute %q, %v", m.name, x.Name, err)
			}
		}
		for i, n := range []int{2*m.chunk + 100, m.chunk - 100} {
			name := m.name + []string{" short", " one"}[i]
			if got := contents(t, lookup(t, fs, name)); !bytes.Equal(got, text(8, n)) {
				t.Errorf("%s: other bytes", name)
			}
		}
	}
	for name, want := range map[string]error{"damaged": syscall.EUCLEAN, "wimboot": syscall.EOPNOTSUPP, "algorithm 9": syscall.EOPNOTSUPP,
		"no stream": syscall.EUCLEAN, "short stream": syscall.EUCLEAN, "dedup": syscall.EOPNOTSUPP} {
		b := bytes.Repeat([]byte{0xA5}, len(plain))
		n, err := vfs.ReadAt(ctx, lookup(t, fs, name), b, 0)
		if !errors.Is(err, want) || !bytes.Equal(b[:n], plain[:n]) {
			t.Errorf("%s: %d bytes, %v, want %v", name, n, err, want)
		}
	}
	// A tag that nobody knows says nothing of the bytes.
	if got := contents(t, lookup(t, fs, "unknown tag")); !bytes.Equal(got, bytes.Repeat([]byte{0}, len(plain))) {
		t.Error("unknown tag: other bytes")
	}
}

// TestReparsePoints makes the links of Windows and the special files of WSL.
func TestReparsePoints(t *testing.T) {
	img := format(t, 32<<20)
	lx := func(target string) []byte { return reparse(0xA000001D, append([]byte{2, 0, 0, 0}, target...)) }
	nfs := func(kind string, data []byte) []byte { return reparse(0x80000014, append([]byte(kind), data...)) }
	devs := le.AppendUint32(le.AppendUint32(nil, 8), 300)
	targets := map[string]string{}
	mounted(t, img, "", func(dir string) {
		write(t, filepath.Join(dir, "Users", "Public", "File.txt"), []byte("x"))
		point := func(name string, isDir bool, value []byte, want string) {
			p := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if isDir {
				if err := os.Mkdir(p, 0o755); err != nil {
					t.Fatal(err)
				}
			} else {
				write(t, p, nil)
			}
			setxattr(t, p, "system.ntfs_reparse_data", value)
			if want != "" {
				targets[name] = want
			}
		}
		point("junction", true, windowsLink(`\??\C:\users\PUBLIC`, true, false), "Users/Public")
		point("a/b/junction", true, windowsLink(`\??\C:\users\PUBLIC\`, true, false), "../../Users/Public")
		point("a/b/root", true, windowsLink(`\??\C:\`, true, false), "../..")
		point("root", true, windowsLink(`\??\C:\`, true, false), ".")
		point("elsewhere", true, windowsLink(`\??\D:\not\here`, true, false), "/??/D:/not/here")
		point("volume", true, windowsLink(`\??\Volume{01234567-89ab-cdef-0123-456789abcdef}\`, true, false), "/??/Volume{01234567-89ab-cdef-0123-456789abcdef}/")
		point("share", true, windowsLink(`\??\UNC\server\share`, true, false), "/??/UNC/server/share")
		point("a/absolute", false, windowsLink(`\??\c:\Users\public\FILE.TXT`, false, false), "../Users/Public/File.txt")
		point("a/relative", false, windowsLink(`..\users\public\file.txt`, false, true), "../Users/Public/File.txt")
		point("a/dangling", false, windowsLink(`..\Nothing\Here`, false, true), "../Nothing/Here")
		point("a/rooted", false, windowsLink(`\users\x`, false, true), "../Users/x")
		point("a/through", false, windowsLink(`..\JUNCTION\file.txt`, false, true), "../junction/file.txt")
		point("lx", false, lx("/usr/bin/ünïcödé\\x"), "/usr/bin/ünïcödé\\x")
		point("nfs link", false, nfs("LNK\x01\x00\x00\x00\x00", utf16le("some/where")), "some/where")
		point("nfs fifo", false, nfs("FIFO\x00\x00\x00\x00", nil), "")
		point("nfs socket", false, nfs("SOCK\x00\x00\x00\x00", nil), "")
		point("nfs char", false, nfs("CHR\x01\x00\x00\x00\x00", devs), "")
		point("nfs block", false, nfs("BLK\x01\x00\x00\x00\x00", devs), "")
	})
	// ntfs-3g makes those of WSL itself.
	mounted(t, img, "special_files=wsl", func(dir string) {
		for name, mode := range map[string]uint32{"lx socket": syscall.S_IFSOCK, "lx fifo": syscall.S_IFIFO, "lx char": syscall.S_IFCHR, "lx block": syscall.S_IFBLK} {
			if err := syscall.Mknod(filepath.Join(dir, name), mode|0o644, int(unix.Mkdev(8, 300))); err != nil {
				t.Fatal(err)
			}
			if mode == syscall.S_IFCHR || mode == syscall.S_IFBLK {
				if err := syscall.Mknod(filepath.Join(dir, name+" plain"), mode|0o644, int(unix.Mkdev(8, 300))); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.Symlink("../made by/ntfs-3g", filepath.Join(dir, "lx link")); err != nil {
			t.Fatal(err)
		}
		targets["lx link"] = "../made by/ntfs-3g"
		for _, name := range []string{"lx socket", "lx fifo", "lx char", "lx block", "wsl"} {
			p := filepath.Join(dir, name)
			if name == "wsl" {
				write(t, p, []byte("of WSL"))
			}
			setxattr(t, p, "system.ntfs_ea", wslEA(map[string][]byte{"$LXUID": {0xE8, 3, 0, 0}, "$LXGID": {100, 0, 0, 0},
				"$LXMOD": {0xA4, 0x89, 0, 0}, "$LXDEV": devs}))
		}
	})
	fs := open(t, device(t, img), "")
	for name, want := range targets {
		f := lookup(t, fs, name)
		if got, err := f.Readlink(ctx); got != want || err != nil || f.Attr().Mode&syscall.S_IFMT != syscall.S_IFLNK || f.Attr().Size != int64(len(want)) {
			t.Errorf("%s is mode %#o, %q, %v, want %q", name, f.Attr().Mode, got, err, want)
		}
	}
	dev := uint32(300&0xFF | 8<<8 | 300&^0xFF<<12)
	for name, want := range map[string][4]uint32{
		"nfs fifo": {syscall.S_IFIFO | 0o777}, "nfs socket": {syscall.S_IFSOCK | 0o777},
		"nfs char": {syscall.S_IFCHR | 0o777, dev}, "nfs block": {syscall.S_IFBLK | 0o777, dev},
		"lx fifo": {syscall.S_IFIFO | 0o4644, 0, 1000, 100}, "lx socket": {syscall.S_IFSOCK | 0o4644, 0, 1000, 100},
		"lx char": {syscall.S_IFCHR | 0o4644, dev, 1000, 100}, "lx block": {syscall.S_IFBLK | 0o4644, dev, 1000, 100},
		"lx char plain": {syscall.S_IFCHR | 0o644, dev}, "lx block plain": {syscall.S_IFBLK | 0o644, dev},
		"wsl": {syscall.S_IFREG | 0o4644, 0, 1000, 100},
	} {
		a := lookup(t, fs, name).Attr()
		if got := [4]uint32{a.Mode, a.Rdev, a.UID, a.GID}; got != want {
			t.Errorf("%s is %#o, want %#o", name, got, want)
		}
	}
	join(t, img, nil, 0, false)
}

// wslEA is a list of extended attributes, each padded to four bytes.
func wslEA(values map[string][]byte) []byte {
	var b []byte
	for _, name := range []string{"$LXUID", "$LXGID", "$LXMOD", "$LXDEV"} {
		if values[name] == nil {
			continue
		}
		e := append([]byte{0, 0, 0, 0, 0, byte(len(name)), byte(len(values[name])), 0}, name...)
		e = append(append(e, 0), values[name]...)
		for len(e)%4 != 0 {
			e = append(e, 0)
		}
		le.PutUint32(e, uint32(len(e)))
		b = append(b, e...)
	}
	return b
}

// TestPermissions compares what the option permissions makes of security
// descriptors, ntfs-3g's own and those of mkntfs.
func TestPermissions(t *testing.T) {
	img := format(t, 32<<20)
	mounted(t, img, "permissions", func(dir string) {
		for i, mode := range []uint32{0, 0o644, 0o600, 0o755, 0o777, 0o7, 0o70, 0o4751, 0o2750, 0o1777, 0o6711, 0o111, 0o222, 0o444} {
			for j, id := range [][2]int{{0, 0}, {1000, 1000}, {1000, 100}, {0, 50}, {70000, 0}} {
				p := filepath.Join(dir, fmt.Sprintf("file %d %d", i, j))
				write(t, p, nil)
				d := filepath.Join(dir, fmt.Sprintf("directory %d %d", i, j))
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
				for _, p := range []string{p, d} {
					if err := os.Chown(p, id[0], id[1]); err != nil {
						t.Fatal(err)
					}
					if err := syscall.Chmod(p, mode); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	})
	mounted(t, img, "", func(dir string) { write(t, filepath.Join(dir, "plain", "file"), nil) })
	want := oracle(t, img, "permissions")
	got := vfstest.FromVFS(t, open(t, device(t, img), "permissions"), maxRead)
	for _, line := range vfstest.Differences(got, want, hostOnly) {
		t.Error(line)
	}
	if len(want) < 100 {
		t.Errorf("%d files", len(want))
	}
}

// TestSystemXattrs compares what ntfs-3g answers under the same names.
func TestSystemXattrs(t *testing.T) {
	img := format(t, 32<<20)
	mounted(t, img, "", func(dir string) {
		write(t, filepath.Join(dir, "d", "file"), []byte("x"))
		write(t, filepath.Join(dir, "d", "hidden"), []byte("x"))
		setxattr(t, filepath.Join(dir, "d", "hidden"), "system.ntfs_attrib", []byte{3, 0, 0, 0})
		write(t, filepath.Join(dir, "ea"), []byte("x"))
		setxattr(t, filepath.Join(dir, "ea"), "system.ntfs_ea", wslEA(map[string][]byte{"$LXUID": {1, 0, 0, 0}}))
		write(t, filepath.Join(dir, "reparse"), []byte("x"))
		setxattr(t, filepath.Join(dir, "reparse"), "system.ntfs_reparse_data", reparse(0x80004242, []byte("data")))
	})
	paths := []string{"d", "d/file", "d/hidden", "ea", "reparse", "$MFT", "$Secure", "$Extend"}
	all := []string{"system.ntfs_acl", "system.ntfs_attrib", "system.ntfs_times", "system.ntfs_ea", "system.ntfs_reparse_data"}
	want := map[string]string{}
	mounted(t, img, "ro", func(dir string) {
		for _, p := range paths {
			for _, name := range all {
				b := make([]byte, 65536)
				if n, err := unix.Lgetxattr(filepath.Join(dir, p), name, b); err == nil && n > 0 {
					want[p+" "+name] = hex.EncodeToString(b[:n])
				}
			}
		}
	})
	if len(want) < 3*len(paths) {
		t.Fatalf("ntfs-3g answers only %v", want)
	}
	fs := open(t, device(t, img), "")
	for _, p := range paths {
		for x, err := range lookup(t, fs, p).Xattrs(ctx) {
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			if !strings.HasPrefix(x.Name, "system.") {
				continue
			}
			b, err := x.Read(ctx)
			if err != nil || !x.Hidden || hex.EncodeToString(b) != want[p+" "+x.Name] {
				t.Errorf("%s %s: %x, %v, want %s", p, x.Name, b, err, want[p+" "+x.Name])
			}
			delete(want, p+" "+x.Name)
		}
	}
	// ntfs-3g makes one up for what has none.
	delete(want, "$MFT system.ntfs_acl")
	for p, v := range want {
		t.Errorf("%s is missing: %s", p, v)
	}
}
