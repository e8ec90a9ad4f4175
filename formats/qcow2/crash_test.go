package qcow2_test

import (
	"math/rand/v2"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block/blocktest"
)

func TestCrash(t *testing.T) {
	for i, c := range []writeCase{
		{options: "compat=1.1,cluster_size=512", cluster: 512, base: "raw", baseSize: 100 << 10, snapshot: true},
		{options: "compat=1.1,cluster_size=4096", cluster: 4096, packed: true, snapshot: true},
		{options: "compat=0.10,cluster_size=512", cluster: 512, base: "raw", baseSize: 100 << 10, snapshot: true},
		{options: "compat=0.10,cluster_size=4096", cluster: 4096, packed: true},
		{options: "extended_l2=on,cluster_size=16384", cluster: 16384, base: "raw", baseSize: 100 << 10, snapshot: true},
	} {
		t.Run(c.options, func(t *testing.T) {
			t.Parallel()
			h := record(t, c, 256<<10, 50, uint64(40+i))
			r := rand.New(rand.NewPCG(uint64(i), 12))
			dir := t.TempDir()
			states := 0
			for k := range len(h.ops) + 1 {
				for mode := range 4 {
					if !long() && mode != k%4 && k < len(h.ops) {
						continue
					}
					m := h.lost(t, r, k, mode)
					// QEMU takes a hundred times as long as the rest.
					if r.IntN(len(h.ops)/12) == 0 || k == len(h.ops) && mode == 0 {
						h.qemu(t, dir, k, m.Bytes())
					}
					if err := h.examine(k, m); err != nil {
						t.Fatal(err)
					}
					if r.IntN(len(h.ops)/2) == 0 {
						h.qemu(t, dir, k, m.Bytes()) // as we repaired it
					}
					states++
				}
			}
			t.Logf("%d states of %d ops", states, len(h.ops))
		})
	}
}

// TestEveryBarrierIsNeeded leaves out each barrier in turn: TestCrash would fail.
func TestEveryBarrierIsNeeded(t *testing.T) {
	small := writeCase{options: "compat=1.1,cluster_size=512", cluster: 512, snapshot: true}
	old := writeCase{options: "compat=0.10,cluster_size=512", cluster: 512, writes: 64 << 10}
	long := writeCase{options: "compat=0.10,cluster_size=512", cluster: 512, writes: 1 << 20}
	for _, b := range []struct {
		name string
		c    writeCase
		size int
	}{
		{"mark", writeCase{options: "compat=1.1,cluster_size=4096", cluster: 4096, bitmap: true}, 256 << 10},
		{"data", small, 256 << 10},
		{"tables", small, 256 << 10},
		{"close", small, 256 << 10},
		{"closed", small, 256 << 10},
		{"counts", old, 768 << 10},
		{"table", long, 12 << 20},
		{"header", long, 12 << 20},
		{"", long, 12 << 20}, // nothing is left out, and nothing goes wrong
	} {
		t.Run(b.name, func(t *testing.T) {
			for seed := range uint64(4) {
				h := recordWithout(t, b.c, b.size, 30, seed, b.name)
				r := rand.New(rand.NewPCG(seed, 4))
				near := h.moves()
				if b.size > 4<<20 && len(near) == 0 {
					continue
				}
				for i := range 600 {
					k := r.IntN(len(h.ops) + 1)
					if i%4 == 0 {
						k = len(h.ops) - r.IntN(3)
					}
					if len(near) > 0 {
						k = near[i%len(near)]
					}
					err := h.examine(k, h.lost(t, r, k, 1+r.IntN(2)))
					if b.name == "" {
						if err != nil {
							t.Fatal(err)
						}
						if i == 60 {
							return
						}
						continue
					}
					if err != nil {
						t.Logf("as it should be: %v", err)
						return
					}
				}
			}
			t.Errorf("nothing goes wrong without the barrier %q", b.name)
		})
	}
}

// moves lists the ops around those that give the header another refcount table.
func (h *history) moves() (all []int) {
	for i, op := range h.ops {
		if op.Off == 48 && len(op.Bytes) == 12 {
			for k := i; k < min(i+8, len(h.ops)); k++ {
				all = append(all, k)
			}
		}
	}
	return all
}

// TestCrashInRepair crashes the repair of a crashed image, at every write.
func TestCrashInRepair(t *testing.T) {
	c := writeCase{options: "compat=1.1,cluster_size=512", cluster: 512, base: "raw", baseSize: 100 << 10, snapshot: true}
	h := record(t, c, 128<<10, 30, 5)
	r := rand.New(rand.NewPCG(5, 5))
	k := 0
	for i, op := range h.ops {
		if op.Sync {
			k = i // somewhere before the end
		}
		if i > len(h.ops)*3/4 {
			break
		}
	}
	rec := blocktest.NewRecorder(h.lost(t, r, k, 0))
	crashed := rec.Writer.(*blocktest.Memory).Bytes()
	if !dirty(crashed) {
		t.Fatal("the crashed image is not dirty")
	}
	img, err := h.open(rec, formats.Options{Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(rec.Ops()); n > 0 {
		t.Fatalf("opening did %d ops", n)
	}
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
	repair := &history{image: crashed, first: h.first, steps: h.steps, ops: rec.Ops(), base: h.base}
	for n := range len(repair.ops) + 1 {
		for mode := range 4 {
			m := repair.lost(t, r, n, mode)
			again, err := h.open(m, formats.Options{Writable: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := h.verify("repaired twice", k, whole(t, again)); err != nil {
				t.Fatal(err)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
			if n%5 == 0 && mode == 3 {
				h.qemu(t, t.TempDir(), k, m.Bytes())
			}
		}
	}
}
