package qcow2_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/formattest"
)

// sector keeps sizes to what QEMU can address.
const sector = 512

// qemuIO runs commands of qemu-io on the image.
func qemuIO(t testing.TB, path string, cmds ...string) {
	t.Helper()
	args := []string{"-f", "qcow2"}
	for _, c := range cmds {
		args = append(args, "-c", c)
	}
	if out := formattest.Do(t, filepath.Dir(path), "qemu-io", append(args, path)...); strings.Contains(out, "failed") {
		t.Fatalf("qemu-io: %s", out)
	}
}

func create(t testing.TB, path, options string, size int64, more ...string) {
	t.Helper()
	args := append([]string{"create", "-f", "qcow2", "-o", options}, more...)
	formattest.Do(t, filepath.Dir(path), "qemu-img", append(args, path, fmt.Sprint(size))...)
}

// content is a disk as guests have it: text, noise and zeros, in stretches
// that keep to no boundary.
func content(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	b := make([]byte, n)
	for off := 0; off < n; {
		part := b[off:min(n, off+1+r.IntN(300_000))]
		switch r.IntN(3) {
		case 0:
			for i := range part {
				part[i] = "the quick brown fox "[(i+r.IntN(2))%20]
			}
		case 1:
			for i := range part {
				part[i] = byte(r.Uint32())
			}
		}
		off += len(part)
	}
	return b
}

// scribble is a seeded set of qemu-io commands: writes at odd places, writes of
// zeros with and without freeing, discards, compressed clusters.
func scribble(seed uint64, size, cluster int64, packed bool) []string {
	r := rand.New(rand.NewPCG(seed, 1))
	var cmds []string
	at := func(align int64) int64 { return r.Int64N(size/align) * align }
	for range 40 {
		off := at(sector)
		n := min(size-off, sector*(1+r.Int64N(300)))
		switch r.IntN(6) {
		case 0, 1, 2:
			cmds = append(cmds, fmt.Sprintf("write -P %d %d %d", 1+r.IntN(255), off, n))
		case 3:
			cmds = append(cmds, fmt.Sprintf("write -z %d %d", off, n))
		case 4:
			off = at(cluster)
			cmds = append(cmds, fmt.Sprintf("write -z -u %d %d", off, min(size-off, cluster*(1+r.Int64N(3)))))
		case 5:
			off = at(cluster)
			cmds = append(cmds, fmt.Sprintf("discard %d %d", off, min(size-off, cluster)))
		}
	}
	if !packed {
		return cmds
	}
	// QEMU compresses only clusters that are not there yet.
	var first []string
	for _, i := range r.Perm(int(size / cluster))[:min(20, size/cluster/2)] {
		first = append(first, fmt.Sprintf("write -c -P %d %d %d", 1+r.IntN(255), int64(i)*cluster, cluster))
	}
	return append(first, cmds...)
}

func TestAgainstQEMU(t *testing.T) {
	const size = 2<<20 + 3*sector
	for _, c := range []struct {
		options string
		cluster int64
		noPack  bool
	}{
		{options: "compat=0.10,cluster_size=512", cluster: 512},
		{options: "compat=0.10", cluster: 65536},
		{options: "compat=1.1,cluster_size=512", cluster: 512},
		{options: "compat=1.1,cluster_size=4096", cluster: 4096},
		{options: "compat=1.1", cluster: 65536},
		{options: "compat=1.1,lazy_refcounts=on,refcount_bits=1", cluster: 65536},
		{options: "compat=1.1,cluster_size=2M,refcount_bits=64", cluster: 2 << 20},
		{options: "compression_type=zstd,cluster_size=4096", cluster: 4096},
		{options: "compression_type=zstd", cluster: 65536},
		{options: "extended_l2=on,cluster_size=16384", cluster: 16384},
		{options: "extended_l2=on", cluster: 65536},
		{options: "extended_l2=on,cluster_size=2M,compression_type=zstd", cluster: 2 << 20},
		{options: "data_file=data.bin", cluster: 65536, noPack: true},
		{options: "data_file=data.bin,data_file_raw=on,cluster_size=4096", cluster: 4096, noPack: true},
		{options: "data_file=data.bin,extended_l2=on", cluster: 65536, noPack: true},
		{options: "preallocation=metadata", cluster: 65536, noPack: true},
		{options: "preallocation=falloc,cluster_size=4096", cluster: 4096, noPack: true},
		{options: "preallocation=full,extended_l2=off", cluster: 65536, noPack: true},
		{options: "preallocation=metadata,extended_l2=on", cluster: 65536, noPack: true},
		{options: "preallocation=metadata,data_file=data.bin", cluster: 65536, noPack: true},
	} {
		t.Run(c.options, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			create(t, path, c.options, size)
			qemuIO(t, path, scribble(uint64(c.cluster), size, c.cluster, !c.noPack)...)
			formattest.Run(t, formattest.Case{Path: path, Format: "qcow2", Want: formattest.Convert(t, path, "qcow2")})
		})
	}
}

