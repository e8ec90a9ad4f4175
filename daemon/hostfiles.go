package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/formats/raw"
)

// An Opener opens the host's files for a Guest: itself, or by asking a process
// that may. It is safe for several goroutines.
type Opener interface {
	// Image opens an image of the Spec for reading.
	Image(ctx context.Context, path string) (*os.File, error)
	// Related opens a file that an image names, if that is allowed.
	Related(ctx context.Context, f RelatedFile) (*os.File, error)
}

// A RelatedFile is a file that an image names.
type RelatedFile struct {
	Root  string // the image of the Spec that the chain begins with
	Image string // the image that names it
	Name  string // the name, as it stands in the image
	Path  string // what it leads to from here on, symlinks not resolved
}

// HostFiles are the host's files under the rules of the package comment. It is
// an Opener.
type HostFiles struct {
	allow  []string // symlinks resolved
	within []string // nil: images may lie anywhere
	locked bool     // images that VMware has locked may be opened

	mu      sync.Mutex // guards folders; a leaf
	folders map[string][]folder
}

// NewHostFiles makes the Opener for a Spec's images. allow are the folders
// below which images may name files besides their own. Where within is not nil
// the images themselves must lie below one of its folders, symlinks resolved,
// and may name files in the folder where they really lie only.
func NewHostFiles(allow, within []string, log *slog.Logger) *HostFiles {
	h := &HostFiles{folders: map[string][]folder{}}
	resolve := func(list []string) []string {
		real := []string{}
		for _, dir := range list {
			at, err := realPath(dir)
			if err != nil {
				// A list in a configuration file names folders that this host
				// need not have. A name that is mistyped shows in the refusal.
				log.Debug("an allowed folder cannot be used", "folder", dir, "error", err)
				continue
			}
			real = append(real, at)
		}
		return real
	}
	h.allow = resolve(allow)
	if within != nil {
		h.within = resolve(within)
	}
	return h
}

// ShareLocked lets images be opened that VMware has locked. It is to be called
// before the first of them is.
func (h *HostFiles) ShareLocked() { h.locked = true }

// Image opens an image and remembers where it may name files. A
// *raw.InUseError where VMware has locked it; the locks of QEMU's kind are
// taken by whoever gets the file.
func (h *HostFiles) Image(_ context.Context, path string) (*os.File, error) {
	f, err := h.image(path, os.O_RDONLY)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return h.remember(path, f)
}

