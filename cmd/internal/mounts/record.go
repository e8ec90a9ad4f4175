package mounts

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Record is what a daemon says about its mount.
type Record struct {
	PID    int      `json:"pid"`
	Start  uint64   `json:"start"` // of the process, in clock ticks since boot: proc_pid_stat(5) field 22
	Mount  string   `json:"mount"` // absolute path
	Dev    uint64   `json:"dev"`   // of the mount, as stat shows it
	Images []string `json:"images"`

	Socket string `json:"-"` // where the daemon listens, if it does
}

// A Held is the record of this process. Remove it last.
type Held struct {
	file *os.File // locked
	name string
}

// dirs are the folders that may hold the record of a mount that uid made. They
// are few and named: a search through all of /tmp would ask whatever is mounted
// there, and wait for what does not answer.
func dirs(uid int) []string {
	self := os.Geteuid()
	list := []string{ownDir(self)}
	if uid >= 0 && uid != self {
		list = append(list, filepath.Join("/run/user", strconv.Itoa(uid), "guestctl/mounts"), fallbackDir(uid))
	}
	return list
}

func fallbackDir(uid int) string {
	return filepath.Join(os.TempDir(), "guestctl-"+strconv.Itoa(uid), "mounts")
}

func ownDir(uid int) string {
	if uid == 0 {
		return "/run/guestctl/mounts"
	}
	run := os.Getenv("XDG_RUNTIME_DIR")
	if run == "" {
		run = "/run/user/" + strconv.Itoa(uid)
		if !mine(run, uid) {
			return fallbackDir(uid)
		}
	}
	return filepath.Join(run, "guestctl", "mounts")
}

// mine says whether dir is a folder, no symlink, that uid owns and no other
// may write.
func mine(dir string, uid int) bool {
	var st unix.Stat_t
	return unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == uid && st.Mode&0o022 == 0
}

// Hold writes the record of this process and locks it. It fills in PID and
// Start.
func Hold(r Record) (*Held, error) {
	uid := os.Geteuid()
	dir := ownDir(uid)
	mode := os.FileMode(0o700)
	if uid == 0 {
		mode = 0o755 // the control socket of /run/guestctl is for others too
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return nil, fmt.Errorf("record of the mount: %w", err)
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if !mine(d, uid) {
			return nil, fmt.Errorf("record of the mount: %s may be written by others", d)
		}
	}
	r.PID = os.Getpid()
	var err error
	if r.Start, err = startTime(r.PID); err != nil {
		return nil, fmt.Errorf("record of the mount: %w", err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	// The name gets its suffix when the file is whole and locked.
	f, err := os.CreateTemp(dir, "mount-*.new")
	if err != nil {
		return nil, fmt.Errorf("record of the mount: %w", err)
	}
	name := strings.TrimSuffix(f.Name(), ".new") + ".json"
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		if _, err = f.Write(text); err == nil {
			err = os.Rename(f.Name(), name)
		}
	}
	if err != nil {
		os.Remove(f.Name())
		f.Close()
		return nil, fmt.Errorf("record of the mount: %w", err)
	}
	return &Held{f, name}, nil
}

// Remove removes the record and lets those who wait for it go on. A nil Held
// has none.
func (h *Held) Remove() {
	if h == nil {
		return
	}
	os.Remove(socketOf(h.name))
	os.Remove(h.name)
	h.file.Close()
}

// Socket is the place of the daemon's control socket, beside the record.
func (h *Held) Socket() string { return socketOf(h.name) }

// ID names the mount.
func (h *Held) ID() string { return strings.TrimSuffix(filepath.Base(h.name), ".json") }

func socketOf(record string) string { return strings.TrimSuffix(record, ".json") + ".sock" }

// A Found is a record that somebody wrote.
type Found struct {
	Record
	owner int // uid of who wrote it
	file  *os.File
}

// Look finds the record of a mount: nil where there is none that root or the
// user who mounted wrote.
func Look(m Mount) *Found {
	for _, dir := range dirs(m.User()) {
		for _, name := range records(dir) {
			f := open(name)
			if f == nil {
				continue
			}
			if f.Dev == m.Dev && (f.owner == 0 || m.User() == f.owner) {
				return f
			}
			f.Close()
		}
	}
	return nil
}

func records(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "mount-*.json")) // the pattern is well-formed
	return found
}

// open reads one record; nil where it cannot be read as one.
func open(name string) *Found {
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	found := &Found{file: f}
	var st unix.Stat_t
	text := make([]byte, 64<<10)
	n, _ := f.ReadAt(text, 0)
	if unix.Fstat(int(f.Fd()), &st) != nil || json.Unmarshal(text[:n], &found.Record) != nil {
		f.Close()
		return nil
	}
	found.owner = int(st.Uid)
	return found
}

// Close lets go of the record without removing it.
func (f *Found) Close() { f.file.Close() }

// Alive says whether the daemon still holds the record.
func (f *Found) Alive() bool {
	if err := syscall.Flock(int(f.file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return errors.Is(err, syscall.EWOULDBLOCK)
	}
	// The next who asks must not take our lock for the daemon's.
	_ = syscall.Flock(int(f.file.Fd()), syscall.LOCK_UN)
	return false
}

// Remove removes a record whose daemon is gone.
func (f *Found) Remove() {
	if !f.Alive() {
		os.Remove(socketOf(f.file.Name()))
		os.Remove(f.file.Name())
	}
}

// Process is a descriptor of the daemon's process that polls readable when it
// has ended; an error where it has ended already or another has its number.
func (f *Found) Process() (int, error) {
	fd, err := unix.PidfdOpen(f.PID, 0)
	if err != nil {
		return -1, err
	}
	if start, err := startTime(f.PID); err != nil || start != f.Start {
		unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

// Clean removes the records of this user whose daemons are gone and whose
// mounts are too. A record of a daemon that was killed stays as long as its
// mount point does, for guestunmount.
func Clean() {
	table, err := Table()
	if err != nil {
		return
	}
	for _, name := range records(ownDir(os.Geteuid())) {
		f := open(name)
		if f == nil {
			continue
		}
		if m, ok := On(table, f.Mount); !f.Alive() && (!ok || m.Dev != f.Dev) {
			f.Remove()
		}
		f.Close()
	}
}

// startTime is when a process started, which tells it from a later one of the
// same number.
func startTime(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The command's name stands in brackets and may hold anything.
	_, rest, _ := strings.Cut(string(text[max(0, strings.LastIndexByte(string(text), ')')):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// Mine are the records of this user's daemons that run.
func Mine() []Record {
	var list []Record
	for _, name := range records(ownDir(os.Geteuid())) {
		f := open(name)
		if f == nil {
			continue
		}
		if f.Alive() {
			if _, err := os.Lstat(socketOf(name)); err == nil {
				f.Socket = socketOf(name)
			}
			list = append(list, f.Record)
		}
		f.Close()
	}
	return list
}
