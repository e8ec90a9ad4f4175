package mount

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// keeper is the kernel's page cache.
type keeper struct {
	t     *testing.T
	known func(id uint64) bool
	mu    sync.Mutex // guards both
	kept  map[uint64]string
	calls int
}

func (k *keeper) InodeNotifyStoreCache(id uint64, off int64, data []byte) fuse.Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if off != 0 {
		k.t.Errorf("stored at %d", off)
	}
	if k.known != nil && !k.known(id) {
		return fuse.ENOENT
	}
	if _, ok := k.kept[id]; ok {
		k.t.Errorf("node %d is stored twice", id)
	}
	k.kept[id] = string(data)
	return fuse.OK
}

func (k *keeper) InodeNotify(uint64, int64, int64) fuse.Status { return fuse.OK }
func (k *keeper) EntryNotify(uint64, string) fuse.Status       { return fuse.OK }

func (k *keeper) has(id uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.kept[id]
	return ok
}

// small is a directory of n small files of all kinds, and what they hold.
func small(n int) (*vfstest.Memory, map[string]string) {
	fs, want := vfstest.NewMemory(), map[string]string{}
	sizes := []int{1, 511, 512, 513, 4095, 4096, 4097, 0, 12_000, 128 << 10, 128<<10 + 1, 30}
	for i := range n {
		name := fmt.Sprintf("f%05d", i)
		data := pattern(name, sizes[i%len(sizes)])
		if i%3 == 0 {
			data = pattern(name, i*37%9000)
		}
		want[name] = data
		switch i % 17 {
		case 3: // in two places, with a hole between
			hole := min(len(data), 5000)
			want[name] = data[:len(data)/2] + strings.Repeat("\x00", hole) + data[len(data)/2:]
			fs.Add("/d/"+name, vfstest.Spec{Pieces: slices.DeleteFunc([]vfstest.Piece{{Kind: vfs.Mapped, Data: data[:len(data)/2]},
				{Kind: vfs.Hole, Len: int64(hole)}, {Kind: vfs.Mapped, Data: data[len(data)/2:]}},
				func(p vfstest.Piece) bool { return len(p.Data) == 0 && p.Len == 0 })})
		case 5:
			fs.Add("/d/"+name, vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Inline, Data: data}}})
		case 7:
			fs.Add("/d/"+name, vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Encoded, Data: data}}})
		case 9:
			fs.Dir("/d/" + name)
			delete(want, name)
		case 11:
			fs.Add("/d/"+name, vfstest.Spec{Pieces: []vfstest.Piece{{Data: "damaged", Err: syscall.EIO}}})
			delete(want, name)
		default:
			fs.Add("/d/"+name, vfstest.Text(data))
		}
	}
	return fs, want
}

// readThrough reads the files of /d in the order of the listing, as a kernel with the keeper's cache would, and says how
// many requests that took.
func readThrough(t *testing.T, m *fileSystem, k *keeper, want map[string]string, wait func()) (requests int) {
	t.Helper()
	dir := m.lookup(t, fuse.FUSE_ROOT_ID, "d")
	var files []listed
	for off := uint64(0); ; {
		list := m.readDirPlus(t, dir, off, 32<<10)
		if len(list) == 0 {
			break
		}
		files = append(files, list...)
		off = list[len(list)-1].Off
	}
	buf := make([]byte, 1<<20)
	for _, f := range files {
		data, ok := want[f.Name]
		if !ok || data == "" {
			continue
		}
		if k.has(f.entry.NodeId) {
			continue
		}
		requests++
		r, st := m.Read(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: f.entry.NodeId}, Size: uint32(len(buf))}, buf)
		if !st.Ok() || r.Size() != len(data) || string(buf[:len(data)]) != data {
			t.Errorf("%s: %v, %d bytes of %d", f.Name, st, r.Size(), len(data))
		}
		wait()
	}
	for _, f := range files {
		got, ok := k.kept[f.entry.NodeId]
		if data, known := want[f.Name]; ok && (!known || got != data) {
			t.Errorf("%s: %d wrong bytes were pushed, of %d", f.Name, len(got), len(data))
		}
	}
	return requests
}

func TestPush(t *testing.T) {
	fs, want := small(3000)
	m := raw(t, fs, Options{})
	k := &keeper{t: t, kept: map[uint64]string{}}
	m.start(k)
	// Wait until the pusher rests, so that the number of requests does not depend on who is faster.
	wait := func() {
		for n, same := m.push.stores.Load(), 0; same < 3; {
			time.Sleep(time.Millisecond)
			if now := m.push.stores.Load(); now != n || len(m.push.jobs) > 0 {
				n, same = now, 0
			} else {
				same++
			}
		}
	}
	requests := readThrough(t, m, k, want, wait)
	reading := len(slices.Collect(maps.Keys(want)))
	if requests > reading/10 {
		t.Errorf("%d requests for %d files, %d of them pushed", requests, reading, len(k.kept))
	}
	t.Logf("%d requests for %d files, %d pushed", requests, reading, len(k.kept))
}

// TestPushUnknown ends a run when the kernel does not know the files.
func TestPushUnknown(t *testing.T) {
	fs, want := small(1000)
	m := raw(t, fs, Options{})
	k := &keeper{t: t, kept: map[uint64]string{}, known: func(uint64) bool { return false }}
	m.start(k)
	readThrough(t, m, k, want, func() {})
	m.stop()
	if k.calls > len(want) {
		t.Errorf("%d stores were tried for %d files", k.calls, len(want))
	}
}

// TestNoPush has nothing pushed where that is asked for.
func TestNoPush(t *testing.T) {
	fs, want := small(100)
	m := raw(t, fs, Options{NoPush: true})
	k := &keeper{t: t, kept: map[uint64]string{}}
	m.start(k)
	readThrough(t, m, k, want, func() {})
	if k.calls != 0 {
		t.Errorf("%d stores", k.calls)
	}
}
