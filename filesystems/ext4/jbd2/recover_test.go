package jbd2

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2/jbd2test"
	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
)

func need(t testing.TB) {
	t.Helper()
	images.NeedRoot(t)
	images.NeedTool(t, jbd2test.Tools()...)
}

func openFile(t testing.TB, path string) block.Device {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func hashOf(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// recoverImage replays the journal of the image at path into an overlay.
func recoverImage(t testing.TB, path string, blockSize int64) (*Journal, *block.Overlay, txn.Replay) {
	t.Helper()
	dev := openFile(t, path)
	j, err := Open(t.Context(), jbd2test.Journal(t, path, dev, blockSize), int(blockSize), nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := block.NewOverlay(dev, blockSize, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	r, err := j.Recover(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return j, o, r
}

// sameAsE2fsck compares the overlay with what e2fsck's replay writes into a
// copy of the image. e2fsck also counts anew what the group descriptors say of
// unused inodes, so those are left to sameAsKernel.
func sameAsE2fsck(t *testing.T, path string, o block.Device, blockSize int64) {
	t.Helper()
	cp := images.Copy(t, path, t.TempDir())
	out, err := exec.Command("e2fsck", "-fy", "-E", "journal_only", cp).CombinedOutput()
	if e := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &e) || e.ExitCode() > 1) {
		t.Fatalf("e2fsck: %v: %s", err, out)
	}
	sameBlocks(t, "e2fsck", path, cp, o, blockSize, 1024/blockSize+1)
}

// sameAsKernel compares the overlay with what the kernel's replay writes into a
// copy of the image.
func sameAsKernel(t *testing.T, path string, o block.Device, blockSize int64) {
	t.Helper()
	cp := images.Copy(t, path, t.TempDir())
	images.Unmount(t, images.KernelMount(t, cp, 0, 0, "ext4", "noinit_itable"))
	sameBlocks(t, "the kernel", path, cp, o, blockSize, -1)
}

// sameBlocks compares all blocks but the journal's, skip and, of the
// superblock, what every recovery changes.
func sameBlocks(t *testing.T, who, path, recovered string, o block.Device, blockSize, skip int64) {
	t.Helper()
	want := openFile(t, recovered)
	except := map[int64]bool{skip: true}
	for _, b := range jbd2test.JournalBlocks(t, path) {
		except[b] = true
	}
	le := binary.LittleEndian
	a, b := make([]byte, blockSize), make([]byte, blockSize)
	for n := range want.Size() / blockSize {
		if except[n] {
			continue
		}
		if err := block.ReadFull(t.Context(), want, a, n*blockSize); err != nil {
			t.Fatal(err)
		}
		if err := block.ReadFull(t.Context(), o, b, n*blockSize); err != nil {
			t.Fatal(err)
		}
		if n == 1024/blockSize {
			for _, x := range [][]byte{a, b} {
				s := x[1024%blockSize:][:1024]
				le.PutUint32(s[0x60:], le.Uint32(s[0x60:])&^0x4) // RECOVER
				// Free counts (which the kernel keeps elsewhere while mounted), times, mounts, state, KiB
				// written, last mount point, checksum.
				for _, f := range [][2]int{{0xC, 0x14}, {0x2C, 0x38}, {0x3A, 0x3C}, {0x40, 0x44}, {0x88, 0xC8}, {0x178, 0x180}, {0x274, 0x27A}, {0x3FC, 0x400}} {
					clear(s[f[0]:f[1]])
				}
			}
		}
		if string(a) != string(b) {
			at := 0
			for a[at] == b[at] {
				at++
			}
			t.Errorf("block %d is not as %s replays it, from byte %#x on: %x, want %x", n, who, at, b[at:min(at+32, len(b))], a[at:min(at+32, len(a))])
		}
	}
}

// many makes, changes and deletes files in several transactions, so that
// blocks are logged again and again and directories are revoked.
func many(rounds, files int) func(dir string) error {
	return func(dir string) error {
		for r := range rounds {
			d := filepath.Join(dir, fmt.Sprintf("d%d", r))
			if err := os.Mkdir(d, 0o755); err != nil {
				return err
			}
			for i := range files {
				name := filepath.Join(d, fmt.Sprintf("a rather long file name to fill blocks %d", i))
				if err := os.WriteFile(name, []byte(strings.Repeat("x", i*37%5000)), 0o640); err != nil {
					return err
				}
			}
			if err := syncDir(d); err != nil {
				return err
			}
			if r > 1 {
				if err := os.RemoveAll(filepath.Join(dir, fmt.Sprintf("d%d", r-2))); err != nil {
					return err
				}
				// What the deleted directory's blocks become.
				big := filepath.Join(dir, fmt.Sprintf("big%d", r))
				if err := os.WriteFile(big, []byte(strings.Repeat("data", 50000)), 0o600); err != nil {
					return err
				}
				if err := syncDir(dir); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// syncDir makes the running transaction durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// magics writes blocks that begin with the journal's magic through the
// journal, which must escape them.
func magics(blockSize int) func(dir string) error {
	return func(dir string) error {
		b := make([]byte, 40*blockSize)
		for i := 0; i < len(b); i += blockSize {
			binary.BigEndian.PutUint32(b[i:], Magic)
			b[i+4] = byte(i / blockSize)
		}
		f, err := os.Create(filepath.Join(dir, "magic"))
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.Write(b); err != nil {
			return err
		}
		return f.Sync()
	}
}

func TestRecoverAsE2fsck(t *testing.T) {
	need(t)
	for _, c := range []struct {
		name string
		bs   int64
		img  jbd2test.Image
		min  txn.Replay // at least
	}{
		{"4KiB", 4096, jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-b", "4096"}, Work: many(3, 100), Flush: true},
			txn.Replay{Transactions: 2, Blocks: 10}},
		{"1KiB", 1024, jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024"}, Work: many(6, 200), Flush: true},
			txn.Replay{Transactions: 5, Blocks: 50, Revoked: 1}},
		{"wrapped", 1024, jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-J", "size=1"}, Work: many(30, 60)},
			txn.Replay{Transactions: 1, Blocks: 10}},
		{"no checksums, 32-bit tags", 1024, jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit"}, Work: many(6, 200), Flush: true},
			txn.Replay{Transactions: 5, Blocks: 50, Revoked: 1}},
		{"no checksums, 64-bit tags", 4096, jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "^metadata_csum,64bit"}, Work: many(6, 300), Flush: true},
			txn.Replay{Transactions: 5, Blocks: 50}},
		{"checksums, 32-bit tags", 1024, jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-O", "metadata_csum,^64bit"}, Work: many(6, 200), Flush: true},
			txn.Replay{Transactions: 5, Blocks: 50, Revoked: 1}},
		{"checksum version 1", 1024, jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-O", "^metadata_csum"}, Mount: "journal_checksum", Work: many(6, 200), Flush: true},
			txn.Replay{Transactions: 5, Blocks: 50, Revoked: 1}},
		{"asynchronous commits", 1024, jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024"}, Mount: "journal_async_commit,data=writeback", Work: many(6, 200), Flush: true},
			txn.Replay{Transactions: 5, Blocks: 50, Revoked: 1}},
		{"ext3", 1024, jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext3", "-b", "1024"}, Work: many(6, 200), Flush: true},
			txn.Replay{Transactions: 5, Blocks: 50, Revoked: 1}},
		{"escaped", 4096, jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-b", "4096"}, Mount: "data=journal", Work: magics(4096)},
			txn.Replay{Transactions: 1, Blocks: 40}},
		{"escaped, no checksums", 1024, jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-O", "^metadata_csum"}, Mount: "data=journal", Work: magics(1024)},
			txn.Replay{Transactions: 1, Blocks: 40}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.img.Make(t)
			before := hashOf(t, path)
			j, o, r := recoverImage(t, path, c.bs)
			t.Logf("%+v, features %#x/%#x, start %d of %d", r, j.compat, j.incompat, j.start, j.last)
			if r.Clean || r.Torn != "" || r.Transactions < c.min.Transactions || r.Blocks < c.min.Blocks || r.Revoked < c.min.Revoked {
				t.Errorf("replay %+v, want at least %+v", r, c.min)
			}
			if r.Blocks != o.Len() {
				t.Errorf("%d blocks are replayed, the overlay has %d", r.Blocks, o.Len())
			}
			sameAsE2fsck(t, path, o, c.bs)
			sameAsKernel(t, path, o, c.bs)
			if hashOf(t, path) != before {
				t.Error("the image has changed")
			}
		})
	}
}

// TestDebugfsJournals replays what debugfs writes: every version of checksums
// and width of tags.
func TestDebugfsJournals(t *testing.T) {
	images.NeedTool(t, "debugfs", "mke2fs", "e2fsck")
	for _, c := range []struct{ name, features, open string }{
		{"none", "^metadata_csum,^64bit", "jo"},
		{"none, 64-bit", "^metadata_csum,64bit", "jo"},
		{"v2", "metadata_csum,^64bit", "jo -v 2 -c"},
		{"v2, 64-bit", "metadata_csum,64bit", "jo -v 2 -c"},
		{"v3", "metadata_csum,^64bit", "jo -v 3 -c"},
		{"v3, 64-bit", "metadata_csum,64bit", "jo -v 3 -c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "img")
			jbd2test.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", c.features, path, "16M")
			// Some data blocks, one of them with the magic, at home in free blocks.
			payload := make([]byte, 3*1024)
			for i := range payload {
				payload[i] = byte(i * 7)
			}
			binary.BigEndian.PutUint32(payload[1024:], Magic)
			file := filepath.Join(dir, "payload")
			if err := os.WriteFile(file, payload, 0o600); err != nil {
				t.Fatal(err)
			}
			script := c.open + "\njw -b 9000-9002 " + file + "\njw -b 9010-9012 " + file + "\njw -r 9001\njw -b 9012-9014 " + file + "\njc\n"
			cmd := exec.Command("debugfs", "-w", "-f", "/dev/stdin", path)
			cmd.Stdin = strings.NewReader(script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("debugfs: %v: %s", err, out)
			}
			j, o, r := recoverImage(t, path, 1024)
			t.Logf("%+v, features %#x/%#x", r, j.compat, j.incompat)
			if r.Transactions != 4 || r.Revoked != 1 || r.Blocks != 7 || r.Torn != "" {
				t.Errorf("replay %+v, want 4 transactions, 7 blocks, 1 revoked", r)
			}
			got := make([]byte, 15*1024)
			if err := block.ReadFull(t.Context(), o, got, 9000*1024); err != nil {
				t.Fatal(err)
			}
			want := make([]byte, 15*1024)
			copy(want, payload)
			clear(want[1024:2048])
			copy(want[10*1024:], payload)
			copy(want[12*1024:], payload)
			if string(got) != string(want) {
				t.Error("the replayed blocks are not what debugfs logged")
			}
			sameAsE2fsck(t, path, o, 1024)
		})
	}
}
