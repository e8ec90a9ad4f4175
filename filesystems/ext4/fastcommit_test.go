package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2"
	"github.com/guestctl/guestctl/filesystems/ext4/jbd2/jbd2test"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// step runs a script and makes one file durable, which is a fast commit where
// the kernel can make one.
func step(script, durable string) func(dir string) error {
	return func(dir string) error {
		if err := sh(script)(dir); err != nil {
			return err
		}
		return fsync(filepath.Join(dir, durable))
	}
}

func TestFastCommitAsKernel(t *testing.T) {
	needKernel(t)
	setup := sh(`
		mkdir dir dir/sub big gone
		for i in $(seq 300); do echo $i > "big/a name of some length to make it an indexed directory $i"; done
		echo hello > file; echo target > dir/target; echo old > dir/old
		ln dir/old dir/old2
		echo x > gone/x; echo y > gone/y
		dd if=/dev/urandom of=data bs=4096 count=100 status=none
		ln -s target dir/link
	`)
	base := jbd2test.Image{Size: "96M", Mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "fast_commit"}, Setup: setup}.Prepare(t)
	for _, c := range []struct {
		name  string
		steps []func(dir string) error
		none  bool // the kernel makes a full commit of it
	}{
		{"append", []func(string) error{step("echo more >> file", "file")}, false},
		{"grow", []func(string) error{step("head -c 500000 /dev/urandom >> data", "data")}, false},
		{"create", []func(string) error{step("echo new > new", "new")}, false},
		{"create many", []func(string) error{step(`for i in {1..40}; do echo $i > "big/new $i"; done`, "big/new 7")}, false},
		{"several commits", []func(string) error{
			step("echo 1 > n1", "n1"), step("echo 2 > n2; echo 3 >> n1", "n2"), step("mv n1 n3; echo 4 > n1", "n1"), step("echo 5 >> n3", "n3")}, false},
		{"link", []func(string) error{step("ln file dir/hard; echo more >> file", "file")}, false},
		{"unlink", []func(string) error{step("rm dir/old; echo more >> file", "file")}, false},
		{"unlink last", []func(string) error{step("rm dir/target gone/x; echo more >> file", "file")}, false},
		{"rename", []func(string) error{step("mv dir/old big/moved; echo more >> file", "file")}, false},
		{"rename over", []func(string) error{step("mv dir/old dir/target; echo more >> file", "file")}, false},
		{"truncate", []func(string) error{step("truncate -s 100000 data", "data")}, false},
		{"truncate and grow", []func(string) error{step("truncate -s 100000 data", "data"), step("head -c 300000 /dev/zero >> data", "data")}, false},
		{"overwrite a hole", []func(string) error{
			step("truncate -s 10M sparse", "sparse"),
			step("dd if=/dev/urandom of=sparse bs=4096 seek=1000 count=3 conv=notrunc status=none", "sparse"),
			step("dd if=/dev/urandom of=sparse bs=4096 seek=10 count=3 conv=notrunc status=none", "sparse")}, false},
		{"fragments", []func(string) error{
			step("for i in {1..40}; do dd if=/dev/urandom of=frag bs=4096 seek=$((i*2)) count=1 conv=notrunc status=none; done", "frag"),
			step("for i in {1..40}; do dd if=/dev/urandom of=frag bs=4096 seek=$((i*5)) count=1 conv=notrunc status=none; done", "frag")}, false},
		{"unwritten", []func(string) error{step("fallocate -l 400000 falloc", "falloc"),
			step("dd if=/dev/urandom of=falloc bs=4096 seek=10 count=3 conv=notrunc status=none", "falloc")}, false},
		{"attributes", []func(string) error{step("chmod 600 file; chown 5:6 file; touch -d 2001-02-03T04:05:06.789 file", "file")}, false},
		{"device", []func(string) error{step("mknod null c 1 3; mknod fifo p; echo more >> file", "file")}, true},
		{"symlink", []func(string) error{step("ln -s short s; echo more >> file", "file")}, true},
		{"mkdir", []func(string) error{step("mkdir newdir; echo more >> file", "file")}, false},
		{"mkdir and fill", []func(string) error{step("mkdir newdir; echo x > newdir/x; echo more >> file", "newdir/x")}, false},
		{"rmdir", []func(string) error{step("rmdir dir/sub; echo more >> file", "file")}, false},
		{"again", []func(string) error{
			step("echo 1 > f; echo 2 > g", "f"), step("rm f; echo 3 > f", "f"), step("rm f g; echo 4 > h", "h"), step("echo 5 > f", "f")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch c.name {
			case "several commits", "overwrite a hole", "mkdir and fill":
			default:
				images.NeedLong(t)
			}
			work := func(dir string) error {
				// The first commit after a mount is always a full one.
				if err := step("echo first > first; sync -f .", "first")(dir); err != nil {
					return err
				}
				for _, s := range c.steps {
					if err := s(dir); err != nil {
						return err
					}
				}
				return nil
			}
			img := jbd2test.Image{From: base, Work: work}.Make(t)
			fs := sameAsKernel(t, img)
			if (fs.edits == nil) != c.none {
				t.Errorf("fast commits: %v", fs.edits)
			}
		})
	}
}

