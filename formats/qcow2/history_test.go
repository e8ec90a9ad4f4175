package qcow2_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/qcow2"
)

// history is what was done to a disk, and what the host saw of it.
type history struct {
	image  []byte // before
	first  []byte // what the disk held then
	steps  []step
	ops    []blocktest.Op
	before []byte // the snapshot
	base   []byte // the backing file
}

// step is a change of the disk or a Sync; from and to are the host's ops
// before it and after it.
type step struct {
	from, to int
	off      int
	b        []byte // nil: Sync
}

func (h *history) open(src block.Device, opt formats.Options) (formats.Image, error) {
	opt.Related = h.related
	images, err := qcow2.Format().Open(context.Background(), src, opt)
	if err != nil {
		return nil, err
	}
	return images[0], nil
}

func (h *history) related(context.Context, string, string) (block.Device, error) {
	return blocktest.NewMemory(h.base), nil
}

// record writes to the image of a case in memory, and closes it.
func record(t *testing.T, c writeCase, size, steps int, seed uint64) *history {
	t.Helper()
	return recordWithout(t, c, size, steps, seed, "")
}

// recordWithout leaves out a barrier.
func recordWithout(t *testing.T, c writeCase, size, steps int, seed uint64, barrier string) *history {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	path, m := c.make(t, dir, size, seed)
	h := &history{first: slices.Clone(m.disk)}
	var err error
	if h.image, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if c.base != "" {
		h.base, _ = os.ReadFile(filepath.Join(dir, "base.raw"))
	}
	if c.snapshot {
		h.before = formattest.Convert(t, path, "qcow2", "-l", "before")
	}
	rec := blocktest.NewRecorder(blocktest.NewMemory(slices.Clone(h.image)))
	img, err := h.open(rec, formats.Options{Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	qcow2.SkipBarrier(img, barrier)
	w := img.(block.Writer)
	r := rand.New(rand.NewPCG(seed, 77))
	for range steps {
		s := step{from: len(rec.Ops())}
		s.off = r.IntN(size)
		n := min(1+r.IntN(2*max(c.cluster, c.writes)), size-s.off)
		if c.writes == 0 && r.IntN(2) == 0 {
			s.off &^= c.cluster - 1
			n = min(c.cluster*(1+r.IntN(3)), size-s.off)
		}
		switch k := r.IntN(8); k {
		case 0, 1:
			err = w.Sync(ctx)
		case 2, 3:
			s.b = make([]byte, n)
			err = w.Zero(ctx, int64(s.off), int64(n))
		default:
			s.b = make([]byte, n)
			for i := range s.b {
				s.b[i] = byte(r.Uint32())
			}
			_, err = w.WriteAt(ctx, s.b, int64(s.off))
		}
		if err != nil {
			t.Fatal(err)
		}
		s.to = len(rec.Ops())
		h.steps = append(h.steps, s)
	}
	s := step{from: len(rec.Ops())}
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
	h.ops = rec.Ops()
	s.to = len(h.ops)
	h.steps = append(h.steps, s)
	return h
}

// redo does an op again; a write makes the file as long as it needs.
func redo(t *testing.T, op blocktest.Op, m *blocktest.Memory) {
	t.Helper()
	ctx := context.Background()
	if op.Sync {
		return
	}
	if err := m.Grow(ctx, op.Off+max(op.Zero, int64(len(op.Bytes)))); err != nil {
		t.Fatal(err)
	}
	if err := op.Apply(ctx, m); err != nil {
		t.Fatal(err)
	}
}

// torn is a write of which only some sectors arrived.
func torn(r *rand.Rand, op blocktest.Op) []blocktest.Op {
	var all []blocktest.Op
	for at := 0; at < len(op.Bytes); {
		n := min(512-int(op.Off+int64(at))%512, len(op.Bytes)-at)
		if r.IntN(2) == 0 {
			all = append(all, blocktest.Op{Off: op.Off + int64(at), Bytes: op.Bytes[at : at+n]})
		}
		at += n
	}
	return all
}

// lost is the image after ops up to k, of which those after the last barrier
// arrived in part.
func (h *history) lost(t *testing.T, r *rand.Rand, k, mode int) *blocktest.Memory {
	m := blocktest.NewMemory(slices.Clone(h.image))
	barrier := 0
	for i := range k {
		if h.ops[i].Sync {
			barrier = i + 1
		}
	}
	drop := -1
	if k > barrier {
		drop = barrier + r.IntN(k-barrier)
	}
	for i, op := range h.ops[:k] {
		switch {
		case i < barrier || mode == 0:
		case mode == 1 && i == drop:
			continue
		case mode == 2 && r.IntN(2) == 0:
			continue
		case mode == 3 && i == drop && op.Bytes != nil:
			for _, part := range torn(r, op) {
				redo(t, part, m)
			}
			continue
		}
		redo(t, op, m)
	}
	return m
}

// verify demands that disk holds what was durable after k ops, and at places
// that were written since then what was there or what was written.
func (h *history) verify(what string, k int, disk []byte) error {
	want := slices.Clone(h.first)
	last := 0 // the first step after the last Sync that returned
	for i, s := range h.steps {
		if s.b == nil && s.to <= k {
			last = i + 1
		}
	}
	for _, s := range h.steps[:last] {
		copy(want[s.off:], s.b)
	}
	for i := range want {
		ok := disk[i] == want[i]
		for _, s := range h.steps[last:] {
			if ok || s.from >= k {
				break
			}
			ok = i >= s.off && i < s.off+len(s.b) && s.b[i-s.off] == disk[i]
		}
		if !ok {
			return fmt.Errorf("%s: after %d of %d ops byte %d is %#x, want %#x", what, k, len(h.ops), i, disk[i], want[i])
		}
	}
	return nil
}

func readDisk(dev block.Device) ([]byte, error) {
	b := make([]byte, dev.Size())
	return b, block.ReadFull(context.Background(), dev, b, 0)
}

func whole(t *testing.T, dev block.Device) []byte {
	t.Helper()
	b, err := readDisk(dev)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dirty says whether the image says that its counts may be wrong.
func dirty(b []byte) bool {
	return binary.BigEndian.Uint32(b[4:]) >= 3 && b[79]&1 != 0
}

// examine reads an image as it is, and after it was opened for writing.
func (h *history) examine(k int, m *blocktest.Memory) error {
	ctx := context.Background()
	read := func(what string, opt formats.Options, verify func(disk []byte) error) error {
		img, err := h.open(m, opt)
		if err != nil {
			return fmt.Errorf("%s, after %d of %d ops: %w", what, k, len(h.ops), err)
		}
		disk, err := readDisk(img)
		if err == nil {
			err = verify(disk)
		}
		return errors.Join(err, img.Close())
	}
	now := func(what string, opt formats.Options) error {
		return read(what, opt, func(disk []byte) error {
			trusted, err := qcow2.BitmapsTrusted(ctx, m)
			if err == nil && trusted && !slices.Equal(disk, h.first) {
				err = errors.New("the disk was written to and the bitmap does not know")
			}
			return errors.Join(err, h.verify(what, k, disk))
		})
	}
	if err := now("as it is", formats.Options{}); err != nil {
		return err
	}
	if h.before != nil {
		err := read("the snapshot", formats.Options{Snapshot: "before"}, func(disk []byte) error {
			if !slices.Equal(disk, h.before) {
				return fmt.Errorf("after %d of %d ops the snapshot differs", k, len(h.ops))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	counts := func(strict bool) error {
		low, high, err := qcow2.Counts(ctx, blocktest.NewMemory(m.Bytes()), formats.Options{Related: h.related})
		if err == nil && (low > 0 || high > 0 && strict) {
			err = fmt.Errorf("after %d of %d ops %d counts are too low and %d too high", k, len(h.ops), low, high)
		}
		return err
	}
	b := m.Bytes()
	if !dirty(b) {
		// Version 2 has no dirty bit, and may leak.
		if err := counts(b[7] >= 3 || k == len(h.ops)); err != nil {
			return err
		}
	} else if k == len(h.ops) {
		return errors.New("the closed image is dirty")
	}
	if err := now("opened for writing", formats.Options{Writable: true}); err != nil {
		return err
	}
	if dirty(m.Bytes()) {
		return fmt.Errorf("after %d ops and a repair the image is dirty", k)
	}
	return counts(b[7] >= 3)
}

// qemu examines an image with QEMU: that it has no damage but counts where it
// says so, and what it reads.
func (h *history) qemu(t *testing.T, dir string, k int, b []byte) {
	t.Helper()
	path := writeRaw(t, dir, "disk.qcow2", b)
	if h.base != nil {
		writeRaw(t, dir, "base.raw", h.base)
	}
	v3 := binary.BigEndian.Uint32(b[4:]) >= 3
	if dirty(b) {
		// Opening for writing repairs.
		qemuIO(t, path, "read 0 512")
	}
	out, err := exec.Command(formattest.Tool(t, "qemu-img"), "check", "-f", "qcow2", path).CombinedOutput()
	exit := (*exec.ExitError)(nil)
	leaks := errors.As(err, &exit) && exit.ExitCode() == 3
	if err != nil && (v3 || !leaks) {
		t.Fatalf("after %d of %d ops: %s", k, len(h.ops), out)
	}
	if err := h.verify("read by QEMU", k, formattest.Convert(t, path, "qcow2")); err != nil {
		t.Fatal(err)
	}
}
