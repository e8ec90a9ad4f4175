package mount

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/vfs"
)

// A Server is one mount.
type Server struct {
	dir  string
	fs   *fileSystem
	done chan struct{} // closed when no request is served any more
}

// Mount shows ns at dir. It returns when the kernel has the mount and it answers. ctx is for mounting only; the mount
// lives until Unmount, or until someone else unmounts it, which Wait tells. The namespace is borrowed and must stay as
// it is: what the kernel was told is not taken back.
func Mount(ctx context.Context, dir string, ns *vfs.Namespace, opt Options) (*Server, error) {
	opt = opt.withDefaults()
	dir, err := mountPoint(dir)
	if err != nil {
		return nil, err
	}
	if _, err := ns.Inode(ctx, ns.Cross(ns.Root())); err != nil {
		return nil, fmt.Errorf("mount %q: %w", dir, err)
	}
	fd, err := attach(ctx, dir, opt)
	if err != nil {
		return nil, err
	}
	return Serve(fd, dir, ns, opt)
}

// serverOptions are go-fuse's. It does not mount: it takes the descriptor.
func (m *fileSystem) serverOptions() *fuse.MountOptions {
	acl := m.opt.DefaultPermissions && m.xattrs
	return &fuse.MountOptions{
		Name:          m.opt.Subtype,
		FsName:        m.opt.FSName,
		MaxBackground: m.opt.MaxBackground,
		MaxWrite:      maxRequest, // of READs too
		DisableXAttrs: !m.xattrs,
		DisableSplice: true,
		EnableAcl:     acl,
		// The page cache is right for as long as the mount lives.
		ExplicitDataCacheControl: true,
		EnableSymlinkCaching:     true,
		ExtraCapabilities:        m.capabilities(),
		Logger:                   slog.NewLogLogger(m.opt.Log.Handler(), slog.LevelDebug),
		PanicHandler:             m.panicked,
	}
}

// capabilities are those that go-fuse does not ask for by itself. The umask is applied here, since a default ACL takes its
// place. Set-ID bits are cleared here, since else the kernel asks for a file's capabilities before each write.
func (m *fileSystem) capabilities() uint64 {
	all := uint64(fuse.CAP_EXPORT_SUPPORT)
	if m.writable {
		all |= fuse.CAP_DONT_MASK | fuse.CAP_HANDLE_KILLPRIV_V2
	}
	if !m.live {
		all |= fuse.CAP_NO_OPENDIR_SUPPORT
	}
	return all
}

// panicked answers for a request whose handler panicked.
func (m *fileSystem) panicked(cause any) fuse.Status {
	m.faults.log(fmt.Sprintf("a request failed by a mistake in this program: %v", cause), "stack", string(debug.Stack()))
	return fuse.EIO
}

// pollProbe is a name that go-fuse answers itself, so that the kernel learns that there is no poll(2) here before a Go
// program, this one included, opens a file.
const pollProbe = ".go-fuse-epoll-hack"

// Greet waits for the first answer of the mount at dir, which was made with opt, and sets its read-ahead.
func Greet(dir string, opt Options) error {
	opt = opt.withDefaults()
	fd, err := unix.Open(filepath.Join(dir, pollProbe), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		unix.Close(fd)
	case unix.EACCES:
		// A guest whose root nobody but its owner may search has answered too.
	default:
		return err
	}
	if opt.ReadAhead > 0 && os.Geteuid() == 0 {
		setReadAhead(dir, opt)
	}
	return nil
}

// setReadAhead raises what the kernel reads ahead in a file: it offers a FUSE server 128 KiB and lets root have more.
func setReadAhead(dir string, opt Options) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return
	}
	knob := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	if err := os.WriteFile(knob, []byte(strconv.Itoa(opt.ReadAhead>>10)), 0); err != nil {
		opt.Log.Debug("read-ahead stays at the kernel's default", "knob", knob, "err", err)
	}
}

// Dir is where the mount is: absolute, without symlinks.
func (s *Server) Dir() string { return s.dir }

// Wait returns when the mount is gone and no request is served any more.
func (s *Server) Wait() error {
	<-s.done
	return nil
}

// Done is closed when Wait would return.
func (s *Server) Done() <-chan struct{} { return s.done }

const (
	// unmountTries and unmountDelay bound how long Unmount waits for a mount in use: about 1.3 s.
	unmountTries = 9
	unmountDelay = 5 * time.Millisecond
	// releaseWait bounds how long it then waits for the kernel to let go: another mount namespace may hold a copy.
	releaseWait = 10 * time.Second
)

// Unmount takes the mount away and waits until the last request is served. A mount in use is tried again for about a
// second and then is an *Error with Reason Busy; one that lives on in another mount namespace is Held. Unmounting what is gone is no error.
func (s *Server) Unmount() error { return Unmount(s.dir, s.gone) }

// Unmount is Server.Unmount for the mount at dir, whose server need not be in this process: gone says whether its last
// request is served, at the latest after wait.
func Unmount(dir string, gone func(wait time.Duration) bool) error {
	busy := &Error{Op: "unmount", Dir: dir, Reason: Busy, Err: syscall.EBUSY}
	delay := unmountDelay
	for try := 1; ; try++ {
		if gone(0) {
			return nil
		}
		err := detach(dir, false)
		if err == nil {
			if !gone(releaseWait) {
				busy.Reason = Held
				return busy
			}
			return nil
		}
		// EINVAL is that nothing is mounted there: someone detached it lazily, and it is still in use.
		if err != unix.EBUSY && err != unix.EINVAL {
			return err
		}
		if try == unmountTries {
			return busy
		}
		gone(delay)
		delay *= 2
	}
}

// gone says whether the last request is served, at the latest after wait.
func (s *Server) gone(wait time.Duration) bool {
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-s.done:
		case <-t.C:
		}
	}
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Detach takes the mount out of the tree at once, though it be in use; those who use it may go on. Wait tells when the
// last of them is gone.
func (s *Server) Detach() error {
	if s.gone(0) {
		return nil
	}
	if err := detach(s.dir, true); err != nil && err != unix.EINVAL {
		return err
	}
	return nil
}

// Stats says what the mount has done so far.
func (s *Server) Stats() Stats { return s.fs.stats() }
