package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2/jbd2test"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// leaveOpen deletes files while they are open, and stops the filesystem with
// them still open.
func leaveOpen(nums *[]uint64) func(dir string) error {
	return func(dir string) error {
		var open []*os.File
		defer func() {
			for _, f := range open {
				f.Close()
			}
		}()
		*nums = nil
		for i := range 20 {
			name := filepath.Join(dir, fmt.Sprintf("deleted%d", i))
			if err := os.WriteFile(name, bytes.Repeat([]byte{'d'}, 5000*i), 0o600); err != nil {
				return err
			}
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			open = append(open, f)
			var st syscall.Stat_t
			if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
				return err
			}
			*nums = append(*nums, st.Ino)
		}
		if err := os.WriteFile(filepath.Join(dir, "kept"), []byte("kept"), 0o600); err != nil {
			return err
		}
		if err := sh("sync .")(dir); err != nil {
			return err
		}
		for i := range open {
			if err := os.Remove(filepath.Join(dir, fmt.Sprintf("deleted%d", i))); err != nil {
				return err
			}
		}
		return jbd2test.Shutdown(dir, true)
	}
}

func TestOrphansAsKernel(t *testing.T) {
	needKernel(t)
	for _, features := range []string{"orphan_file", "^orphan_file", "^orphan_file,^metadata_csum", "orphan_file,^metadata_csum"} {
		t.Run(features, func(t *testing.T) {
			if strings.HasSuffix(features, "csum") {
				images.NeedLong(t)
			}
			var nums []uint64
			img := jbd2test.Image{Size: "96M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-O", features}, Work: leaveOpen(&nums)}.Make(t)
			fs := sameAsKernel(t, img)
			if fs.orphans.deleted != len(nums) {
				t.Errorf("%d orphans are found, want %d", fs.orphans.deleted, len(nums))
			}
			for _, num := range nums {
				if _, err := fs.Inode(t.Context(), vfs.Ino{Num: num}); !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ESTALE) {
					t.Errorf("inode %d: %v, want ENOENT or ESTALE", num, err)
				}
			}
			// The kernel frees them.
			cp := images.Copy(t, img, t.TempDir())
			var st syscall.Statfs_t
			if err := syscall.Statfs(images.KernelMount(t, cp, 0, 0, "ext4", "noinit_itable"), &st); err != nil {
				t.Fatal(err)
			}
			u, err := fs.Usage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if u.FilesFree != st.Ffree || u.Free != st.Bfree || u.Available != st.Bavail {
				t.Errorf("usage %+v, the kernel has %d blocks free, %d available, %d inodes free", u, st.Bfree, st.Bavail, st.Ffree)
			}
		})
	}
}

// debugfsWrite runs debugfs commands on an image.
func debugfsWrite(t testing.TB, img, script string) {
	t.Helper()
	cmd := exec.Command("debugfs", "-w", "-f", "/dev/stdin", img)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("debugfs: %v: %s", err, out)
	}
}

// cleanImage is an image with two files, 12 and 13, that no journal is needed for.
func cleanImage(t testing.TB, features string) string {
	t.Helper()
	images.NeedTool(t, "mke2fs", "debugfs")
	img := filepath.Join(t.TempDir(), "clean.img")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("contents"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	jbd2test.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", features, img, "16M")
	debugfsWrite(t, img, "write "+file+" one\nwrite "+file+" two\n")
	return img
}

// TestTruncatedOrphan: an inode on the list that keeps its links is shown to
// its size, as the kernel's truncation leaves it.
func TestTruncatedOrphan(t *testing.T) {
	needKernel(t)
	img := cleanImage(t, "^orphan_file")
	debugfsWrite(t, img, "sif <12> size 1500\nssv last_orphan 12\n")
	fs := sameAsKernel(t, img)
	if fs.orphans.truncated != 1 {
		t.Errorf("orphans %+v, want one that was being truncated", fs.orphans)
	}
}

// TestDamagedOrphans never stop a mount, and are said.
func TestDamagedOrphans(t *testing.T) {
	for _, c := range []struct{ name, features, script, want string }{
		{"loop", "^orphan_file", "sif <12> dtime 13\nsif <13> dtime 12\nssv last_orphan 12\n", "comes back to inode 12"},
		{"itself", "^orphan_file", "sif <12> dtime 12\nssv last_orphan 12\n", "comes back to inode 12"},
		{"beyond", "^orphan_file", "ssv last_orphan 1000000\n", "inode 1000000"},
		{"reserved", "^orphan_file", "ssv last_orphan 2\n", "inode 2"},
		{"no file", "orphan_file", "feature orphan_present\nssv orphan_file_inum 0\n", "orphan file is damaged"},
		{"not an orphan file", "orphan_file", "feature orphan_present\nssv orphan_file_inum 13\n", "ob_magic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := cleanImage(t, c.features)
			debugfsWrite(t, img, c.script)
			var said bytes.Buffer
			fs := openDirty(t, img, vfs.Options{Log: slog.New(slog.NewTextHandler(&said, nil))})
			if !strings.Contains(said.String(), c.want) {
				t.Errorf("the log says %q, want %q", said.String(), c.want)
			}
			if len(manifestOf(t, fs)) != 4 {
				t.Error("the tree is not shown whole")
			}
		})
	}
}

