package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// TestWalkOrder checks what the package comment promises of the order.
func TestWalkOrder(t *testing.T) {
	m := vfstest.NewMemory()
	want := 1
	for d := range 40 {
		for s := range 10 {
			for f := range 20 {
				m.Add(fmt.Sprintf("/d%d/s%d/f%d", d, s, f), vfstest.Text("x"))
			}
		}
		want += 1 + 10 + 200
	}
	for i := range 2*chunkEntries + 5 {
		m.Add(fmt.Sprintf("/many/%d", i), vfstest.Text("x"))
	}
	m.Add("/many/sub/x", vfstest.Text("x"))
	want += 2*chunkEntries + 5 + 1 + 2
	ns := memory(m)
	from, err := Resolve(t.Context(), ns, "/", true)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	left := map[string]bool{} // directories that the walk has left
	last := ""
	err = Walk(t.Context(), ns, from, WalkOptions{MaxDepth: -1}, func(e *Entry) error {
		if e.Err != nil || seen[e.Path] {
			t.Errorf("%s: again %t, %v", e.Path, seen[e.Path], e.Err)
		}
		seen[e.Path] = true
		parent := e.Path[:strings.LastIndexByte(e.Path, '/')]
		if parent != "" && !seen[parent] || left[parent] {
			t.Errorf("%s stands before its directory, or apart from the others in it", e.Path)
		}
		for dir := last; dir != "" && !strings.HasPrefix(e.Path+"/", dir+"/"); dir = dir[:strings.LastIndexByte(dir, '/')] {
			left[dir] = true
		}
		last = e.Path
		return nil
	})
	if err != nil || len(seen) != want {
		t.Errorf("%d entries, %v, want %d", len(seen), err, want)
	}
	count := 0
	stop := errors.New("stop")
	if err := Walk(t.Context(), ns, from, WalkOptions{MaxDepth: -1}, func(*Entry) error {
		if count++; count == 100 {
			return stop
		}
		return nil
	}); err != stop || count != 100 {
		t.Errorf("stopped: %v after %d", err, count)
	}
	for depth, want := range map[int]int{0: 1, 1: 42, 2: 42 + 400 + 2*chunkEntries + 6} {
		count := 0
		if err := Walk(t.Context(), ns, from, WalkOptions{MaxDepth: depth}, func(*Entry) error { count++; return nil }); err != nil || count != want {
			t.Errorf("depth %d: %d entries, %v, want %d", depth, count, err, want)
		}
	}
}

// TestWalkEnds checks that trees of hostile images are walked in bounded time.
func TestWalkEnds(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/d0/file", vfstest.Text("x"))
	for i := range 60 { // 2^60 paths
		m.Dir(fmt.Sprintf("/d%d/a", i))
	}
	for i := range 59 {
		m.Link(fmt.Sprintf("/d%d", i+1), fmt.Sprintf("/d%d/x", i))
		m.Link(fmt.Sprintf("/d%d", i+1), fmt.Sprintf("/d%d/y", i))
	}
	m.Link("/d0", "/d59/back")
	deep := "/deep"
	for range 300 {
		deep += "/" + strings.Repeat("n", 255)
	}
	m.Dir(deep)
	ns := memory(m)
	from, err := Resolve(t.Context(), ns, "/", true)
	if err != nil {
		t.Fatal(err)
	}
	count, loops, long := 0, 0, 0
	err = Walk(t.Context(), ns, from, WalkOptions{MaxDepth: -1}, func(e *Entry) error {
		count++
		if errors.Is(e.Err, syscall.EUCLEAN) {
			loops++
		}
		if errors.Is(e.Err, syscall.ENAMETOOLONG) {
			long++
		}
		return nil
	})
	if err != nil || count > 1000 || loops == 0 || long != 1 {
		t.Errorf("%d entries, %d loops, %d too deep, %v", count, loops, long, err)
	}
}

// TestBulkReadsEverything compares what bulk gives with what is in the files,
// whichever way it was read.
func TestBulkReadsEverything(t *testing.T) {
	ns, _ := guest(t, hostTree(t))
	from, err := Resolve(t.Context(), ns, "/", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 3} {
		for _, keep := range []bool{true, false} {
			files := 0
			work := func(_ context.Context, it *item) any {
				if !it.small {
					return ""
				}
				return hex.EncodeToString(sum256(it.data))
			}
			err := bulk(t.Context(), plan{workers: workers, keep: keep, work: work}, func(ctx context.Context, visit func(*Entry) error) error {
				return Walk(ctx, ns, from, WalkOptions{MaxDepth: -1}, visit)
			}, func(it *item) error {
				if it.Err != nil || it.err != nil {
					t.Errorf("%s: %v, %v", it.Path, it.Err, it.err)
				}
				if it.task == nil || !it.small {
					return nil
				}
				files++
				b, err := io.ReadAll(vfs.NewReader(t.Context(), it.Inode))
				if err != nil {
					return err
				}
				if it.result != hex.EncodeToString(sum256(b)) || keep && !bytes.Equal(it.data, b) || !keep && it.data != nil {
					t.Errorf("%s: other bytes, or bytes that should not be kept", it.Path)
				}
				return nil
			})
			if err != nil || files < 300 {
				t.Errorf("%d files, %v", files, err)
			}
		}
	}
}

func sum256(b []byte) []byte { s := sha256.Sum256(b); return s[:] }

