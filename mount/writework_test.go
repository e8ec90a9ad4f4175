package mount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
	"github.com/guestctl/guestctl/vfs"
)

// TestPrograms: what programs do who write much is what they read back.
func TestPrograms(t *testing.T) {
	images.NeedTool(t, "git", "bash", "cp", "tar")
	l := mountWritable(t, mkext4(t, "128M"), Options{})
	src := filepath.Join(t.TempDir(), "src")
	output(t, exec.Command("bash", "-ec", `mkdir "$1"; cd "$1"; git init -q .; git config user.name n; git config user.email e
		for i in $(seq 120); do mkdir -p d$((i % 7)); head -c $((i * 97)) /dev/urandom > d$((i % 7))/f$i; done; ln -s d1 link; ln d1/f1 hard
		truncate -s 3M sparse; printf x | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none; setfattr -n user.a -v b d1/f1 || :; chmod 4751 d2/f2
		git add -A; git commit -qm one`, "bash", src))
	output(t, exec.Command("git", "clone", "-q", src, l.at("clone")))
	output(t, exec.Command("git", "-C", l.at("clone"), "fsck", "--full", "--strict"))
	output(t, exec.Command("git", "-C", l.at("clone"), "gc", "-q"))
	output(t, exec.Command("bash", "-ec", `cd "$1"; git checkout -q -b other; git rm -q -r d3; git commit -qm two; git checkout -q -; git status --porcelain`, "bash", l.at("clone")))
	output(t, exec.Command("cp", "-a", src, l.at("copy")))
	output(t, exec.Command("bash", "-ec", `mkdir "$2"; tar --format=posix --xattrs -C "$1" -cf - . | tar --xattrs -C "$2" -xf -`, "bash", src, l.at("tar")))
	want := l.manifest(src)
	for _, name := range []string{"copy", "tar"} {
		if lines, total := manifest.Diff(want, l.manifest(l.at(name)), manifest.All&^(manifest.Ctime|manifest.Size), 10); total > 0 {
			t.Errorf("%s differs in %d things: %q", name, total, lines)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(l.at("copy/sparse"), &st); err != nil || st.Blocks > 100 {
		t.Errorf("the sparse file has %d blocks, %v", st.Blocks, err)
	}
	// Deleting while listing misses nothing.
	if err := os.Mkdir(l.at("many"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if err := os.WriteFile(l.at(fmt.Sprintf("many/%d", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	output(t, exec.Command("find", l.at("many"), "-type", "f", "-delete"))
	if err := os.Remove(l.at("many")); err != nil {
		t.Error(err)
	}
	output(t, exec.Command("rm", "-r", l.at("clone")))
}

// TestVerify: fio writes in every way and reads back what it wrote.
func TestVerify(t *testing.T) {
	images.NeedLong(t)
	images.NeedTool(t, "fio")
	l := mountWritable(t, mkext4(t, "256M"), Options{})
	for _, rw := range []string{"write", "randwrite", "randrw"} {
		output(t, exec.Command("fio", "--directory="+l.Dir(), "--name="+rw, "--rw="+rw, "--size=16M", "--bsrange=512-256k", "--numjobs=4", "--verify=crc32c",
			"--verify_fatal=1", "--fsync=64", "--fallocate=posix", "--unlink=1"))
	}
}

// TestFull: a filesystem without room says so, nothing else is harmed, and there is room again when files are deleted.
func TestFull(t *testing.T) {
	l := mountWritable(t, mkext4(t, "16M", "-N", "128"), Options{})
	small := []byte("was there before")
	if err := os.WriteFile(l.at("before"), small, 0o600); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		f, err := os.Create(l.at("large"))
		if err != nil {
			t.Fatal(err)
		}
		piece := bytes.Repeat([]byte{byte(round + 1)}, 1<<20)
		for err == nil {
			_, err = f.Write(piece)
		}
		if !isErrno(err, unix.ENOSPC) {
			t.Errorf("round %d: %v", round, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(l.at("more"), piece, 0o600); !isErrno(err, unix.ENOSPC) {
			t.Errorf("round %d: another file: %v", round, err)
		}
		if st, err := os.Stat(l.at("large")); err != nil || st.Size() < 8<<20 {
			t.Errorf("round %d: %v, %v", round, st, err)
		}
		for _, name := range []string{"large", "more"} {
			if err := os.Remove(l.at(name)); err != nil {
				t.Error(err)
			}
		}
	}
	var made int
	for ; ; made++ {
		if err := os.WriteFile(l.at(fmt.Sprintf("inode%d", made)), nil, 0o600); err != nil {
			if !isErrno(err, unix.ENOSPC) {
				t.Errorf("without inodes: %v", err)
			}
			break
		}
	}
	if made < 100 {
		t.Errorf("%d files fit", made)
	}
	if got, err := os.ReadFile(l.at("before")); err != nil || !bytes.Equal(got, small) {
		t.Errorf("%q, %v", got, err)
	}
}

func isErrno(err error, want syscall.Errno) bool { return errors.Is(err, want) }

// TestWriters: eight writers at once, on files of their own and on one, do not hinder each other.
func TestWriters(t *testing.T) {
	l := mountWritable(t, mkext4(t, "64M"), Options{})
	shared, err := os.Create(l.at("shared"))
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	var wg sync.WaitGroup
	for w := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(w, w))
			dir := l.at(fmt.Sprintf("w%d", w))
			model := make(map[string][]byte)
			fail := func(err error) bool {
				if err != nil {
					t.Error(err)
				}
				return err != nil
			}
			if fail(os.Mkdir(dir, 0o755)) {
				return
			}
			for i := range 60 {
				name := fmt.Sprintf("f%d", r.IntN(10))
				path := filepath.Join(dir, name)
				switch r.IntN(6) {
				case 0, 1, 2:
					data := bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(60_000))
					if fail(os.WriteFile(path, data, 0o600)) {
						return
					}
					model[name] = data
				case 3:
					to := fmt.Sprintf("f%d", r.IntN(10))
					if model[name] != nil {
						if fail(os.Rename(path, filepath.Join(dir, to))) {
							return
						}
						data := model[name]
						delete(model, name)
						model[to] = data
					}
				case 4:
					if model[name] != nil {
						if fail(os.Truncate(path, int64(len(model[name])/2))) {
							return
						}
						model[name] = model[name][:len(model[name])/2]
					}
				case 5:
					if model[name] != nil {
						if fail(os.Remove(path)) {
							return
						}
						delete(model, name)
					}
				}
				if _, err := shared.WriteAt(bytes.Repeat([]byte{byte(w)}, 5000), int64(w)*1_000_000+int64(i)*5000); fail(err) {
					return
				}
			}
			list, err := os.ReadDir(dir)
			if fail(err) {
				return
			}
			if len(list) != len(model) {
				t.Errorf("writer %d has %d files, want %d", w, len(list), len(model))
			}
			for name, want := range model {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("writer %d, %s: %d bytes, want %d: %v", w, name, len(got), len(want), err)
				}
			}
			part := make([]byte, 300_000)
			if _, err := shared.ReadAt(part, int64(w)*1_000_000); err != nil && err != io.EOF || !bytes.Equal(part, bytes.Repeat([]byte{byte(w)}, 300_000)) {
				t.Errorf("writer %d: its part of the shared file is wrong, %v", w, err)
			}
		})
	}
	wg.Wait()
}

// TestTwoDoors: what another client changes the mount shows at once, though the kernel was told to keep what it knew.
func TestTwoDoors(t *testing.T) {
	l := mountWritable(t, mkext4(t, "16M"), Options{})
	ctx := context.Background()
	other := l.tree.Client(nil)
	defer other.Close(ctx)
	root := l.fs.Root()
	if _, err := os.Stat(l.at("new")); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	ino, err := other.Create(ctx, root, "new", vfs.New{Mode: unix.S_IFREG | 0o640}, false)
	if err != nil {
		t.Fatal(err)
	}
	eventually := func(what string, is func() bool) {
		t.Helper()
		for range 1000 {
			if is() {
				return
			}
			unix.Nanosleep(&unix.Timespec{Nsec: 2_000_000}, nil)
		}
		t.Errorf("the kernel does not learn: %s", what)
	}
	eventually("a new name", func() bool { _, err := os.Stat(l.at("new")); return err == nil })
	if _, err := other.WriteAt(ctx, ino, []byte("first"), 0); err != nil {
		t.Fatal(err)
	}
	text := func() string { b, _ := os.ReadFile(l.at("new")); return string(b) }
	eventually("new bytes", func() bool { return text() == "first" })
	if _, err := other.WriteAt(ctx, ino, []byte("later"), 0); err != nil {
		t.Fatal(err)
	}
	eventually("bytes in place of others", func() bool { return text() == "later" })
	mode := uint32(0o600)
	if err := other.Setattr(ctx, ino, vfs.Change{Mode: &mode}); err != nil {
		t.Fatal(err)
	}
	eventually("a mode", func() bool { st, err := os.Stat(l.at("new")); return err == nil && st.Mode().Perm() == 0o600 })
	f, err := os.Open(l.at("new"))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Unlink(ctx, root, "new", false); err != nil {
		t.Fatal(err)
	}
	eventually("a name that is gone", func() bool { _, err := os.Stat(l.at("new")); return os.IsNotExist(err) })
	// Whoever has it open keeps it.
	if b, err := io.ReadAll(f); err != nil || string(b) != "later" {
		t.Errorf("%q, %v", b, err)
	}
	f.Close()
}

// TestReadOnlyOfWritable: a read-only mount of a tree that can be written changes nothing.
func TestReadOnlyOfWritable(t *testing.T) {
	l := mountWritable(t, mkext4(t, "16M"), Options{})
	if err := os.WriteFile(l.at("f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := mounted(t, vfs.NewNamespace(l.tree), Options{})
	for _, err := range []error{os.WriteFile(filepath.Join(s.Dir(), "g"), nil, 0o644), os.Remove(filepath.Join(s.Dir(), "f")), os.Chmod(filepath.Join(s.Dir(), "f"), 0)} {
		if !isErrno(err, unix.EROFS) {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(s.Dir(), "f")); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}
