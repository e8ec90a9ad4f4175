package images

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func fileName(path string) string { return filepath.Base(path) }

// KernelMount mounts part of a raw image with the kernel's own driver through a loop device and answers the folder,
// until the test is done. offset and size are in bytes; size 0 is to the end. options are mount's, beside loop and
// offset; give "ro" unless the image is the test's own copy.
func KernelMount(t testing.TB, path string, offset, size int64, fstype, options string) string {
	t.Helper()
	NeedRoot(t)
	NeedTool(t, "mount", "losetup")
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", kernelDir, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	// A loop device of our own: mount -o loop refuses a file of which another process has attached another range.
	args := []string{"--find", "--show", fmt.Sprintf("--offset=%d", offset)}
	if size > 0 {
		args = append(args, fmt.Sprintf("--sizelimit=%d", size))
	}
	if slices.Contains(strings.Split(options, ","), "ro") {
		args = append(args, "--read-only")
	}
	out, err := exec.Command("losetup", append(args, path)...).Output()
	if err != nil {
		os.Remove(dir)
		t.Fatalf("losetup %s %s: %v", strings.Join(args, " "), path, err)
	}
	dev := strings.TrimSpace(string(out))
	said, err := exec.Command("mount", "-t", fstype, "-o", strings.TrimSuffix("defaults,"+options, ","), dev, dir).CombinedOutput()
	// Detached while it is mounted, the device goes with the mount.
	if derr := exec.Command("losetup", "--detach", dev).Run(); derr != nil {
		t.Errorf("losetup --detach %s: %v", dev, derr)
	}
	if err != nil {
		os.Remove(dir)
		t.Fatalf("the kernel does not mount %s (-t %s -o %s, from %d): %v: %s", path, fstype, options, offset, err, strings.TrimSpace(string(said)))
	}
	t.Cleanup(func() { Unmount(t, dir) })
	return dir
}

// kernelDir begins the name of a folder that KernelMount mounts on; the process that made it follows.
const kernelDir = "guestctl-kernel-"

// sweep unmounts what killed test processes left mounted, since no cleanup runs in a process that a timeout kills.
func sweep() {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), kernelDir+"*-*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		pid, err := strconv.Atoi(strings.Split(strings.TrimPrefix(filepath.Base(dir), kernelDir), "-")[0])
		if err == nil && unix.Kill(pid, 0) == unix.ESRCH {
			if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err == nil || err == unix.EINVAL {
				os.Remove(dir)
			}
		}
	}
}

// Unmount unmounts dir, which may be busy for a moment, and removes it. It is what KernelMount's cleanup calls; a second
// call does nothing.
func Unmount(t testing.TB, dir string) {
	t.Helper()
	var err error
	for range 50 {
		if err = unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != unix.EBUSY {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err == unix.EBUSY {
		t.Errorf("%s is still busy after 5 s; it is detached", dir)
		err = unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	if err != nil && err != unix.EINVAL && err != unix.ENOENT {
		t.Errorf("unmounting %s: %v", dir, err)
	}
	os.Remove(dir)
}

// KernelRoot mounts the root filesystem of an image read-only with the kernel.
func KernelRoot(t testing.TB, img Image, fstype string) string {
	t.Helper()
	if img.Format != "raw" {
		t.Fatalf("the kernel mounts raw images only, not %s", img.Format)
	}
	return KernelMount(t, img.Path, img.RootOffset, img.RootSize, fstype, "ro")
}