// TestBulkEnds checks that whoever fails, all goroutines end.
func TestBulkEnds(t *testing.T) {
	ns, _ := guest(t, hostTree(t))
	from, err := Resolve(t.Context(), ns, "/", true)
	if err != nil {
		t.Fatal(err)
	}
	walk := func(ctx context.Context, visit func(*Entry) error) error {
		return Walk(ctx, ns, from, WalkOptions{MaxDepth: -1}, visit)
	}
	stop := errors.New("stop")
	if err := bulk(t.Context(), plan{}, walk, func(*item) error { return stop }); err != stop {
		t.Errorf("emit fails: %v", err)
	}
	if err := bulk(t.Context(), plan{}, func(context.Context, func(*Entry) error) error { return stop }, func(*item) error { return nil }); err != stop {
		t.Errorf("walk fails: %v", err)
	}
	if err := bulk(t.Context(), plan{}, func(context.Context, func(*Entry) error) error { panic("damaged") }, func(*item) error { return nil }); err == nil {
		t.Error("walk panics: no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	if err := bulk(ctx, plan{}, walk, func(*item) error {
		if n++; n == 10 {
			cancel()
		}
		return nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	bad := 0
	work := func(context.Context, *item) any { panic("damaged") }
	if err := bulk(t.Context(), plan{work: work}, walk, func(it *item) error {
		if it.err != nil {
			bad++
		}
		return nil
	}); err != nil || bad < 300 {
		t.Errorf("work panics: %d files, %v", bad, err)
	}
}

// TestChecksum has sha256sum and md5sum check the lines in a copy that debugfs made.
func TestChecksum(t *testing.T) {
	images.NeedTool(t, "debugfs", "sha256sum", "md5sum")
	ns, image := guest(t, hostTree(t))
	out := t.TempDir()
	if b, err := exec.Command("debugfs", "-R", "rdump / "+out, image).CombinedOutput(); err != nil {
		t.Fatalf("debugfs: %v\n%s", err, b)
	}
	for _, name := range []string{"sha256", "md5"} {
		hash, err := NewHash(name)
		if err != nil {
			t.Fatal(err)
		}
		var p problems
		var lines strings.Builder
		n := 0
		err = Checksum(t.Context(), ns, "/", ChecksumOptions{Hash: hash, Recursive: true, Problem: p.add}, func(s Sum) error {
			if strings.Contains(s.Path, "\n") {
				if !strings.HasPrefix(s.Line(), "\\") || strings.Contains(s.Line(), "\n") {
					t.Errorf("line %q", s.Line())
				}
				return nil // rdump cannot make it
			}
			n++
			lines.WriteString(s.Line() + "\n")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p.none(t)
		cmd := exec.Command(name+"sum", "-c", "--quiet", "--strict")
		cmd.Dir = out
		cmd.Stdin = strings.NewReader(lines.String())
		if b, err := cmd.CombinedOutput(); err != nil || n < 310 {
			t.Errorf("%d lines: %v\n%s", n, err, b)
		}
	}
	if _, err := NewHash("crc"); err == nil {
		t.Error("an unknown checksum is known")
	}
}

func TestChecksumOfDamage(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/good", vfstest.Text("good"))
	m.Add("/bad", vfstest.Spec{Pieces: []vfstest.Piece{{Data: "lost", Err: syscall.EUCLEAN}}})
	m.Add("/badbig", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 3 << 20}, {Data: "lost", Err: syscall.EIO}}})
	m.Add("/hole", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 5<<20 + 3}}})
	m.Add("/gone", vfstest.Spec{Err: syscall.EBADMSG})
	var p problems
	got := map[string]string{}
	err := Checksum(t.Context(), memory(m), "/", ChecksumOptions{Recursive: true, Problem: p.add}, func(s Sum) error { got[s.Path] = s.Hex; return nil })
	if err != nil || len(p.list) != 3 || len(got) != 2 {
		t.Errorf("%v, %v, %v", err, p.list, got)
	}
	if want := hex.EncodeToString(sum256(make([]byte, 5<<20+3))); got["/hole"] != want {
		t.Errorf("a hole: %s, want %s", got["/hole"], want)
	}
	if err := Checksum(t.Context(), memory(m), "/", ChecksumOptions{Problem: p.add}, nil); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a directory: %v", err)
	}
}

func TestCat(t *testing.T) {
	dir := hostTree(t)
	ns, _ := guest(t, dir)
	for _, name := range []string{"etc/passwd", "names/link", "large/3M", "large/sparse", "etc/empty"} {
		want, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Cat(t.Context(), ns, "/"+name, &b); err != nil || !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s: %d bytes, %v, want %d, or others", name, b.Len(), err, len(want))
		}
	}
	for path, want := range map[string]error{"/etc": syscall.EISDIR, "/nope": syscall.ENOENT, "/fifo": syscall.EINVAL} {
		if err := Cat(t.Context(), ns, path, io.Discard); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	m := vfstest.NewMemory()
	m.Add("/bad", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 2 << 20}, {Data: "lost", Err: syscall.EIO}}})
	var b bytes.Buffer
	if err := Cat(t.Context(), memory(m), "/bad", &b); !errors.Is(err, syscall.EIO) || b.Len() != 2<<20 {
		t.Errorf("a bad file: %d bytes, %v", b.Len(), err)
	}
}
