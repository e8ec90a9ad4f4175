package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxMessage bounds one message between the broker and a worker, in bytes.
const maxMessage = 128 << 10

// socketPair makes two connected sockets that keep messages apart
// (SOCK_SEQPACKET) or not (SOCK_STREAM).
func socketPair(kind int) (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "socketpair")
	ours, err = unixConn(os.NewFile(uintptr(fds[0]), "socketpair"))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// unixConn makes a connection of a socket, which it takes.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("not a unix socket")
	}
	return u, nil
}

// send sends one message, with a descriptor where fd is not negative.
func send(c *net.UnixConn, message any, fd int) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return fmt.Errorf("a message of %d bytes: %w", len(b), unix.EMSGSIZE)
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	_, _, err = c.WriteMsgUnix(b, rights, nil)
	return err
}

// receive receives one message; fd is -1 where none came with it. io.EOF when
// the other end is closed.
func receive(c *net.UnixConn, message any) (fd int, err error) {
	b := make([]byte, maxMessage)
	control := make([]byte, unix.CmsgSpace(4*4))
	n, cn, flags, _, err := c.ReadMsgUnix(b, control)
	if err != nil {
		return -1, err
	}
	fd = -1
	if cn > 0 {
		messages, err := unix.ParseSocketControlMessage(control[:cn])
		if err != nil {
			return -1, err
		}
		for i := range messages {
			fds, err := unix.ParseUnixRights(&messages[i])
			if err != nil {
				return -1, err
			}
			for _, got := range fds {
				unix.CloseOnExec(got)
				if fd >= 0 {
					unix.Close(got)
					continue
				}
				fd = got
			}
		}
	}
	if n == 0 {
		closeFD(fd)
		return -1, io.EOF
	}
	if flags&unix.MSG_TRUNC != 0 {
		closeFD(fd)
		return -1, unix.EMSGSIZE
	}
	if err := json.Unmarshal(b[:n], message); err != nil {
		closeFD(fd)
		return -1, err
	}
	return fd, nil
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}
