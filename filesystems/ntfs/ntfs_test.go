package ntfs_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/filesystems/ntfs"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

var ctx = context.Background()

// need asks for the tools and for root, who mounts with them.
func need(t testing.TB, tools ...string) {
	t.Helper()
	images.NeedTool(t, tools...)
	images.NeedRoot(t)
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// format makes an image of an empty volume.
func format(t testing.TB, size int64, args ...string) string {
	t.Helper()
	need(t, "mkntfs", "ntfs-3g", "umount")
	img := filepath.Join(t.TempDir(), "img")
	if err := os.WriteFile(img, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, size); err != nil {
		t.Fatal(err)
	}
	run(t, "mkntfs", append(append([]string{"-q", "-F", "-Q"}, args...), img)...)
	return img
}

// mounted calls use with the folder at which ntfs-3g shows the image.
func mounted(t testing.TB, img, options string, use func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	if options != "" {
		options = "," + options
	}
	run(t, "ntfs-3g", "-o", "streams_interface=xattr"+options, img, dir)
	ended := false
	end := func() {
		if !ended {
			ended = true
			run(t, "umount", dir)
			// The driver writes on after umount returns.
			for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				if out, _ := exec.Command("pgrep", "-f", "^ntfs-3g .*"+img).Output(); len(out) == 0 {
					return
				}
				if time.Now().After(until) {
					t.Fatal("ntfs-3g does not end")
				}
			}
		}
	}
	defer end()
	use(dir)
}

// oracle is what ntfs-3g shows of the image. Its streams are attributes under
// their own name.
func oracle(t testing.TB, img string, options ...string) vfstest.Tree {
	t.Helper()
	var tree vfstest.Tree
	mounted(t, img, strings.Join(append(options, "ro"), ","), func(dir string) { tree = vfstest.FromDir(t, dir, maxRead) })
	for p, f := range tree {
		xattrs := map[string]string{}
		for name, value := range f.Xattrs {
			xattrs["user.ntfs.stream."+strings.TrimPrefix(name, "user.")] = value
		}
		f.Xattrs = xattrs
		tree[p] = f
	}
	return tree
}

// maxRead bounds the files that are hashed whole.
const maxRead = 16 << 20

func write(t testing.TB, p string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 9))
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b[:n]
}

// text is what compresses.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 10))
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, "line %d of the text %d\n", r.IntN(1000), seed)
	}
	return b[:n]
}

// names are of every plane, with unusual characters, and as long as can be.
func names() []string {
	return []string{
		"README.TXT", "readme.md", "Mixed.Case", "MIXED.CASE", "mixed.case", "a", "A B C", ".hidden", "ünïcödé", "Ünïcödé", "日本語のファイル",
		"𝄞𐍈 astral", "🙂", "\U000E0001 plane 14", "\U0010FFFD plane 16", "ǅ titlecase", "ß", strings.Repeat("n", 255), strings.Repeat("名", 85),
		strings.Repeat("é", 127), strings.Repeat("🙂", 63), "a:colon", "back\\slash", "quote\"", "star*", "$dollar", "trailing dot.", "trailing space ", "~", "x\x01y",
	}
}

// populate writes a tree with all that ntfs-3g can write.
func populate(t testing.TB, dir string, files int) {
	t.Helper()
	for i, n := range names() {
		write(t, filepath.Join(dir, "names", n), noise(uint64(i), i*37))
	}
	for i, n := range []int{0, 1, 100, 511, 512, 600, 700, 800, 1023, 1024, 4095, 4096, 4097, 65536, 300000} {
		write(t, filepath.Join(dir, "sizes", fmt.Sprintf("size-%02d-%d", i, n)), noise(uint64(i), n))
	}
	deep := dir
	for i := range 20 {
		deep = filepath.Join(deep, fmt.Sprintf("deep directory %d", i))
	}
	write(t, filepath.Join(deep, "bottom"), []byte("here"))
	for i := range files {
		write(t, filepath.Join(dir, "many", fmt.Sprintf("a file with number %06d", i)), []byte("abc"))
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, "empty directory"), 0o755))
	must(os.Mkdir(filepath.Join(dir, "special"), 0o755))
	must(os.Symlink("../sizes/size-03-511", filepath.Join(dir, "special", "link")))
	must(os.Symlink("/ünïcödé/𝄞", filepath.Join(dir, "special", "absolute")))
	must(os.Symlink(strings.Repeat("long/", 200), filepath.Join(dir, "special", "long link")))
	must(syscall.Mkfifo(filepath.Join(dir, "special", "fifo"), 0o644))
	must(syscall.Mknod(filepath.Join(dir, "special", "socket"), syscall.S_IFSOCK|0o644, 0))
	must(syscall.Mknod(filepath.Join(dir, "special", "char"), syscall.S_IFCHR|0o644, int(unix.Mkdev(5, 1))))
	must(syscall.Mknod(filepath.Join(dir, "special", "block"), syscall.S_IFBLK|0o644, int(unix.Mkdev(259, 70000))))
	write(t, filepath.Join(dir, "links", "one"), noise(77, 5000))
	for i := range 40 {
		must(os.Link(filepath.Join(dir, "links", "one"), filepath.Join(dir, "links", fmt.Sprintf("another name of the same file, number %d", i))))
	}
	streams := filepath.Join(dir, "streams")
	write(t, streams, []byte("the file itself"))
	must(unix.Setxattr(streams, "user.small", []byte("a stream"), 0))
	must(unix.Setxattr(streams, "user.Zone.Identifier", []byte("[ZoneTransfer]\r\nZoneId=3\r\n"), 0))
	must(unix.Setxattr(streams, "user.large", noise(5, 60000), 0))
	must(unix.Setxattr(streams, "user.empty", nil, 0))
	must(unix.Setxattr(filepath.Join(dir, "empty directory"), "user.of a directory", []byte("too"), 0))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(err)
	for _, off := range []int64{0, 1 << 20, 3<<20 + 5000} {
		_, err = sparse.WriteAt(noise(uint64(off), 3000), off)
		must(err)
	}
	must(sparse.Truncate(5 << 20))
	must(sparse.Close())
}

