// Package differential compares what our mount shows with what others read
// from the same image: the kernel's own drivers through a loop mount, debugfs
// for what this kernel cannot mount, the kernel's replay of a copy for what was
// not unmounted cleanly.
package differential

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
)

func TestMain(m *testing.M) { os.Exit(commands.Main(m)) }

// walk writes down a mounted tree.
func walk(t *testing.T, dir string) manifest.Manifest {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	m, err := manifest.Walk(ctx, dir, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// same fails the test where two trees differ.
func same(t *testing.T, want, got manifest.Manifest, fields manifest.Field) {
	t.Helper()
	if len(want) < 2 {
		t.Fatalf("the oracle sees %d entries: it is broken", len(want))
	}
	if lines, n := manifest.Diff(want, got, fields, 20); n > 0 {
		t.Errorf("%d differences:\n%s", n, strings.Join(lines, "\n"))
	}
}

// whole mounts an image that is one filesystem.
func whole(t *testing.T, img images.Image, args ...string) *commands.Mount {
	t.Helper()
	m, _ := commands.Start(t, commands.Self, append([]string{"--ro", "-a", img.Path, "-m", "/dev/sda"}, args...)...)
	return m
}

// root mounts the root filesystem of a guest's disk, as the view of -m has it.
func root(t *testing.T, img images.Image) *commands.Mount {
	t.Helper()
	m, _ := commands.Start(t, commands.Self, "--ro", "-a", img.Path, "-m", "/dev/sda2")
	return m
}

// hash is the SHA-256 of those blocks of a file that are not all zero, with their places. What SEEK_DATA skips is zero; it
// may skip less the second time, since a page that somebody has read counts as data.
func hash(t *testing.T, name string) string {
	t.Helper()
	const block = 64 << 10
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, zero, buf := sha256.New(), make([]byte, block), make([]byte, block)
	for at := int64(0); ; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return string(h.Sum(nil))
		} else if err != nil {
			t.Fatal(err)
		}
		hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			t.Fatal(err)
		}
		for at = data / block * block; at < hole; at += block {
			n, err := f.ReadAt(buf, at)
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
			if !bytes.Equal(buf[:n], zero[:n]) {
				fmt.Fprintln(h, at, n)
				h.Write(buf[:n])
			}
		}
	}
}
