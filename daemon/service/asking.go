package service

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
)

// An ask is what a worker asks the broker for: one descriptor.
type ask struct {
	Kind  string              `json:"kind"`            // "image", "related", "fuse"
	Guest string              `json:"guest,omitempty"` // id of the image set
	Path  string              `json:"path,omitempty"`  // image
	File  *daemon.RelatedFile `json:"file,omitempty"`  // related
	Mount string              `json:"mount,omitempty"` // fuse: id of the mount
}

// An answer comes with the descriptor, or with why there is none.
type answer struct {
	Name    string       `json:"name,omitempty"` // of the file
	Problem *api.Problem `json:"problem,omitempty"`
}

// An asker is the worker's side. It asks one thing at a time.
type asker struct {
	mu   sync.Mutex // held while an answer is awaited; a leaf
	conn *net.UnixConn
}

func (a *asker) ask(q ask) (fd int, name string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := send(a.conn, q, -1); err != nil {
		return -1, "", err
	}
	var got answer
	fd, err = receive(a.conn, &got)
	if err != nil {
		return -1, "", err
	}
	if got.Problem != nil {
		closeFD(fd)
		return -1, "", got.Problem
	}
	return fd, got.Name, nil
}

// guestFiles is the Opener of one image set in a worker.
type guestFiles struct {
	*asker
	guest string
}

func (g guestFiles) Image(_ context.Context, path string) (*os.File, error) {
	return g.file(ask{Kind: "image", Guest: g.guest, Path: path})
}

func (g guestFiles) Related(_ context.Context, f daemon.RelatedFile) (*os.File, error) {
	return g.file(ask{Kind: "related", Guest: g.guest, File: &f})
}

func (g guestFiles) file(q ask) (*os.File, error) {
	fd, name, err := g.ask(q)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// answerTimeout bounds how long a worker may take to receive an answer.
const answerTimeout = 10 * time.Second

// answerAll is the broker's side: it answers until the worker is gone. What
// open gives is closed when it is sent.
func answerAll(conn *net.UnixConn, open func(ask) (*os.File, error)) {
	for {
		var q ask
		fd, err := receive(conn, &q)
		closeFD(fd) // a worker has nothing to give
		if err != nil {
			return
		}
		f, err := open(q)
		var a answer
		fd = -1
		if err != nil {
			a.Problem = problemOf(err)
		} else {
			a.Name, fd = f.Name(), int(f.Fd())
		}
		_ = conn.SetWriteDeadline(time.Now().Add(answerTimeout)) // a connection has deadlines
		err = send(conn, a, fd)
		if f != nil {
			f.Close()
		}
		if err != nil {
			return
		}
	}
}