// randomly does random things to a few names, and makes some of them durable.
func randomly(seed uint64, ops int) func(dir string) error {
	return func(dir string) error {
		r := rand.New(rand.NewPCG(seed, 1))
		dirs := []string{".", "a", "a/b", "c"}
		file := func() string {
			return filepath.Join(dir, dirs[r.IntN(len(dirs))], fmt.Sprintf("f%d", r.IntN(12)))
		}
		for _, d := range dirs[1:] {
			if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
				return err
			}
		}
		if err := fsync(dir); err != nil {
			return err
		}
		for i := range ops {
			name := file()
			var err error
			switch r.IntN(14) {
			case 0, 1, 2:
				err = os.WriteFile(name, bytes.Repeat([]byte{byte(i)}, r.IntN(30000)), 0o644)
			case 3, 4:
				var f *os.File
				if f, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
					_, err = f.WriteAt(bytes.Repeat([]byte{byte(i)}, r.IntN(9000)), r.Int64N(200000))
					f.Close()
				}
			case 5:
				err = os.Truncate(name, r.Int64N(100000))
			case 6:
				err = os.Rename(name, file())
			case 7:
				err = os.Link(name, file())
			case 8, 9:
				err = os.Remove(name)
			case 10:
				err = os.Chmod(name, os.FileMode(r.IntN(0o1000)))
			default:
				err = fsync(name)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
		return nil
	}
}

// areaFull says whether the last block of the image's fast-commit area belongs
// to a valid fast commit.
func areaFull(t *testing.T, img string) bool {
	t.Helper()
	fs := openDirty(t, img, vfs.Options{NoRecovery: true})
	dev, err := fs.journal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	j, err := jbd2.Open(t.Context(), dev, fs.geo.blockSize, fs.log)
	if err != nil {
		t.Fatal(err)
	}
	o, err := block.NewOverlay(fs.base, int64(fs.geo.blockSize), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Recover(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	area, ok := j.FastCommits()
	if !ok {
		t.Fatal("the journal has no fast-commit area")
	}
	count := func(area block.Device) int {
		tags, _, err := readFastCommits(t.Context(), area, fs.geo.blockSize, fs.geo.inodeSize, j.Next())
		if err != nil {
			t.Fatal(err)
		}
		return len(tags)
	}
	less, err := block.Section(area, 0, area.Size()-int64(fs.geo.blockSize))
	if err != nil {
		t.Fatal(err)
	}
	return count(less) < count(area)
}

// TestFastCommitsRandom also runs into the ends of the fast-commit area, and
// into full commits that follow fast ones.
func TestFastCommitsRandom(t *testing.T) {
	needKernel(t)
	seeds := uint64(2)
	if os.Getenv("GUESTCTL_LONG") != "" {
		seeds = 60
	}
	replayed := 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			options := [][]string{
				{"-b", "4096", "-O", "fast_commit"},
				{"-b", "1024", "-O", "fast_commit"},
				{"-b", "4096", "-O", "fast_commit,inline_data"},
				{"-b", "1024", "-O", "fast_commit,^metadata_csum"},
			}[seed%4]
			img := jbd2test.Image{Size: "96M", Mkfs: append([]string{"-t", "ext4"}, options...), Work: randomly(seed, 60+int(seed)*70)}.Make(t)
			if areaFull(t, img) {
				// The kernel and e2fsck read the block behind the area then, which is behind the journal, and give up.
				if fs := openDirty(t, img, vfs.Options{}); fs.edits == nil || fs.replay.Torn != "" {
					t.Error("a full area was not replayed")
				}
				return
			}
			if fs := sameAsKernel(t, img); fs.edits != nil {
				replayed++
			}
		})
	}
	if replayed == 0 {
		t.Error("no image had a fast commit")
	}
}
