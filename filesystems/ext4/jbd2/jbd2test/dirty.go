// Package jbd2test makes ext4 images that the running kernel has left with a
// journal to replay, for the tests of jbd2 and ext4. It needs root, a loop
// device, mke2fs and debugfs; the caller says so first.
package jbd2test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/guestctl/guestctl/formats/block"
)

// Tools are the programs that this package runs.
func Tools() []string { return []string{"mount", "mke2fs", "debugfs", "e2fsck"} }

// An Image says how to make an image and what to do to it.
type Image struct {
	Size  string   // as mke2fs takes it: "64M"
	Mkfs  []string // arguments of mke2fs before the path
	Mount string   // options of the mount, beside loop
	From  string   // instead of Size, Mkfs and Setup: what Prepare made
	Setup func(dir string) error
	Work  func(dir string) error // runs on a second mount, so that Setup is home
	Flush bool                   // commit the running transaction before the end
}

// Make makes the image in a folder of the test and returns its path: the bytes
// of the device at the moment when the filesystem was shut down. What the
// kernel writes home when it unmounts is not in it.
func (m Image) Make(t testing.TB) string {
	t.Helper()
	path := m.From
	if path == "" {
		path = m.Prepare(t)
	} else {
		path = filepath.Join(t.TempDir(), "dirty.img")
		Run(t, "cp", "--sparse=always", m.From, path)
	}
	crashed := filepath.Join(filepath.Dir(path), "crashed.img")
	m.on(t, path, func(dir string) error {
		if err := m.Work(dir); err != nil {
			return err
		}
		if err := Shutdown(dir, m.Flush); err != nil {
			return err
		}
		Run(t, "cp", "--sparse=always", path, crashed)
		return nil
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	return crashed
}

// Prepare makes the image as it is before Work, and returns its path.
func (m Image) Prepare(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dirty.img")
	Run(t, "mke2fs", append(append([]string{"-q", "-F"}, m.Mkfs...), path, m.Size)...)
	if m.Setup != nil {
		m.on(t, path, m.Setup)
	}
	return path
}

// on runs do on the mounted image and unmounts it again, whatever happens.
func (m Image) on(t testing.TB, path string, do func(dir string) error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "guestctl-dirty-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	opt := "loop"
	if m.Mount != "" {
		opt += "," + m.Mount
	}
	Run(t, "mount", "-t", "ext4", "-o", opt, path, dir)
	defer func() {
		var err error
		for range 50 {
			if err = syscall.Unmount(dir, 0); err != syscall.EBUSY {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err == syscall.EBUSY {
			err = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
		if err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	}()
	if err := do(dir); err != nil {
		t.Fatal(err)
	}
}

// Shutdown stops the filesystem mounted at dir as a power failure would.
func Shutdown(dir string, flush bool) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	const ioctl = 0x8004587D // EXT4_IOC_SHUTDOWN
	how := uint32(2)         // EXT4_GOING_FLAGS_NOLOGFLUSH
	if flush {
		how = 1 // EXT4_GOING_FLAGS_LOGFLUSH
	}
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), ioctl, uintptr(unsafe.Pointer(&how)))
	runtime.KeepAlive(&how)
	if errno != 0 {
		return fmt.Errorf("shutting %s down: %w", dir, errno)
	}
	return nil
}

// Run runs a program that must succeed and returns its output.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out)
}

// Journal is the journal inode's bytes on dev, an image of blockSize bytes a
// block at path, in the order debugfs gives them.
func Journal(t testing.TB, path string, dev block.Device, blockSize int64) block.Device {
	t.Helper()
	var parts []block.Device
	for _, b := range JournalBlocks(t, path) {
		s, err := block.Section(dev, b*blockSize, blockSize)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, s)
	}
	j, err := block.Concat(parts...)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// JournalBlocks are the blocks of inode 8 in the image at path, in order. The
// blocks that map them are left out.
func JournalBlocks(t testing.TB, path string) (blocks []int64) {
	t.Helper()
	cmd := exec.Command("debugfs", "-R", "ex <8>", path)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "Level") { // an indirect map
		return indirectBlocks(t, path)
	}
	for line := range strings.Lines(string(out)) {
		// Level Entries Logical Physical Length Flags: " 0/ 0 1/ 1 0 - 1023 1044 - 2067 1024"
		f := strings.Fields(strings.NewReplacer("/", " ", "-", " ").Replace(line))
		if len(f) < 9 || f[0] != f[1] {
			continue
		}
		from, err1 := strconv.ParseInt(f[6], 10, 64)
		to, err2 := strconv.ParseInt(f[7], 10, 64)
		if err1 != nil || err2 != nil {
			continue
		}
		for b := from; b <= to; b++ {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

func indirectBlocks(t testing.TB, path string) (blocks []int64) {
	t.Helper()
	size := inodeBlocks(t, path)
	var script strings.Builder
	for i := range size {
		fmt.Fprintf(&script, "bmap <8> %d\n", i)
	}
	cmd := exec.Command("debugfs", "-f", "/dev/stdin", path)
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if b, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil {
			blocks = append(blocks, b)
		}
	}
	if int64(len(blocks)) != size {
		t.Fatalf("the journal of %s has %d blocks, debugfs maps %d", path, size, len(blocks))
	}
	return blocks
}

// inodeBlocks is the length of inode 8 in blocks, from its size.
func inodeBlocks(t testing.TB, path string) int64 {
	t.Helper()
	field := func(out, name string) int64 {
		_, rest, ok := strings.Cut(out, name)
		if !ok {
			t.Fatalf("debugfs does not say %q of %s", name, path)
		}
		n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	stat := Run(t, "debugfs", "-R", "stat <8>", path)
	sb := Run(t, "debugfs", "-R", "stats -h", path)
	return field(stat, "Size:") / field(sb, "Block size:")
}

// Same fails the test where two devices differ in block n, and says where.
func Same(ctx context.Context, t testing.TB, want, got block.Device, n, blockSize int64) {
	t.Helper()
	a, b := make([]byte, blockSize), make([]byte, blockSize)
	if err := block.ReadFull(ctx, want, a, n*blockSize); err != nil {
		t.Fatal(err)
	}
	if err := block.ReadFull(ctx, got, b, n*blockSize); err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("block %d differs from byte %d on: %#02x, want %#02x", n, i, b[i], a[i])
			return
		}
	}
}
