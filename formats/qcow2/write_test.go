package qcow2_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/qcow2"
	"github.com/guestctl/guestctl/formats/raw"
)

// rawWriter opens a host file for writing until the test ends.
func rawWriter(t testing.TB, path string) raw.Writer {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w, err := f.Writer()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// session is an image that is open for writing.
type session struct {
	t testing.TB
	formats.Image
	block.Writer
	files []raw.Writer
	chain *formattest.Chain
}

func (s *session) Size() int64 { return s.Writer.Size() }
func (s *session) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return s.Writer.ReadAt(ctx, p, off)
}
func (s *session) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	return s.Writer.Locate(ctx, off, n)
}

// openWrite opens the image at path, and what it names in its folder.
func openWrite(t testing.TB, path string) *session {
	t.Helper()
	s := &session{t: t}
	file := func(path string) raw.Writer {
		w := rawWriter(t, path)
		s.files = append(s.files, w)
		return w
	}
	s.chain = formattest.NewChain(t)
	s.Image = openOn(t, s.chain, file(path), filepath.Dir(path), func(name string) block.Writer { return file(filepath.Join(filepath.Dir(path), name)) })
	s.Writer = s.Image.(block.Writer)
	return s
}

// openOn opens the image in src for writing.
func openOn(t testing.TB, chain *formattest.Chain, src block.Device, dir string, data func(name string) block.Writer) formats.Image {
	t.Helper()
	images, err := qcow2.Format().Open(context.Background(), src, formats.Options{Writable: true,
		Related: func(ctx context.Context, name, format string) (block.Device, error) {
			return chain.Open(ctx, filepath.Join(dir, filepath.Base(name)), format, formats.Options{})
		},
		RelatedWriter: func(_ context.Context, name string) (block.Writer, error) { return data(filepath.Base(name)), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return images[0]
}

func (s *session) close() {
	s.t.Helper()
	if err := s.Image.Close(); err != nil {
		s.t.Fatalf("Close: %v", err)
	}
	for _, f := range s.files {
		f.Close()
	}
	if err := s.chain.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// check demands that qemu-img finds nothing wrong, not even a leak.
func check(t testing.TB, path string) {
	t.Helper()
	formattest.Do(t, filepath.Dir(path), "qemu-img", "check", "-f", "qcow2", path)
}

// repaired is a copy of the image as QEMU repairs it; it must only have wrong
// counts.
func repaired(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(filepath.Dir(path), "copy.qcow2")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	formattest.Do(t, filepath.Dir(path), "qemu-img", "check", "-f", "qcow2", "-r", "all", to)
	check(t, to)
	return to
}

// model is what a disk must hold.
type model struct {
	r    *rand.Rand
	disk []byte
}

// step does one thing to w and to the model.
func (m *model) step(t testing.TB, w block.Writer, cluster int) {
	t.Helper()
	ctx := context.Background()
	size := len(m.disk)
	off := m.r.IntN(size)
	n := min(1+m.r.IntN(3*cluster), size-off)
	switch m.r.IntN(4) {
	case 0: // clusters
		off &^= cluster - 1
		n = min(size-off, cluster*(1+m.r.IntN(4)))
	case 1: // a block of a filesystem
		off &^= 4095
		n = min(size-off, 4096)
	}
	switch m.r.IntN(10) {
	default:
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(m.r.Uint32()) | 1
		}
		if got, err := w.WriteAt(ctx, b, int64(off)); got != n || err != nil {
			t.Fatalf("WriteAt(%d bytes at %d) = %d, %v", n, off, got, err)
		}
		copy(m.disk[off:], b)
	case 0, 1:
		if err := w.Zero(ctx, int64(off), int64(n)); err != nil {
			t.Fatalf("Zero(%d bytes at %d): %v", n, off, err)
		}
		clear(m.disk[off : off+n])
	case 2:
		if err := w.Sync(ctx); err != nil {
			t.Fatalf("Sync: %v", err)
		}
	case 3, 4, 5:
		b := make([]byte, n)
		if err := block.ReadFull(ctx, w, b, int64(off)); err != nil || !bytes.Equal(b, m.disk[off:off+n]) {
			t.Fatalf("%d bytes at %d differ, %v", n, off, err)
		}
	}
}

// differs says where two disks differ.
func differs(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: byte %d is %#x, want %#x", what, i, got[i], want[i])
		}
	}
	t.Fatalf("%s: %d bytes, want %d", what, len(got), len(want))
}

// writeCase is a kind of image to write to.
type writeCase struct {
	options  string
	cluster  int
	base     string // "", "raw", "packed": a backing file
	baseSize int
	packed   bool // with compressed clusters of its own
	snapshot bool
	external bool
	bitmap   bool // that follows writes
	writes   int  // about the bytes of each write of a crash test, to an image that is empty; 0: clusters
}

func writeCases() []writeCase {
	return []writeCase{
		{options: "compat=1.1", cluster: 65536, packed: true, snapshot: true},
		{options: "compat=1.1", cluster: 65536, base: "raw", baseSize: 1<<20 + 700*sector},
		{options: "compat=1.1,cluster_size=512,refcount_bits=1", cluster: 512},
		{options: "compat=1.1,cluster_size=512,refcount_bits=2", cluster: 512, snapshot: true},
		{options: "compat=1.1,cluster_size=512,refcount_bits=64", cluster: 512, packed: true, snapshot: true},
		{options: "compat=1.1,cluster_size=4096,refcount_bits=8", cluster: 4096, base: "packed", baseSize: 1 << 20, snapshot: true},
		{options: "compat=1.1,cluster_size=4096,lazy_refcounts=on,refcount_bits=4", cluster: 4096, packed: true},
		{options: "cluster_size=2M,refcount_bits=32", cluster: 2 << 20, base: "raw", baseSize: 1 << 20},
		{options: "compat=0.10", cluster: 65536, packed: true, snapshot: true},
		{options: "compat=0.10,cluster_size=512", cluster: 512, base: "raw", baseSize: 800 * sector, snapshot: true},
		{options: "compat=0.10,cluster_size=4096", cluster: 4096, packed: true},
		{options: "extended_l2=on,cluster_size=16384", cluster: 16384, base: "raw", baseSize: 1<<20 + 3*sector, snapshot: true},
		{options: "extended_l2=on", cluster: 65536, packed: true, snapshot: true},
		{options: "extended_l2=on,cluster_size=128k,compression_type=zstd", cluster: 128 << 10, base: "packed", baseSize: 2 << 20, packed: true},
		{options: "data_file=data.bin", cluster: 65536, external: true},
		{options: "data_file=data.bin,cluster_size=4096", cluster: 4096, external: true, base: "raw", baseSize: 1 << 20},
		{options: "data_file=data.bin,data_file_raw=on,cluster_size=4096", cluster: 4096, external: true},
		{options: "data_file=data.bin,extended_l2=on", cluster: 65536, external: true},
		{options: "preallocation=metadata", cluster: 65536},
		{options: "preallocation=falloc,cluster_size=4096", cluster: 4096},
		{options: "preallocation=metadata,extended_l2=on", cluster: 65536},
	}
}

// make makes the image of the case in dir, with something in it: its path and
// what it holds.
func (c writeCase) make(t testing.TB, dir string, size int, seed uint64) (path string, m *model) {
	t.Helper()
	path = filepath.Join(dir, "disk.qcow2")
	var more []string
	if c.base != "" {
		writeRaw(t, dir, "base.raw", content(seed, c.baseSize))
		format := "raw"
		if c.base == "packed" {
			format = "qcow2"
			formattest.Do(t, dir, "qemu-img", "convert", "-O", "qcow2", "-c", "base.raw", "base.qcow2")
		}
		more = []string{"-b", "base." + format, "-F", format}
	}
	create(t, path, c.options, int64(size), more...)
	if c.writes == 0 {
		qemuIO(t, path, scribble(seed, int64(size), int64(c.cluster), c.packed)...)
	}
	if c.snapshot {
		formattest.Do(t, dir, "qemu-img", "snapshot", "-c", "before", path)
		qemuIO(t, path, scribble(seed+1, int64(size), int64(c.cluster), false)[:8]...)
	}
	if c.bitmap {
		formattest.Do(t, dir, "qemu-img", "bitmap", "--add", path, "follows")
	}
	check(t, path)
	return path, &model{r: rand.New(rand.NewPCG(seed, 8)), disk: formattest.Convert(t, path, "qcow2")}
}

func TestWritesEqualAModel(t *testing.T) {
	for i, c := range writeCases() {
		t.Run(strings.TrimSpace(c.options+" "+c.base), func(t *testing.T) {
			if i%3 == 2 && !long() {
				t.Skip("long: run by `make test-long`, or with GUESTCTL_LONG=1")
			}
			t.Parallel()
			dir := t.TempDir()
			size := 2<<20 + 3*sector
			path, m := c.make(t, dir, size, uint64(i))
			var before []byte
			if c.snapshot {
				before = formattest.Convert(t, path, "qcow2", "-l", "before")
			}
			rounds := 1
			if long() {
				rounds = 4
			}
			for round := range rounds {
				s := openWrite(t, path)
				for range 60 {
					m.step(t, s, c.cluster)
				}
				if err := s.Sync(context.Background()); err != nil {
					t.Fatal(err)
				}
				// What a crash would leave now: everything, with wrong counts at most.
				if !c.external {
					differs(t, "after Sync, repaired by QEMU", formattest.Convert(t, repaired(t, path), "qcow2"), m.disk)
				}
				for range 30 {
					m.step(t, s, c.cluster)
				}
				blocktest.Run(t, s, m.disk)
				s.close()
				check(t, path)
				differs(t, "after Close, read by QEMU", formattest.Convert(t, path, "qcow2"), m.disk)
				if strings.Contains(c.options, "data_file_raw") {
					b, err := os.ReadFile(filepath.Join(dir, "data.bin"))
					if err != nil {
						t.Fatal(err)
					}
					// QEMU makes it whole clusters long.
					differs(t, "the raw data file", b, append(bytes.Clone(m.disk), make([]byte, len(b)-size)...))
				}
				// And the other way round.
				qemuIO(t, path, scribble(uint64(100*i+round), int64(size), int64(c.cluster), false)...)
				m.disk = formattest.Convert(t, path, "qcow2")
			}
			if c.snapshot {
				differs(t, "the snapshot", formattest.Convert(t, path, "qcow2", "-l", "before"), before)
				formattest.Do(t, dir, "qemu-img", "snapshot", "-d", "before", path)
				check(t, path)
			}
		})
	}
}

// long says whether the long runs are asked for.
func long() bool { return os.Getenv("GUESTCTL_LONG") != "" }

// qemuFails runs a program that must fail.
func qemuFails(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(formattest.Tool(t, name), args...).CombinedOutput()
	if err == nil {
		t.Fatalf("%s %q succeeded: %s", name, args, out)
	}
	return string(out)
}
