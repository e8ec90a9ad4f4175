package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
)

// A subject mounts the root filesystem of the image read-only.
type subject struct {
	name string
	// command mounts img on dir; pidFile is where it may write its daemon's process id.
	command func(img images.Image, dir, pidFile string) []string
	ours    bool // unmounted by guestunmount
	daemon  bool // a process serves it
}

// subjects are those that read a filesystem of the type.
func subjects(fstype string) []subject {
	guestmount := func(options ...string) func(images.Image, string, string) []string {
		return func(img images.Image, dir, pidFile string) []string {
			part := "/dev/sda"
			if img.RootSize > 0 {
				part = "/dev/sda2"
			}
			return append([]string{"bin/guestmount", "--ro", "--format=" + img.Format, "-a", img.Path, "-m", part, "--pid-file", pidFile, dir}, options...)
		}
	}
	ours := []subject{{"guestctl", guestmount(), true, true}, {"noxattr", guestmount("-o", "noxattr"), true, true}}
	if fstype == "ntfs" {
		return append(ours, subject{"ntfs-3g", func(img images.Image, dir, _ string) []string {
			return []string{"ntfs-3g", "-o", "ro", img.Path, dir}
		}, false, true})
	}
	part := func(img images.Image, format string) string {
		if img.RootSize == 0 {
			return ""
		}
		return fmt.Sprintf(format, img.RootOffset, img.RootSize)
	}
	all := append(ours,
		subject{"kernel", func(img images.Image, dir, _ string) []string {
			return []string{"mount", "-t", fstype, "-o", "ro,loop" + part(img, ",offset=%d,sizelimit=%d"), img.Path, dir}
		}, false, false},
		subject{"kernel-dio", func(img images.Image, dir, _ string) []string {
			return []string{"bash", "-ec", fmt.Sprintf("dev=$(losetup --find --show --read-only --direct-io=on %s '%s')\nmount -t %s -o ro $dev '%s' || { losetup -d $dev; exit 1; }\nlosetup -d $dev # once it is unmounted",
				part(img, "--offset %d --sizelimit %d"), img.Path, fstype, dir)}
		}, false, false})
	if fstype == "ext4" {
		all = append(all, subject{"fuse2fs", func(img images.Image, dir, _ string) []string {
			return []string{"fuse2fs", "-o", fmt.Sprintf("ro,offset=%d", img.RootOffset), img.Path, dir}
		}, false, true})
	}
	return all
}

// A mounted is a subject at work.
type mounted struct {
	subject
	dir string
	pid int // 0 where no process serves it

	ready, stat float64 // seconds from exec to the command's end, and to the first successful stat
}

// mount runs the subject's command and waits until a file of the guest can be seen.
func (s subject) mount(img images.Image) (*mounted, error) {
	dir, err := os.MkdirTemp("", "guestctl-bench-")
	if err != nil {
		return nil, err
	}
	m := &mounted{subject: s, dir: filepath.Join(dir, "mnt")}
	if err := os.Mkdir(m.dir, 0o755); err != nil {
		return nil, err
	}
	pidFile := filepath.Join(dir, "pid")
	before := processes(s.name)
	words := s.command(img, m.dir, pidFile)
	cmd := exec.Command(words[0], words[1:]...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	start := time.Now()
	if err := cmd.Run(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("%s: %w: %s", words[0], err, strings.TrimSpace(errs.String()))
	}
	m.ready = time.Since(start).Seconds()
	for {
		if _, err = os.Stat(filepath.Join(m.dir, "etc/fstab")); err == nil {
			break
		}
		if time.Since(start) > 30*time.Second {
			m.unmount()
			return nil, fmt.Errorf("%s: nothing to be seen after 30 s: %w", s.name, err)
		}
		time.Sleep(200 * time.Microsecond)
	}
	m.stat = time.Since(start).Seconds()
	if !s.daemon {
		return m, nil
	}
	if b, err := os.ReadFile(pidFile); err == nil {
		m.pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return m, fmt.Errorf("the pid file says %q", b)
		}
		return m, nil
	}
	for pid := range processes(s.name) {
		if !before[pid] {
			m.pid = pid
		}
	}
	return m, nil
}

// processes answers the ids of the processes of that name.
func processes(name string) map[int]bool {
	all := map[int]bool{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm")); err == nil && strings.TrimSpace(string(b)) == name {
			all[pid] = true
		}
	}
	return all
}

// unmount leaves nothing behind.
func (m *mounted) unmount() error {
	var said []byte
	var err error
	for range 20 {
		if m.ours {
			said, err = exec.Command("bin/guestunmount", m.dir).CombinedOutput()
		} else {
			said, err = exec.Command("umount", m.dir).CombinedOutput()
		}
		if err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		err = fmt.Errorf("unmounting %s: %w: %s", m.name, err, bytes.TrimSpace(said))
		if u := unix.Unmount(m.dir, unix.MNT_DETACH); u != nil {
			err = errors.Join(err, u)
		}
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); m.pid != 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if unix.Kill(m.pid, 0) == unix.ESRCH {
			break
		}
	}
	return os.RemoveAll(filepath.Dir(m.dir))
}
