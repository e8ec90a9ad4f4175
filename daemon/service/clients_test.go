package service_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/client"
	"github.com/guestctl/guestctl/daemon/service"
)

// A client that says nothing, or says nonsense, or does not read, hurts nobody.
func TestBadClients(t *testing.T) {
	d := start(t, func(c *service.Config) {
		c.StallTimeout = service.Duration(200 * time.Millisecond)
		c.Operations = 2
	})
	img := attach(t, d, small(t))
	var open []net.Conn
	for i := range 30 {
		c, err := net.Dial("unix", d.socket)
		must(t, err)
		open = append(open, c)
		switch i % 3 {
		case 0: // silent
		case 1:
			_, err = c.Write([]byte("\x00\xff\x16\x03\x01 garbage\r\n\r\n" + strings.Repeat("x", 1<<16)))
		case 2: // asks for much, again and again, and reads nothing
			for range 20 {
				_, err = fmt.Fprintf(c, "GET /v1/images/%s/files/archive HTTP/1.1\r\nHost: x\r\n\r\n", img.ID)
			}
		}
		if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
	}
	for range 20 {
		var b bytes.Buffer
		must(t, d.Read(t.Context(), img.ID, "/etc/hostname", &b))
		if b.String() != "guest\n" {
			t.Errorf("read %q", b.String())
		}
	}
	for _, c := range open {
		c.Close()
	}
	eventually(t, "nobody uses the image", func() bool { i, err := d.Image(t.Context(), img.ID); return err == nil && i.Users == 0 })
}

// A user with too many connections keeps himself out; when he closes them he
// is let in again.
func TestConnectionLimit(t *testing.T) {
	d := start(t, func(c *service.Config) { c.Connections = 4 })
	var open []net.Conn
	for range 8 {
		c, err := net.Dial("unix", d.socket)
		must(t, err)
		open = append(open, c)
	}
	one := make([]byte, 1)
	must(t, open[7].SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := open[7].Read(one); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection beyond the limit was not closed: %v", err)
	}
	for _, c := range open {
		c.Close()
	}
	eventually(t, "a place is free", func() bool { _, err := d.Health(t.Context()); return err == nil })
}

func TestConcurrentClients(t *testing.T) {
	d := start(t)
	path := small(t)
	img := attach(t, d, path)
	rounds := func(begun time.Time, n int) bool { return n < 4 }
	if os.Getenv("GUESTCTL_LONG") != "" {
		rounds = func(begun time.Time, _ int) bool { return time.Since(begun) < time.Minute }
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			c := client.New(d.socket)
			defer c.Close()
			begun := time.Now()
			for i := 0; rounds(begun, i); i++ {
				other, err := c.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: path}}})
				if err != nil || other.ID != img.ID {
					t.Errorf("attach: %v %s", err, other.ID)
					return
				}
				var b bytes.Buffer
				if err := c.Read(t.Context(), img.ID, "/home/a/deep/two", &b); err != nil || b.String() != guestFiles["home/a/deep/two"] {
					t.Errorf("read: %v, %d bytes", err, b.Len())
				}
				n := 0
				if err := c.Find(t.Context(), img.ID, api.FindQuery{MaxDepth: -1, Type: "f"}, nil, func(api.File) error { n++; return nil }); err != nil || n != 8 {
					t.Errorf("find: %v, %d files", err, n)
				}
				if err := c.Detach(t.Context(), img.ID, false); err != nil {
					t.Errorf("detach: %v", err)
				}
			}
		})
	}
	wg.Wait()
	r, err := d.Image(t.Context(), img.ID)
	must(t, err)
	if r.References != 1 || r.Users != 0 {
		t.Errorf("left: %+v", r)
	}
}
