package fat_test

import (
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

	"github.com/guestctl/guestctl/filesystems/fat"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "MTOOLS_SKIP_CHECK=1", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// names are long, short, mixed-case, of every plane, and as long as can be.
func names() []string {
	return []string{
		"README.TXT", "readme.md", "Mixed.Case", "lower.TXT", "UPPER.txt", "a", "A B C", ".hidden", "trailing.dots.x",
		"ünïcödé", "日本語のファイル", "éèê.ÀÇ", strings.Repeat("n", 200) + ".long", strings.Repeat("m", 255), strings.Repeat("é", 120),
		"exactly-13-ch", "exactly-26-characters-here", "a+b,c;d=e[f]",
	}
}

// source makes a tree that a FAT volume can hold, with even seconds.
func source(t testing.TB, files int) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	stamp := time.Date(2021, 3, 4, 5, 6, 8, 0, time.UTC)
	write := func(p string, n int) {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range names() {
		write(filepath.Join(dir, "names", n), i*37)
	}
	for i, n := range []int{0, 1, 511, 512, 513, 4095, 4096, 4097, 65536, 300000} {
		write(filepath.Join(dir, "sizes", fmt.Sprintf("size-%02d-%d", i, n)), n)
	}
	deep := dir
	for i := range 30 {
		deep = filepath.Join(deep, fmt.Sprintf("deep directory %d", i))
	}
	write(filepath.Join(deep, "bottom"), 10)
	for i := range files {
		write(filepath.Join(dir, "many", fmt.Sprintf("a file with number %06d", i)), 3)
	}
	if err := os.MkdirAll(filepath.Join(dir, "empty directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// device opens an image file.
func device(t testing.TB, path string) block.Device {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// options name the code page that mtools writes short names in.
func options() vfs.Options { return vfs.Options{Mount: "codepage=850"} }

func join(t *testing.T, path string, d vfs.Driver, oracle vfstest.Tree, ignore vfstest.Field) {
	t.Helper()
	dev := device(t, path)
	openOn := func(ctx context.Context, dev block.Device) (vfs.FileSystem, error) {
		return d.Open(ctx, []block.Device{dev}, options())
	}
	if _, err := d.Probe(context.Background(), dev); err != nil {
		t.Fatalf("Probe: %v", err)
	}
	vfstest.Run(t, vfstest.Case{
		Open: func(t testing.TB) vfs.FileSystem {
			fs, err := openOn(context.Background(), dev)
			if err != nil {
				t.Fatal(err)
			}
			return fs
		},
		Oracle: oracle, Ignore: ignore, DamageRounds: 10,
		Device: func(t testing.TB) block.Device { return device(t, path) },
		OpenOn: openOn,
	})
}

func TestFAT(t *testing.T) {
	images.NeedTool(t, "mkfs.fat", "mcopy")
	for _, c := range []struct {
		name  string
		args  []string
		kib   int
		files int
	}{
		{"FAT12", []string{"-F", "12", "-s", "4"}, 4 << 10, 40},
		{"FAT16", []string{"-F", "16", "-n", "A LABEL"}, 40 << 10, 500},
		// mtools finds no room for a name of 21 entries in clusters of 512 bytes.
		{"FAT32", []string{"-F", "32", "-s", "2", "-i", "CAFEBABE", "-n", "EFI SYS"}, 80 << 10, 300},
		{"FAT32 with sectors of 4096", []string{"-F", "32", "-S", "4096", "-s", "1"}, 300 << 10, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := source(t, c.files)
			img := filepath.Join(t.TempDir(), "img")
			run(t, "mkfs.fat", append(c.args, "-C", img, fmt.Sprint(c.kib))...)
			sub, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			run(t, "mcopy", append([]string{"-s", "-m", "-Q", "-i", img}, append(sub, "::/")...)...)
			oracle := vfstest.FromDir(t, dir, 0)
			join(t, img, fat.Driver(), oracle, hostOnly)
			fs, err := fat.Driver().Open(context.Background(), []block.Device{device(t, img)}, options())
			if err != nil {
				t.Fatal(err)
			}
			checkTimes(t, fs, oracle)
		})
	}
}

// hostOnly is what a FAT volume does not keep of the tree it was made from. The
// times of files are asked in checkTimes: those of directories are mcopy's own.
const hostOnly = vfstest.InoNumber | vfstest.Nlink | vfstest.Owner | vfstest.Blocks | vfstest.Atime |
	vfstest.Mtime | vfstest.Ctime | vfstest.DirSize

// checkTimes compares the modification time of every file with the source's.
func checkTimes(t *testing.T, fs vfs.FileSystem, oracle vfstest.Tree) {
	t.Helper()
	files := 0
	for p, f := range vfstest.FromVFS(t, fs, 1) {
		if f.Mode&syscall.S_IFMT != syscall.S_IFREG {
			continue
		}
		files++
		if f.Mtime != oracle[p].Mtime {
			t.Errorf("%s: mtime %v, want %v", p, f.Mtime, oracle[p].Mtime)
		}
	}
	if files == 0 {
		t.Error("no files")
	}
}

// exMounted calls use with the folder at which exfat-fuse shows the image.
func exMounted(t testing.TB, img, options string, use func(dir string)) {
	t.Helper()
	images.NeedTool(t, "mount.exfat-fuse", "losetup", "umount")
	images.NeedRoot(t)
	dir := t.TempDir()
	// The driver mounts as fuseblk, which takes block devices only. Detached
	// while it is mounted, the device goes with the mount.
	loop := strings.TrimSpace(run(t, "losetup", "--find", "--show", img))
	detached := false
	detach := func() {
		if !detached {
			detached = true
			run(t, "losetup", "--detach", loop)
		}
	}
	defer detach()
	if options == "" {
		options = "rw"
	}
	run(t, "mount.exfat-fuse", "-o", options, loop, dir)
	detach()
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		run(t, "umount", dir)
		// The driver flushes after umount returns, and keeps the loop device
		// until it has.
		for end := time.Now().Add(20 * time.Second); run(t, "losetup", "-j", img) != ""; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the exfat driver does not end")
			}
		}
	}
	defer end()
	use(dir)
	end()
}

// TestExFAT compares with a tree that the exfat-fuse driver wrote, since Linux
// tools otherwise only format and check the volume.
func TestExFAT(t *testing.T) {
	images.NeedTool(t, "mkfs.exfat", "mount.exfat-fuse", "losetup", "fsck.exfat")
	images.NeedRoot(t)
	for _, c := range []struct {
		name  string
		args  []string
		mib   int64
		files int
	}{
		{"clusters of 4 KiB", []string{"-c", "4K", "-L", "exfat label"}, 64, 600},
		{"clusters of 512 bytes", []string{"-c", "512"}, 64, 300},
		{"clusters of 1 MiB", []string{"-c", "1M"}, 256, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := source(t, c.files)
			for i, n := range []string{"𝄞𐍈 astral", "ǅ titlecase", strings.Repeat("名", 85)} {
				if err := os.WriteFile(filepath.Join(dir, "names", n), []byte(n), 0o755); err != nil {
					t.Fatal(i, err)
				}
			}
			img := filepath.Join(t.TempDir(), "img")
			if err := os.WriteFile(img, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(img, c.mib<<20); err != nil {
				t.Fatal(err)
			}
			run(t, "mkfs.exfat", append(c.args, img)...)
			var oracle vfstest.Tree
			exMounted(t, img, "", func(mnt string) {
				run(t, "cp", "-r", "--preserve=timestamps", dir+"/.", mnt+"/")
				// Freed clusters in between make the next file fragmented.
				for i := range c.files / 4 {
					if err := os.Remove(filepath.Join(mnt, "many", fmt.Sprintf("a file with number %06d", i*4))); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.WriteFile(filepath.Join(mnt, "fragmented"), []byte(strings.Repeat("fragments ", 100000)), 0o755); err != nil {
					t.Fatal(err)
				}
				oracle = vfstest.FromDir(t, mnt, 0)
			})
			run(t, "fsck.exfat", "-n", img)
			join(t, img, fat.ExDriver(), oracle, hostOnly|vfstest.Mode)
			fs, err := fat.ExDriver().Open(context.Background(), []block.Device{device(t, img)}, vfs.Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkTimes(t, fs, oracle)
			if _, err := fs.Usage(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}
