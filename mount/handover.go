package mount

import (
	"context"
	"strconv"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/vfs"
)

// Attach makes the mount at dir, which nothing serves yet: requests wait. It answers the descriptor that they come from,
// which is the caller's, to be handed to Serve in this process or another, and dir as the kernel names it. When the last
// copy of the descriptor is closed the mount is dead.
func Attach(ctx context.Context, dir string, opt Options) (fd int, at string, err error) {
	at, err = mountPoint(dir)
	if err != nil {
		return -1, "", err
	}
	fd, err = attach(ctx, at, opt.withDefaults())
	return fd, at, err
}

// Serve answers the requests of a mount that Attach made at dir, with the same options. It returns when the mount answers.
// With opt.Apart it returns before that, and whoever called Attach calls Greet. It owns fd from here on; where it fails the
// mount is gone, or, apart, to be taken away by Clear.
func Serve(fd int, dir string, ns *vfs.Namespace, opt Options) (*Server, error) {
	opt = opt.withDefaults()
	m := newFileSystem(ns, dir, opt)
	conn, err := fuse.NewServer(m, "/dev/fd/"+strconv.Itoa(fd), m.serverOptions())
	if err != nil {
		if !opt.Apart {
			detach(dir, true)
		}
		return nil, &Error{Op: "mount", Dir: dir, Err: err}
	}
	s := &Server{dir: dir, fs: m, done: make(chan struct{})}
	m.start(conn)
	go func() {
		defer close(s.done)
		conn.Serve()
		m.stop()
	}()
	if opt.Apart {
		return s, nil
	}
	if err := Greet(dir, opt); err != nil {
		s.Detach()
		return nil, &Error{Op: "mount", Dir: dir, Detail: "the new mount does not answer", Err: err}
	}
	return s, nil
}

// Clear takes a mount out of the tree whose server is gone or hangs, though it be in use. Where nothing is mounted it
// does nothing.
func Clear(dir string) error {
	if err := detach(dir, true); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return err
	}
	return nil
}