// openFails opens an image that must be refused.
func openFails(t testing.TB, img string) error {
	t.Helper()
	f, err := raw.OpenFile(img, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err = open(t.Context(), []block.Device{f}, vfs.Options{}); err == nil {
		t.Fatal("the image is opened")
	}
	return err
}

// TestUnusableJournal: what cannot be replayed is an error with a way out, and
// norecovery is it.
func TestUnusableJournal(t *testing.T) {
	for _, c := range []struct {
		name, script, want string
		is                 error
	}{
		{"external", "ssv journal_inum 0\nssv journal_dev 0x803\nfeature needs_recovery\n", "external journal (device 8:3", syscall.EOPNOTSUPP},
		{"none", "ssv journal_inum 0\nssv journal_dev 0\nfeature needs_recovery\n", "without a journal", syscall.EUCLEAN},
		{"both", "ssv journal_dev 0x803\nfeature needs_recovery\n", "both", syscall.EUCLEAN},
		{"no journal", "ssv journal_inum 12\nfeature needs_recovery\n", "magic", syscall.EUCLEAN},
		{"directory", "ssv journal_inum 2\nfeature needs_recovery\n", "is no journal", syscall.EUCLEAN},
		{"holes", "ssv journal_inum 12\nfeature needs_recovery\npunch <12> 2 3\n", "no block at byte 2048", syscall.EUCLEAN},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := cleanImage(t, "^orphan_file")
			debugfsWrite(t, img, c.script)
			err := openFails(t, img)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "norecovery") {
				t.Errorf("open: %v, want %q, norecovery and %v", err, c.want, c.is)
			}
			fs := openDirty(t, img, vfs.Options{NoRecovery: true})
			if len(manifestOf(t, fs)) != 4 {
				t.Error("norecovery does not show the tree whole")
			}
		})
	}
}

// TestRecoverBitClear: as in the kernel the journal counts only where the
// superblock says so; and norecovery shows what is home.
func TestRecoverBitClear(t *testing.T) {
	needKernel(t)
	img := jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024"}, Flush: true,
		Work: func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), []byte("new"), 0o600) }}.Make(t)
	has := func(fs *FileSystem) bool {
		root, err := fs.Inode(t.Context(), fs.Root())
		if err != nil {
			t.Fatal(err)
		}
		_, err = root.Lookup(t.Context(), "new")
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			t.Fatal(err)
		}
		return err == nil
	}
	if fs := openDirty(t, img, vfs.Options{}); !has(fs) || !fs.Info().Replayed || !fs.Info().Dirty {
		t.Errorf("the journal is not replayed: %+v", fs.Info())
	}
	if fs := openDirty(t, img, vfs.Options{NoRecovery: true}); has(fs) || fs.Info().Replayed {
		t.Error("norecovery replays the journal")
	}
	debugfsWrite(t, img, "feature ^needs_recovery\n")
	if fs := openDirty(t, img, vfs.Options{}); has(fs) || fs.Info().Replayed {
		t.Error("the journal is replayed though needs_recovery is clear")
	}
	sameAsKernel(t, img)
}