// hostOnly is what the comparison with ntfs-3g leaves out.
const hostOnly = vfstest.InoNumber

func device(t testing.TB, path string) block.Device {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func inMemory(t testing.TB, path string) block.Device {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return blocktest.NewMemory(b)
}

func open(t testing.TB, dev block.Device, options string) vfs.FileSystem {
	t.Helper()
	fs, err := ntfs.Driver().Open(ctx, []block.Device{dev}, vfs.Options{Mount: options})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// join puts an image through the suite, against tree, and sees that reading
// leaves the image as it is.
func join(t *testing.T, img string, tree vfstest.Tree, ignore vfstest.Field, damage bool) {
	t.Helper()
	dev := device(t, img)
	if _, err := ntfs.Driver().Probe(ctx, dev); err != nil {
		t.Fatalf("Probe: %v", err)
	}
	c := vfstest.Case{
		Open:   func(t testing.TB) vfs.FileSystem { return open(t, dev, "") },
		Oracle: tree, Ignore: ignore, DamageRounds: 12, MaxRead: maxRead,
	}
	if damage {
		c.Device = func(t testing.TB) block.Device { return dev }
		c.OpenOn = func(ctx context.Context, dev block.Device) (vfs.FileSystem, error) {
			return ntfs.Driver().Open(ctx, []block.Device{dev}, vfs.Options{})
		}
	}
	before := run(t, "sha256sum", img)
	vfstest.Run(t, c)
	if after := run(t, "sha256sum", img); after != before {
		t.Error("the image was changed")
	}
}

func TestNTFS(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []string
		mib   int64
		files int
	}{
		{"default", []string{"-L", "ünïcödé label"}, 64, 400},
		{"clusters of 512 bytes", []string{"-c", "512"}, 32, 300},
		{"clusters of 64 KiB", []string{"-c", "65536"}, 64, 100},
		{"sectors of 256 bytes", []string{"-s", "256", "-c", "2048"}, 32, 60},
		{"sectors of 4096 bytes", []string{"-s", "4096"}, 64, 200},
		{"clusters of 2 MiB", []string{"-c", "2097152"}, 600, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := format(t, c.mib<<20, c.args...)
			mounted(t, img, "", func(dir string) { populate(t, dir, c.files) })
			join(t, img, oracle(t, img), hostOnly, c.mib <= 64)
		})
	}
}

func lookup(t testing.TB, fs vfs.FileSystem, path string) vfs.Inode {
	t.Helper()
	f, err := fs.Inode(ctx, fs.Root())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		ino, err := f.Lookup(ctx, name)
		if err != nil {
			t.Fatalf("%q in %q: %v", name, path, err)
		}
		if f, err = fs.Inode(ctx, ino); err != nil {
			t.Fatalf("%q: %v", path, err)
		}
	}
	return f
}

func contents(t testing.TB, f vfs.Inode) []byte {
	t.Helper()
	b := make([]byte, f.Attr().Size)
	if n, err := vfs.ReadAt(ctx, f, b, 0); n != len(b) || err != nil {
		t.Fatalf("%d bytes of %d: %v", n, len(b), err)
	}
	return b
}

// TestStreams reads streams as files, by the names that Lookup takes.
func TestStreams(t *testing.T) {
	img := format(t, 32<<20)
	big := noise(1, 3<<20)
	mounted(t, img, "streams_interface=windows", func(dir string) {
		write(t, filepath.Join(dir, "f"), []byte("file"))
		write(t, filepath.Join(dir, "f:Stream"), big)
		write(t, filepath.Join(dir, "f:stream two"), []byte("two"))
	})
	fs := open(t, device(t, img), "")
	for name, want := range map[string][]byte{"f": []byte("file"), "f:Stream": big, "f:Stream:$DATA": big, "f:stream two": []byte("two")} {
		f := lookup(t, fs, name)
		if got := contents(t, f); !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes, want %d", name, len(got), len(want))
		}
		again, err := fs.Inode(ctx, f.Ino())
		if err != nil || again.Attr() != f.Attr() {
			t.Errorf("%q again: %v", name, err)
		}
	}
	root, _ := fs.Inode(ctx, fs.Root())
	for _, name := range []string{"f:stream", "f:", ":", "f::$DATA", "g:Stream", "f:Stream:x"} {
		if _, err := root.Lookup(ctx, name); err != syscall.ENOENT {
			t.Errorf("%q: %v, want ENOENT", name, err)
		}
	}
	lookup(t, open(t, device(t, img), "ignore_case"), "F:sTREAM")
}

// TestDebian compares 20,000 files of a Debian with what ntfs-3g shows of the
// same volume.
func TestDebian(t *testing.T) {
	need(t, "ntfs-3g", "umount")
	img := images.DebianOn(t, "ntfs")
	want := oracle(t, img.Path)
	if len(want) < 20_000 {
		t.Fatalf("the oracle sees %d entries", len(want))
	}
	got := vfstest.FromVFS(t, open(t, device(t, img.Path), ""), maxRead)
	t.Logf("%d entries", len(got))
	for i, line := range vfstest.Differences(got, want, hostOnly) {
		if i > 20 {
			t.Fatal("and more")
		}
		t.Error(line)
	}
}
