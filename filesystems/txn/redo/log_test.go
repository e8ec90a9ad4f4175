package redo

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const size = 1024

func filled(b byte) []byte { return bytes.Repeat([]byte{b}, size) }

// volume is a volume of 64 blocks, all of ones.
func volume() *blocktest.Memory { return blocktest.NewMemory(bytes.Repeat([]byte{1}, 64*size)) }

func newLog(t testing.TB, side Sidecar) *Log {
	t.Helper()
	l, err := New(side, []byte("owner"), size)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// begun is a log that was started in a file.
func begun(t testing.TB, home *blocktest.Memory) (*Log, *File) {
	t.Helper()
	f := NewFile(filepath.Join(t.TempDir(), "image-wal"))
	t.Cleanup(func() { f.Close() })
	l := newLog(t, f)
	if r, err := l.Recover(t.Context(), home); err != nil || !r.Clean || l.Started() {
		t.Fatal(r, err)
	}
	if err := l.Start(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	return l, f
}

func setTo(fill byte, blocks ...int64) txn.Change {
	var c txn.Change
	for _, b := range blocks {
		c.Blocks = append(c.Blocks, txn.Block{Off: b * size, Bytes: filled(fill)})
	}
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReplay(t *testing.T) {
	ctx, home := t.Context(), volume()
	l, f := begun(t, home)
	must(t, l.Append(ctx, setTo(2, 3, 4, 9)))
	must(t, l.Append(ctx, setTo(3, 4)))
	must(t, l.Append(ctx, txn.Change{Blocks: setTo(4, 7).Blocks, Revokes: []int64{9 * size}}))
	// Half of a block was home already, as after a checkpoint that was torn.
	_, err := home.WriteAt(ctx, filled(3)[:512], 4*size)
	must(t, err)
	again := newLog(t, f)
	r, err := again.Recover(ctx, home)
	if err != nil || r.Transactions != 3 || r.Blocks != 3 || r.Revoked != 1 || !again.Started() {
		t.Fatalf("%+v, %v", r, err)
	}
	for b, want := range map[int]byte{3: 2, 4: 3, 7: 4, 9: 1, 8: 1} {
		if !bytes.Equal(home.Bytes()[b*size:][:size], filled(want)) {
			t.Errorf("block %d is not %d", b, want)
		}
	}
	// What was replayed is replayed again, and the log goes on where it was.
	if r, err := newLog(t, f).Recover(ctx, home); err != nil || r.Transactions != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	must(t, again.Start(ctx, home))
	must(t, again.Append(ctx, setTo(5, 1)))
	if r, err := newLog(t, f).Recover(ctx, volumeOf(home)); err != nil || r.Transactions != 1 || r.First != 4 {
		t.Errorf("%+v, %v", r, err)
	}
	must(t, again.Retire(ctx))
	if r, err := newLog(t, f).Recover(ctx, home); err != nil || !r.Clean {
		t.Errorf("%+v, %v", r, err)
	}
	must(t, again.Remove())
	if _, err := os.Stat(f.path); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func volumeOf(m *blocktest.Memory) *blocktest.Memory {
	return blocktest.NewMemory(bytes.Clone(m.Bytes()))
}

// TestForeign: a volume that somebody else has changed is not written, and the
// sidecar is kept.
func TestForeign(t *testing.T) {
	ctx, home := t.Context(), volume()
	l, f := begun(t, home)
	must(t, l.Append(ctx, setTo(2, 3, 4)))
	side, err := os.ReadFile(f.path)
	must(t, err)
	check := func(name string, home *blocktest.Memory, l *Log, want string) {
		t.Helper()
		before := bytes.Clone(home.Bytes())
		var foreign *ForeignError
		if _, err := l.Recover(ctx, home); !errors.As(err, &foreign) || !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), want) || l.Started() {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(f.path); err != nil || !bytes.Equal(before, home.Bytes()) || !bytes.Equal(after, side) {
			t.Errorf("%s: something was changed: %v", name, err)
		}
	}
	other := volumeOf(home)
	_, err = other.WriteAt(ctx, []byte{77}, 4*size+700)
	must(t, err)
	check("a changed block", other, newLog(t, f), "its bytes at 4608")
	check("another size", blocktest.NewMemory(make([]byte, 65*size)), newLog(t, f), "this one has 66560")
	owner, err := New(f, []byte("somebody else"), size)
	must(t, err)
	check("another owner", volumeOf(home), owner, "another volume")
	// Without frames it is no matter whose it was.
	must(t, l.Retire(ctx))
	if r, err := owner.Recover(ctx, home); err != nil || !r.Clean || owner.Started() {
		t.Error(r, err)
	}
}

// TestTorn: a frame of which any sector is missing was never promised. One
// that is damaged in the middle ends the log there.
func TestTorn(t *testing.T) {
	ctx, home := t.Context(), volume()
	l, f := begun(t, home)
	must(t, l.Append(ctx, setTo(2, 3, 4)))
	first := l.end
	must(t, l.Append(ctx, setTo(3, 4, 5)))
	whole, err := os.ReadFile(f.path)
	must(t, err)
	for at := first; at < int64(len(whole)); at += 100 {
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		must(t, os.WriteFile(f.path, b, 0o600))
		if r, err := newLog(t, f).Recover(ctx, volumeOf(home)); err != nil || r.Transactions != 1 {
			t.Errorf("byte %d: %+v, %v", at, r, err)
		}
	}
	for _, n := range []int64{0, 1, 511, 512, 513, first - 1} {
		must(t, os.WriteFile(f.path, whole[:n], 0o600))
		if r, err := newLog(t, f).Recover(ctx, volumeOf(home)); err != nil || !r.Clean {
			t.Errorf("%d bytes: %+v, %v", n, r, err)
		}
	}
	whole[30]++
	must(t, os.WriteFile(f.path, whole, 0o600))
	if _, err := newLog(t, f).Recover(ctx, home); !errors.As(err, new(*ondisk.CorruptError)) {
		t.Errorf("damaged header: %v", err)
	}
}

// TestLimits: what does not fit is refused, and what fits fills the log.
func TestLimits(t *testing.T) {
	ctx, home := t.Context(), volume()
	l, _ := begun(t, home)
	if l.Need(l.Limit(), 0) <= l.Limit() || l.Free() < 4*l.Limit()-1 {
		t.Error(l.Need(l.Limit(), 0), l.Limit(), l.Free())
	}
	l.end = headerSize + maxBytes - 10*size
	if err := l.Append(ctx, setTo(1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)); err == nil {
		t.Error("more than fits was appended")
	}
	must(t, l.Append(ctx, setTo(1, 1, 2, 3, 4, 5, 6, 7, 8)))
	if l.Free() < 0 {
		t.Error(l.Free())
	}
	if _, err := New(nil, nil, 1000); !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
	if err := newLog(t, nil).Append(ctx, txn.Change{}); err == nil {
		t.Error("a log that was not started took a change")
	}
}

// FuzzRecover: whatever a sidecar holds, nothing is written but what its
// checksums vouch for.
func FuzzRecover(f *testing.F) {
	home := volume()
	l, file := begun(f, home)
	r := rand.New(rand.NewPCG(1, 1))
	for range 3 {
		must(f, l.Append(f.Context(), txn.Change{Blocks: setTo(byte(r.IntN(9)), r.Int64N(60), 61).Blocks, Revokes: []int64{r.Int64N(60) * size}}))
	}
	b, err := os.ReadFile(file.path)
	must(f, err)
	f.Add(b, uint16(0), uint32(0))
	f.Add(b, uint16(516), uint32(0xFFFFFFFF))
	f.Add(b, uint16(600), uint32(7))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, v uint32) {
		if int(at)+4 <= len(b) {
			b = bytes.Clone(b)
			put32(b, int(at), v)
		}
		if len(b) >= headerSize { // the checksums are right, so that what they guard is reached
			put32(b, headerSize-4, crcOf(0, b[:headerSize-4]))
		}
		home := volume()
		l := newLog(t, memory(b))
		_, err := l.Recover(context.Background(), home)
		if err != nil && !bytes.Equal(home.Bytes(), volume().Bytes()) {
			t.Error("an error, and the volume was written")
		}
	})
}

// memory is a Sidecar that is read only.
type memory []byte

func (m memory) Size() (int64, error)                    { return int64(len(m)), nil }
func (m memory) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m).ReadAt(p, off) }
func (m memory) WriteAt([]byte, int64) (int, error)      { return 0, syscall.EROFS }
func (m memory) Sync(context.Context) error              { return nil }
func (m memory) Remove() error                           { return nil }
func (m memory) String() string                          { return "memory" }
