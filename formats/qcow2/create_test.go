package qcow2_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/qcow2"
)

func TestCreate(t *testing.T) {
	ctx := context.Background()
	for _, size := range []int64{0, 512, 100<<20 + 512, 3 << 40} {
		for _, cluster := range []int64{0, 512, 4096, 2 << 20} {
			if cluster == 512 && size > 1<<32 {
				continue // the L1 table would be too large
			}
			path := writeRaw(t, t.TempDir(), "new.qcow2", nil)
			w := rawWriter(t, path)
			if err := qcow2.Create(ctx, w, qcow2.CreateOptions{Size: size, ClusterSize: cluster}); err != nil {
				t.Errorf("%d bytes, clusters of %d: %v", size, cluster, err)
				continue
			}
			w.Close()
			check(t, path)
			out := formattest.Do(t, filepath.Dir(path), "qemu-img", "info", "--output=json", path)
			if cluster == 0 {
				cluster = 65536
			}
			for _, want := range []string{`"compat": "1.1"`, `"corrupt": false`, `"dirty-flag": false`, fmt.Sprintf(`"virtual-size": %d`, size), fmt.Sprintf(`"cluster-size": %d`, cluster)} {
				if !strings.Contains(out, want) {
					t.Errorf("no %s in %s", want, out)
				}
			}
		}
	}
	for _, opt := range []qcow2.CreateOptions{
		{Size: 100}, {Size: -512}, {Size: 512, ClusterSize: 3 << 10}, {Size: 512, ClusterSize: 256}, {Size: 512, ClusterSize: 4 << 20},
		{Size: 1 << 62}, {Size: 512, Backing: "a"}, {Size: 512, BackingFormat: "raw"},
		{Size: 512, Backing: strings.Repeat("a", 1024), BackingFormat: "raw"}, {Size: 512, ClusterSize: 512, Backing: strings.Repeat("a", 400), BackingFormat: "raw"},
	} {
		m := blocktest.NewMemory(nil)
		if err := qcow2.Create(ctx, m, opt); err == nil || m.Size() != 0 {
			t.Errorf("%+v: %v, %d bytes", opt, err, m.Size())
		}
	}
	if err := qcow2.Create(ctx, blocktest.NewMemory([]byte{1}), qcow2.CreateOptions{Size: 512}); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("over a file: %v", err)
	}
}

func TestOverlay(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	base := content(6, 3<<20+300) // no whole number of sectors
	writeRaw(t, dir, "base.raw", base)
	path := writeRaw(t, dir, "over.qcow2", nil)
	w := rawWriter(t, path)
	if err := qcow2.CreateOverlay(ctx, w, blocktest.NewMemory(slices.Clone(base)), "base.raw", "raw"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	check(t, path)
	m := &model{r: rand.New(rand.NewPCG(1, 1)), disk: append(slices.Clone(base), make([]byte, 212)...)}
	out := formattest.Do(t, dir, "qemu-img", "info", path)
	if !strings.Contains(out, "backing file: base.raw") || !strings.Contains(out, "backing file format: raw") {
		t.Error(out)
	}
	differs(t, "the new overlay", formattest.Convert(t, path, "qcow2"), m.disk)
	s := openWrite(t, path)
	for range 100 {
		m.step(t, s, 65536)
	}
	s.close()
	check(t, path)
	differs(t, "the overlay", formattest.Convert(t, path, "qcow2"), m.disk)
	if b, err := os.ReadFile(filepath.Join(dir, "base.raw")); err != nil || !slices.Equal(b, base) {
		t.Errorf("the base changed, %v", err)
	}
	formattest.Do(t, dir, "qemu-img", "commit", "-q", path)
	b, err := os.ReadFile(filepath.Join(dir, "base.raw"))
	if err != nil {
		t.Fatal(err)
	}
	differs(t, "the base after a commit", b[:len(m.disk)], m.disk)
}

func TestCrashedCreationIsNoImage(t *testing.T) {
	ctx := context.Background()
	rec := blocktest.NewRecorder(blocktest.NewMemory(nil))
	if err := qcow2.Create(ctx, rec, qcow2.CreateOptions{Size: 1 << 20, ClusterSize: 4096}); err != nil {
		t.Fatal(err)
	}
	h := &history{ops: rec.Ops()}
	r := rand.New(rand.NewPCG(1, 2))
	for k := range len(h.ops) + 1 {
		for mode := range 4 {
			m := h.lost(t, r, k, mode)
			if qcow2.Format().Probe(ctx, m) != nil {
				continue
			}
			img, err := h.open(m, formats.Options{Writable: true})
			if err != nil {
				t.Fatalf("after %d ops: %v", k, err)
			}
			if b := whole(t, img); !slices.Equal(b, make([]byte, 1<<20)) {
				t.Fatal("the new disk is not zeros")
			}
			img.Close()
		}
	}
}
