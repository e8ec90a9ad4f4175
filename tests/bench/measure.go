package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropCaches empties the page, dentry and inode caches.
func dropCaches() error {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// touchTools brings back what dropping the caches evicted of the programs to be measured.
func touchTools() {
	for _, line := range []string{"find /dev/null", "ls -l /dev/null", "tar --version", "grep -r x /dev/null", "cat /dev/null", "dd if=/dev/null", "sha256sum /dev/null",
		"xargs --version", "fio --version", "mount --version", "umount --version", "bash -c true",
		"bin/guestmount --version", "bin/guestunmount --help", "bin/guestctl --version", "bin/guestctld --version", "fuse2fs --version", "ntfs-3g --version", "fusermount3 --version", "qemu-img --version"} {
		words := strings.Fields(line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stdin = nil
		_ = cmd.Run() // only the reading of the program matters
	}
}

// cacheImage reads what is not a hole of the file, and says how much of that the page cache then holds, 0 to 1.
func cacheImage(path string) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var data int64
	for at := int64(0); ; {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		} else if err != nil {
			return 0, err
		}
		if at, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE); err != nil {
			return 0, err
		}
		n, err := io.Copy(io.Discard, io.NewSectionReader(f, start, at-start))
		if err != nil {
			return 0, err
		}
		data += n
	}
	// cachestat(2), Linux 6.5: nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted.
	const cachestat = 451
	var span [2]uint64
	var stat [5]uint64
	if _, _, errno := unix.Syscall6(cachestat, f.Fd(), uintptr(unsafe.Pointer(&span)), uintptr(unsafe.Pointer(&stat)), 0, 0, 0); errno != 0 {
		return 1, nil // an older kernel does not say
	}
	return min(1, float64(stat[0])*float64(os.Getpagesize())/float64(data)), nil
}

// timed runs a shell command, its output thrown away, and answers the seconds it took. A command that fails fails the row.
func timed(command string) (float64, error) {
	cmd := exec.Command("bash", "-o", "pipefail", "-c", command)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start).Seconds()
	if err != nil {
		said := strings.TrimSpace(errs.String())
		if len(said) > 300 {
			said = said[:300] + "..."
		}
		return 0, fmt.Errorf("%s: %w: %s", command, err, said)
	}
	return took, nil
}

// output runs a shell command and answers what it printed.
func output(command string) (string, error) {
	cmd := exec.Command("bash", "-o", "pipefail", "-c", command)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(errs.String()))
	}
	return string(b), nil
}

// memory answers the resident set of a process now and at its largest, in MB.
func memory(pid int) (now, peak float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch name {
		case "VmRSS":
			now = kb / 1024
		case "VmHWM":
			peak = kb / 1024
		}
	}
	return now, peak, nil
}

// processorTime answers the seconds of processor that a process has used.
func processorTime(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// Fields 14 and 15, in ticks of 1/100 s; the second field may hold spaces and ends with a bracket.
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100, nil
}