func TestFreshImageIsZero(t *testing.T) {
	for _, options := range []string{"compat=1.1", "preallocation=metadata", "preallocation=falloc"} {
		path := filepath.Join(t.TempDir(), "disk.qcow2")
		create(t, path, options, 3<<20)
		formattest.Run(t, formattest.Case{Path: path, Format: "qcow2", Want: make([]byte, 3<<20)})
	}
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	create(t, path, "compat=1.1", 0)
	formattest.Run(t, formattest.Case{Path: path, Format: "qcow2"})
}

// writeRaw puts b into a new file of dir.
func writeRaw(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCompressed(t *testing.T) {
	all := content(1, 3<<20+sector)
	for _, options := range []string{
		"compat=0.10,cluster_size=512", "compat=0.10", "cluster_size=512", "cluster_size=8192", "cluster_size=65536",
		"cluster_size=2M", "compression_type=zstd,cluster_size=512", "compression_type=zstd,cluster_size=4096",
		"compression_type=zstd", "compression_type=zstd,cluster_size=2M", "extended_l2=on", "extended_l2=on,compression_type=zstd",
	} {
		t.Run(options, func(t *testing.T) {
			dir, want := t.TempDir(), all
			if strings.Contains(options, "cluster_size=512") {
				want = all[:512<<10] // each cluster costs the same, and there are many
			}
			src, path := writeRaw(t, dir, "src.raw", want), filepath.Join(dir, "disk.qcow2")
			formattest.Do(t, dir, "qemu-img", "convert", "-O", "qcow2", "-c", "-o", options, src, path)
			os.Remove(src)
			formattest.Run(t, formattest.Case{Path: path, Format: "qcow2", Want: want})
		})
	}
}

func TestBackingChains(t *testing.T) {
	for _, c := range []struct {
		name          string
		base          int    // bytes
		format        string // of the base
		middle, top   int64
		options       string
		packed, named bool
	}{
		{"raw below, overlay larger", 2<<20 + 5*sector, "raw", 4 << 20, 6<<20 + sector, "compat=1.1", false, true},
		{"raw below, overlay smaller", 6 << 20, "raw", 4<<20 + 3*sector, 2<<20 + sector, "compat=1.1", true, true},
		{"compressed below", 4 << 20, "qcow2", 4 << 20, 5 << 20, "cluster_size=4096", true, true},
		{"subclusters", 4<<20 + sector, "qcow2", 4 << 20, 4 << 20, "extended_l2=on,cluster_size=16384", false, true},
		{"version 2", 3 << 20, "qcow2", 4 << 20, 4 << 20, "compat=0.10", false, true},
		{"small over large clusters", 3 << 20, "raw", 4 << 20, 5 << 20, "cluster_size=512", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeRaw(t, dir, "base.raw", content(7, c.base))
			if c.format == "qcow2" {
				formattest.Do(t, dir, "qemu-img", "convert", "-O", "qcow2", "-c", "base.raw", "base.qcow2")
				os.Remove(filepath.Join(dir, "base.raw"))
			}
			middle, top := filepath.Join(dir, "middle.qcow2"), filepath.Join(dir, "top.qcow2")
			create(t, middle, c.options, c.middle, "-b", "base."+c.format, "-F", c.format)
			qemuIO(t, middle, scribble(3, c.middle, 65536, c.packed)...)
			create(t, top, "compat=1.1", c.top, "-b", "middle.qcow2", "-F", "qcow2")
			qemuIO(t, top, scribble(4, c.top, 65536, false)...)
			for _, path := range []string{middle, top} {
				formattest.Run(t, formattest.Case{Path: path, Format: "qcow2", Want: formattest.Convert(t, path, "qcow2")})
			}
			img, err := formattest.NewChain(t).Open(context.Background(), top, "", formats.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if i := img.Info(); i.Backing != "middle.qcow2" || i.BackingFmt != "qcow2" || i.Version != "3" || i.Compression != "zlib" {
				t.Errorf("%+v", i)
			}
		})
	}
}

func TestBackingNamedByJSON(t *testing.T) {
	dir := t.TempDir()
	want := content(2, 2<<20)
	writeRaw(t, dir, "base.raw", want)
	path := filepath.Join(dir, "top.qcow2")
	name := `json:{"driver":"raw","file":{"driver":"file","filename":"` + filepath.Join(dir, "base.raw") + `"}}`
	create(t, path, "compat=1.1", 2<<20, "-b", name, "-F", "raw")
	formattest.Run(t, formattest.Case{Path: path, Format: "qcow2", Want: want})
}

func TestBackingNeedsLeave(t *testing.T) {
	dir := t.TempDir()
	writeRaw(t, dir, "base.raw", make([]byte, 1<<20))
	path := filepath.Join(dir, "top.qcow2")
	create(t, path, "compat=1.1", 1<<20, "-b", "base.raw", "-F", "raw")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	_, err = openBytes(b, formats.Options{Related: func(_ context.Context, name, format string) (block.Device, error) {
		asked = append(asked, name, format)
		return nil, fs.ErrPermission
	}})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), `"base.raw"`) || fmt.Sprint(asked) != "[base.raw raw]" {
		t.Errorf("%v, asked for %q", err, asked)
	}
	if _, err = openBytes(b, formats.Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), `"base.raw"`) {
		t.Errorf("without Related: %v", err)
	}
}

