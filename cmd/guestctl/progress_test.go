package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY is a pseudo-terminal: what is written to the terminal is read from
// the master.
func openPTY(t testing.TB) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err) // a container without /dev/pts
	}
	t.Cleanup(func() { terminal.Close() })
	return master, terminal
}

// A seen collects what a terminal or a pipe showed.
type seen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *seen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// slowTar runs tar into a pipe that nobody reads before ready says so, and
// answers what came out of it.
func slowTar(t *testing.T, stderr *os.File, ready func() bool, argv ...string) (status, size int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ended := make(chan int)
	go func() {
		status := run(context.WithoutCancel(t.Context()), append([]string{"tar"}, argv...), w, stderr)
		w.Close()
		ended <- status
	}()
	// The pipe holds less than the archive, so that tar is not done before it is read.
	for end := time.Now().Add(30 * time.Second); !ready() && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return <-ended, len(b)
}

// TestProgress has a command take more than a second, its stderr being a
// terminal, a pipe, and a terminal with -q.
func TestProgress(t *testing.T) {
	dir := clones(t)
	image := dir + "/base.img"
	t.Run("terminal", func(t *testing.T) {
		master, terminal := openPTY(t)
		shown := &seen{}
		go io.Copy(shown, master)
		status, size := slowTar(t, terminal, func() bool { return strings.Contains(shown.String(), "archived [") }, image)
		if status != exitDone || size < bigSize {
			t.Errorf("status %d, %d bytes", status, size)
		}
		line, _, _ := strings.Cut(strings.TrimPrefix(shown.String(), "\r\x1b[K"), "\r")
		if !strings.HasPrefix(line, "archived [") || !strings.Contains(line, "% ") || !strings.HasSuffix(line, "/s") {
			t.Errorf("no bar: %q", line)
		}
		for end := time.Now().Add(10 * time.Second); !strings.HasSuffix(shown.String(), "\r\x1b[K") && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if !strings.HasSuffix(shown.String(), "\r\x1b[K") {
			t.Errorf("the line is left: %q", shown.String())
		}
	})
	quiet := func(t *testing.T, stderr *os.File, from *os.File, argv ...string) {
		shown := &seen{}
		go io.Copy(shown, from)
		start := time.Now()
		if status, _ := slowTar(t, stderr, func() bool { return time.Since(start) > 2*progressAfter }, argv...); status != exitDone || shown.String() != "" {
			t.Errorf("status %d, shown %q", status, shown.String())
		}
	}
	t.Run("pipe", func(t *testing.T) {
		t.Parallel()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		quiet(t, w, r, image)
	})
	t.Run("quiet", func(t *testing.T) {
		t.Parallel()
		master, terminal := openPTY(t)
		quiet(t, terminal, master, "-q", image)
	})
}

func TestProgressLine(t *testing.T) {
	p := &progress{what: "copied"}
	p.add(3 << 20)
	if got := p.line(2 * time.Second); got != "copied 3.0M, 1.5M/s" {
		t.Errorf("%q", got)
	}
	p.expect(12 << 20)
	if got := p.line(2 * time.Second); got != "copied [======                  ] 25% 3.0M of 12M, 1.5M/s" {
		t.Errorf("%q", got)
	}
	p.add(20 << 20) // more than was expected: no bar that is wrong
	if got := p.line(time.Second); got != "copied 23M, 23M/s" {
		t.Errorf("%q", got)
	}
	n := &progress{what: "files", plain: true}
	n.total.Store(8)
	n.add(8)
	if got := n.line(time.Second); got != "files [========================] 100% 8 of 8" {
		t.Errorf("%q", got)
	}
}

// TestColors colours a terminal's diff, unless NO_COLOR or TERM say otherwise.
func TestColors(t *testing.T) {
	image := demoImage(t)
	t.Setenv("TERM", "xterm")
	for _, c := range []struct {
		name, value string
		want        bool
	}{{"NO_COLOR", "", true}, {"NO_COLOR", "1", false}, {"TERM", "dumb", false}} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			t.Setenv(c.name, c.value)
			master, terminal := openPTY(t)
			shown := &seen{}
			go io.Copy(shown, master)
			if status := run(t.Context(), []string{"diff", image + ":/etc/ssh", image + ":/srv/www"}, terminal, io.Discard); status != diffDiffers {
				t.Errorf("status %d", status)
			}
			for end := time.Now().Add(10 * time.Second); !strings.Contains(shown.String(), "page-19") && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			if got := strings.Contains(shown.String(), "\x1b["); got != c.want {
				t.Errorf("coloured %v: %q", got, shown.String())
			}
		})
	}
}
