package qcow2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/qcow2"
	"github.com/guestctl/guestctl/tests/images"
)

// TestConcurrentWriters has writers on parts of one disk that share clusters
// and tables, with readers and Syncs among them.
func TestConcurrentWriters(t *testing.T) {
	for _, c := range []writeCase{
		{options: "compat=1.1,cluster_size=4096", cluster: 4096, base: "raw", baseSize: 1 << 20, snapshot: true},
		{options: "compat=0.10", cluster: 65536, packed: true, snapshot: true},
		{options: "extended_l2=on,cluster_size=16384", cluster: 16384, base: "raw", baseSize: 1 << 20},
	} {
		t.Run(c.options, func(t *testing.T) {
			ctx := context.Background()
			const writers, part = 8, 150_000 // no boundary of anything
			path, m := c.make(t, t.TempDir(), 2<<20, 9)
			s := openWrite(t, path)
			var wg sync.WaitGroup
			for g := range writers {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(g), 1))
					mine := m.disk[g*part : (g+1)*part]
					for range 80 {
						off := r.IntN(part - 1)
						n := 1 + r.IntN(min(part-off, 30_000))
						at := int64(g*part + off)
						var err error
						switch r.IntN(8) {
						case 0:
							err = s.Sync(ctx)
						case 1, 2:
							clear(mine[off : off+n])
							err = s.Zero(ctx, at, int64(n))
						case 3, 4, 5:
							b := bytes.Repeat([]byte{byte(r.Uint32())}, n)
							copy(mine[off:], b)
							_, err = s.WriteAt(ctx, b, at)
						default:
							b := make([]byte, n)
							if err = block.ReadFull(ctx, s, b, at); err == nil && !bytes.Equal(b, mine[off:off+n]) {
								err = fmt.Errorf("%d bytes at %d differ", n, at)
							}
						}
						if err != nil {
							t.Errorf("writer %d: %v", g, err)
							return
						}
					}
				})
			}
			wg.Go(func() { // of all of it: whatever it reads, it must not fail
				b := make([]byte, 300_000)
				for off := int64(0); off < 2<<20-300_000; off += 50_000 {
					if err := block.ReadFull(ctx, s, b, off); err != nil {
						t.Error(err)
					}
					if _, err := s.Locate(ctx, off, 300_000); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Wait()
			blocktest.Run(t, s, m.disk)
			s.close()
			check(t, path)
			differs(t, "read by QEMU", formattest.Convert(t, path, "qcow2"), m.disk)
		})
	}
}