func TestChainThatNamesItselfEnds(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.qcow2")
	create(t, path, "compat=1.1", 1<<20)
	formattest.Do(t, dir, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "a.qcow2", "a.qcow2")
	if _, err := formattest.NewChain(t).Open(context.Background(), path, "", formats.Options{}); err == nil || !strings.Contains(err.Error(), "chain") {
		t.Errorf("%v", err)
	}
}

func TestSnapshots(t *testing.T) {
	for _, options := range []string{"compat=1.1", "compat=0.10,cluster_size=4096", "extended_l2=on"} {
		t.Run(options, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			const size = 4 << 20
			create(t, path, options, size)
			qemuIO(t, path, scribble(1, size, 65536, true)...)
			snap := func(name string) {
				formattest.Do(t, filepath.Dir(path), "qemu-img", "snapshot", "-c", name, path)
			}
			snap("first")
			qemuIO(t, path, scribble(2, size, 65536, false)...)
			snap("second \"state\"")
			qemuIO(t, path, scribble(5, size, 65536, false)...)
			// The disk grows where the version keeps the size with the snapshot.
			if !strings.HasPrefix(options, "compat=0.10") {
				formattest.Do(t, filepath.Dir(path), "qemu-img", "resize", "-f", "qcow2", path, fmt.Sprint(6<<20))
			}
			now := formattest.Convert(t, path, "qcow2")
			for _, c := range []struct {
				ask, tag string
			}{{"first", "first"}, {"1", "first"}, {"2", "second \"state\""}, {"second \"state\"", "second \"state\""}} {
				// qemu-img shows the snapshot at today's size, not at its own.
				want := formattest.Convert(t, path, "qcow2", "-l", c.tag)[:size]
				formattest.Run(t, formattest.Case{Path: path, Format: "qcow2", Options: formats.Options{Snapshot: c.ask}, Want: want})
			}
			formattest.Run(t, formattest.Case{Path: path, Format: "qcow2", Want: now})
			chain := formattest.NewChain(t)
			img, err := chain.Open(context.Background(), path, "", formats.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s := img.Info().Snapshots
			if len(s) != 2 || s[0].ID != "1" || s[0].Name != "first" || s[1].Name != "second \"state\"" || s[0].Size != size || s[0].Unix < 1e9 {
				t.Errorf("%+v", s)
			}
			_, err = chain.Open(context.Background(), path, "", formats.Options{Snapshot: "third"})
			if missing := (*formats.NoSnapshotError)(nil); !errors.As(err, &missing) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `1 "first"`) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSnapshotOverBacking(t *testing.T) {
	dir := t.TempDir()
	writeRaw(t, dir, "base.raw", content(9, 3<<20))
	path := filepath.Join(dir, "top.qcow2")
	create(t, path, "compat=1.1", 4<<20, "-b", "base.raw", "-F", "raw")
	qemuIO(t, path, "write -P 17 100k 300k")
	formattest.Do(t, dir, "qemu-img", "snapshot", "-c", "s", path)
	qemuIO(t, path, "write -P 18 0 4M")
	want := formattest.Convert(t, path, "qcow2", "-l", "s")
	formattest.Run(t, formattest.Case{Path: path, Format: "qcow2", Options: formats.Options{Snapshot: "s"}, Want: want})
}