// ImageForWriting is Image for reading and writing.
func (h *HostFiles) ImageForWriting(_ context.Context, path string) (*os.File, error) {
	f, err := h.image(path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	return h.remember(path, f)
}

// remember keeps where the image path, open as f, may name files.
func (h *HostFiles) remember(path string, f *os.File) (*os.File, error) {
	if !h.locked {
		if err := lockedByVMware(path); err != nil {
			f.Close()
			return nil, err
		}
	}
	folders, err := h.foldersOf(path, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.folders[path] = folders
	return f, nil
}

// maxLocks bounds the entries of a folder of locks that are looked at.
const maxLocks = 64

// lockedByVMware says whether there are locks of VMware's beside an image: a
// folder of its name and .lck, with files that end so too, for as long as
// Workstation, Player or Fusion have a VM open that uses it.
func lockedByVMware(path string) error {
	dir := path + ".lck"
	d, err := os.Open(dir)
	if err != nil {
		return nil // most images have none
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxLocks) // none of a file
	for _, name := range names {
		if strings.HasSuffix(name, ".lck") {
			return &raw.InUseError{Path: path, Write: true, Folder: dir}
		}
	}
	return nil
}

func (h *HostFiles) image(path string, access int) (*os.File, error) {
	if h.within != nil {
		real, err := realPath(path)
		if err != nil {
			// Nobody learns of what exists elsewhere.
			if abs, aerr := filepath.Abs(path); aerr == nil && h.holds(filepath.Clean(abs)) == nil {
				return nil, &OutsideError{Path: path}
			}
			return nil, err
		}
		dir := h.holds(real)
		if dir == nil {
			return nil, &OutsideError{Path: path}
		}
		return openBeneath(dir.real, real, access)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// Asked before opening, since opening a FIFO waits and opening a tape rewinds.
	if m := st.Mode(); !m.IsRegular() && m.Type() != fs.ModeDevice {
		_, err := raw.OpenFile(path, raw.Options{}) // says what it is instead
		if err == nil {
			err = &os.PathError{Op: "open", Path: path, Err: syscall.ENOTBLK}
		}
		return nil, err
	}
	if access == os.O_RDWR && st.Mode().Type() == fs.ModeDevice {
		access |= os.O_EXCL // EBUSY where the host itself has it mounted
	}
	return os.OpenFile(path, access|syscall.O_NONBLOCK, 0)
}

// holds is the folder of within that holds the file real; nil where none does.
func (h *HostFiles) holds(real string) *folder {
	for _, dir := range h.within {
		if f := (folder{real: dir}); f.holds(real) {
			return &f
		}
	}
	return nil
}

// foldersOf are where the image path, open as f, may name files.
func (h *HostFiles) foldersOf(path string, f *os.File) ([]folder, error) {
	var folders []folder
	for _, dir := range h.allow {
		folders = append(folders, folder{real: dir})
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// A host's device is in the folder of all others, which are no business
	// of the guest whose disk it is.
	if st.Mode()&fs.ModeDevice != 0 {
		return folders, nil
	}
	real, err := realPath(path)
	if err != nil {
		return nil, err
	}
	own := []string{filepath.Dir(real)}
	if h.within == nil {
		named, err := realPath(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		own = []string{named, filepath.Dir(real)}
	}
	for _, dir := range own {
		folders = append(folders, folder{real: dir, direct: dir == "/"})
	}
	return folders, nil
}

// Related opens a file that an image names if it lies in one of the folders of
// the chain's first image, which must have been opened before.
func (h *HostFiles) Related(_ context.Context, f RelatedFile) (*os.File, error) {
	h.mu.Lock()
	folders := h.folders[f.Root]
	h.mu.Unlock()
	real, err := realPath(f.Path)
	if err != nil {
		// What is outside is refused before it is said whether it exists.
		abs, aerr := filepath.Abs(f.Path)
		if aerr != nil || within(folders, abs) == nil {
			return nil, refuse(f, f.Path)
		}
		return nil, unreadable(f.Path, err)
	}
	dir := within(folders, real)
	if dir == nil {
		return nil, refuse(f, real)
	}
	file, err := openBeneath(dir.real, real, os.O_RDONLY)
	if err != nil {
		return nil, unreadable(real, err)
	}
	return file, nil
}

func within(folders []folder, path string) *folder {
	for i := range folders {
		if folders[i].holds(path) {
			return &folders[i]
		}
	}
	return nil
}

func refuse(f RelatedFile, path string) error {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return &RefusedError{Image: f.Image, Name: f.Name, Path: path, Folder: filepath.Dir(path)}
}

// An OutsideError says that an image lies outside the folders that whoever
// asks may open images in. It unwraps to EPERM.
type OutsideError struct{ Path string }

func (e *OutsideError) Error() string { return e.Detail() + "; " + e.Remedy() }

// Detail says what was refused.
func (e *OutsideError) Detail() string {
	return fmt.Sprintf("image %q is not in a folder from which users other than the daemon's may open images", e.Path)
}

// Remedy says who can allow it.
func (e *OutsideError) Remedy() string {
	return `its administrator can add the folder to "images" in the daemon's configuration, or attach the image`
}

// Unwrap is EPERM.
func (e *OutsideError) Unwrap() error { return syscall.EPERM }

// A folder is where files that an image names may be opened.
type folder struct {
	real   string // symlinks resolved
	direct bool   // only what is directly in it
}

// holds says whether the file real, symlinks resolved, may be opened.
func (f folder) holds(real string) bool {
	if f.direct {
		return filepath.Dir(real) == f.real
	}
	return f.real == "/" || strings.HasPrefix(real, f.real+"/")
}

// openBeneath opens the file real, which is below dir, and leaves dir by no
// symlink, not even one that was put there since real was resolved.
func openBeneath(dir, real string, access int) (*os.File, error) {
	rel, err := filepath.Rel(dir, real)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	st, err := root.Lstat(rel)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() && st.Mode().Type() != fs.ModeDevice {
		return nil, &os.PathError{Op: "open", Path: real, Err: errors.New("neither a file nor a block device")}
	}
	// Not to wait, should it have become a FIFO.
	return root.OpenFile(rel, access|syscall.O_NONBLOCK, 0)
}

// realPath is the absolute path without symlinks.
func realPath(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(real)
}