// TestRunsStayValid takes where bytes lie and writes elsewhere in their cluster.
func TestRunsStayValid(t *testing.T) {
	ctx := context.Background()
	c := writeCase{options: "compat=1.1", cluster: 65536, base: "raw", baseSize: 1 << 20, snapshot: true}
	path, m := c.make(t, t.TempDir(), 2<<20, 4)
	s := openWrite(t, path)
	defer s.close()
	type kept struct {
		off int64
		block.Run
	}
	var runs []kept
	for off := int64(0); off < 2<<20; off += 65536 {
		run, err := s.Locate(ctx, off, 4096)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, kept{off, run})
	}
	for off := int64(8192); off < 2<<20; off += 65536 {
		if _, err := s.WriteAt(ctx, []byte("elsewhere"), off); err != nil {
			t.Fatal(err)
		}
		if err := s.Zero(ctx, off+4096, 8192); err != nil {
			t.Fatal(err)
		}
		if off%3 == 0 {
			if err := s.Sync(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range runs {
		b := make([]byte, r.Len)
		if r.Kind == block.Data {
			if _, err := r.File.ReadAt(b, r.Off); err != nil {
				t.Fatal(err)
			}
		}
		if r.Kind != block.Opaque && !bytes.Equal(b, m.disk[r.off:r.off+r.Len]) {
			t.Errorf("the run at %d is not valid any more", r.off)
		}
	}
}

func TestWritableIsRefused(t *testing.T) {
	good := image(t, "compat=1.1")
	for _, c := range []struct {
		name string
		b    []byte
		opt  formats.Options
		text string
	}{
		{"corrupt", put(good, 72, 8, 2), formats.Options{}, "marked corrupt"},
		{"unknown", put(good, 72, 8, 1<<9), formats.Options{}, "incompatible feature bit 9"},
		{"LUKS", put(good, 32, 4, 2), formats.Options{}, "LUKS encryption"},
		{"AES", put(good, 32, 4, 1), formats.Options{}, "AES encryption"},
		{"snapshot", good, formats.Options{Snapshot: "before"}, "internal snapshot"},
	} {
		c.opt.Writable = true
		if _, err := openBytes(c.b, c.opt); !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// What cannot be written to.
	_, err := qcow2.Format().Open(context.Background(), blocktest.NewFaulty(blocktest.NewMemory(good)), formats.Options{Writable: true})
	if !errors.Is(err, syscall.EROFS) {
		t.Errorf("%v", err)
	}
}

// TestOpenedAndClosedIsUnchanged opens for writing, reads, and closes.
func TestOpenedAndClosedIsUnchanged(t *testing.T) {
	good := image(t, "compat=1.1")
	rec := blocktest.NewRecorder(blocktest.NewMemory(good))
	images, err := qcow2.Format().Open(context.Background(), rec, formats.Options{Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, images[0])
	if err := images[0].Close(); err != nil {
		t.Fatal(err)
	}
	if images[0].Close() == nil {
		t.Error("closed twice")
	}
	if n := len(rec.Ops()); n != 0 {
		t.Errorf("%d writes", n)
	}
	if _, err := images[0].(block.Writer).WriteAt(context.Background(), []byte{1}, 0); err == nil {
		t.Error("written after Close")
	}
}

// TestFeaturesOfOthers has bitmaps and autoclear bits that a writer must mind.
func TestFeaturesOfOthers(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.qcow2")
	create(t, path, "compat=1.1,cluster_size=4096", 4<<20)
	qemuIO(t, path, "write -P 5 0 100k")
	formattest.Do(t, dir, "qemu-img", "bitmap", "--add", path, "follows")
	formattest.Do(t, dir, "qemu-img", "bitmap", "--add", "--disable", path, "stands")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if get8(b, 88) != 1 {
		t.Fatalf("autoclear bits %#x", get8(b, 88))
	}
	writeRaw(t, dir, "disk.qcow2", put(b, 88, 8, 1|1<<9)) // and one that nobody knows
	s := openWrite(t, path)
	if _, err := s.WriteAt(ctx, bytes.Repeat([]byte{7}, 200_000), 50_000); err != nil {
		t.Fatal(err)
	}
	s.close()
	check(t, path)
	if b, err = os.ReadFile(path); err != nil || get8(b, 88) != 1 {
		t.Errorf("autoclear bits %#x, %v", get8(b, 88), err)
	}
	out := formattest.Do(t, dir, "qemu-img", "info", "--output=json", path)
	follows, stands, _ := strings.Cut(out[strings.Index(out, "bitmaps"):], `"stands"`)
	if !strings.Contains(out, `"follows"`) || strings.Count(follows+stands, `"in-use"`) != 1 {
		t.Errorf("%s", out)
	}
	formattest.Do(t, dir, "qemu-img", "bitmap", "--remove", path, "follows")
	check(t, path)

	// A crash leaves the bitmaps' clusters counted when we repair.
	s = openWrite(t, path)
	if _, err := s.WriteAt(ctx, bytes.Repeat([]byte{8}, 500_000), 1_000_000); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(path); err != nil || !dirty(b) {
		t.Fatalf("not dirty, %v", err)
	}
	s.close()
	writeRaw(t, dir, "disk.qcow2", b)
	openWrite(t, path).close()
	check(t, path)
}

// TestRepairMatchesQEMU repairs images whose writer was killed: QEMU with lazy
// counts, and one with wrong counts and flags everywhere.
func TestRepairMatchesQEMU(t *testing.T) {
	for _, options := range []string{"lazy_refcounts=on", "lazy_refcounts=on,cluster_size=512", "lazy_refcounts=on,extended_l2=on", "lazy_refcounts=on,cluster_size=4096,refcount_bits=64"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "disk.qcow2")
		create(t, path, options, 3<<20)
		qemuIO(t, path, "write -P 9 0 300k")
		formattest.Do(t, dir, "qemu-img", "snapshot", "-c", "before", path)
		// abort dies at once.
		qemuFails(t, "qemu-io", "-f", "qcow2", "-c", "write -P 3 200k 1M", "-c", "flush", "-c", "abort", path)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !dirty(b) {
			t.Fatalf("%s: QEMU left a clean image", options)
		}
		want := formattest.Convert(t, path, "qcow2")
		openWrite(t, path).close()
		check(t, path)
		differs(t, options, formattest.Convert(t, path, "qcow2"), want)

		// All counts and flags wrong.
		if b, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		b[79] |= 1
		refs := int(get8(b, int(get8(b, 48))))
		r := rand.New(rand.NewPCG(1, 6))
		for i := range 100 {
			b[refs+i] = byte(r.Uint32())
		}
		l1 := int(get8(b, 40))
		b[l1] ^= 0x80
		l2 := int(get8(b, l1) & 0x00fffffffffffe00)
		b[l2+32] ^= 0x80
		writeRaw(t, dir, "disk.qcow2", b)
		openWrite(t, path).close()
		check(t, path)
		differs(t, options, formattest.Convert(t, path, "qcow2"), want)
	}
}

// TestHostIsFull writes to an image on a filesystem without room.
func TestHostIsFull(t *testing.T) {
	images.NeedRoot(t)
	ctx := context.Background()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", dir).CombinedOutput(); err != nil {
		images.Lack(t, "cannot mount a tmpfs: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	path := filepath.Join(dir, "disk.qcow2")
	create(t, path, "compat=1.1,cluster_size=4096", 16<<20)
	s := openWrite(t, path)
	want := make([]byte, 16<<20)
	b := make([]byte, 300_000)
	full := 0
	for off := 0; off < len(want)-len(b); off += len(b) {
		for i := range b {
			b[i] = byte(i + off)
		}
		n, err := s.WriteAt(ctx, b, int64(off))
		copy(want[off:], b[:n])
		if err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			full++
			got := make([]byte, len(b))
			if err := block.ReadFull(ctx, s, got, int64(off)); err != nil {
				t.Fatal(err)
			}
			copy(want[off:], got) // in parts the old bytes, in parts the new ones
		}
		if err := s.Sync(ctx); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if full == 0 {
		t.Fatal("the filesystem was never full")
	}
	// Room comes back, and with it all that failed.
	if err := s.Zero(ctx, 0, 1<<20); err != nil {
		t.Fatal(err)
	}
	clear(want[:1<<20])
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Zero(ctx, 1<<20, 1<<20); err != nil {
		t.Fatal(err)
	}
	clear(want[1<<20 : 2<<20])
	blocktest.Run(t, s, want)
	s.close()
	check(t, path)
}

// FuzzWrite opens whatever the bytes are for writing: where it refuses it has
// written nothing, and where it does not, writing ends in no panic.
func FuzzWrite(f *testing.F) {
	images.NeedLong(f) // it does about one execution a second
	for _, options := range []string{"cluster_size=512", "compat=0.10,cluster_size=512", "extended_l2=on,cluster_size=16384"} {
		dir := f.TempDir()
		path := filepath.Join(dir, "disk.qcow2")
		create(f, path, options, 64<<10)
		qemuIO(f, path, "write -c -P 3 16k 16k", "write -P 5 4k 5k", "write -z 40k 20k")
		formattest.Do(f, dir, "qemu-img", "snapshot", "-c", "s", path)
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		if b[7] >= 3 {
			f.Add(put(b, 72, 8, get8(b, 72)|1))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { writeHostile(t, b) })
}
