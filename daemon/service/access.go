package service

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/daemon/api"
)

// A Peer is the process at the other end of the control socket, as the kernel
// knew it when it connected (SO_PEERCRED, unix(7)).
type Peer struct{ UID, GID, PID int }

// peerOf asks the kernel who is at the other end.
func peerOf(c *net.UnixConn) (Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	var cerr error
	err = raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err == nil {
		err = cerr
	}
	if err != nil {
		return Peer{}, err
	}
	return Peer{UID: int(cred.Uid), GID: int(cred.Gid), PID: int(cred.Pid)}, nil
}

// mayWrite says whether a peer may do what changes the host or takes something
// from others: root and whoever runs the daemon.
func (p Peer) mayWrite() bool { return p.UID == 0 || p.UID == os.Geteuid() }

// access is the word for it.
func (p Peer) access() string {
	if p.mayWrite() {
		return "write"
	}
	return "read"
}

// needWrite refuses who may not.
func (p Peer) needWrite(what string) error {
	if p.mayWrite() {
		return nil
	}
	return api.NewProblem(http.StatusForbidden, api.CodeForbidden,
		fmt.Sprintf("user %d may read through this socket, and may not %s", p.UID, what),
		"root and the daemon's own user may; run the command with sudo, or a daemon of your own")
}

// needOwn refuses who neither owns something nor may write.
func (p Peer) needOwn(owner int, what string) error {
	if p.UID == owner {
		return nil
	}
	return p.needWrite(what)
}

type peerKey struct{}

func withPeer(ctx context.Context, p Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// peerFrom is who sent the request that ctx is of; nobody has no rights.
func peerFrom(ctx context.Context) Peer {
	p, ok := ctx.Value(peerKey{}).(Peer)
	if !ok {
		return Peer{UID: -1, GID: -1}
	}
	return p
}
