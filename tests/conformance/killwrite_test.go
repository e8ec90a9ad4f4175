package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/crash"
	"github.com/guestctl/guestctl/tests/images"
)

// TestKilledWriter: a daemon that is killed while files are unpacked, renamed and synced leaves an image that is recovered
// with nothing but orphans to clean up, and in which every file that fsync(2) promised is whole.
func TestKilledWriter(t *testing.T) { killWriters(t, 3) }

// TestKilledWriterLong does so 200 times.
func TestKilledWriterLong(t *testing.T) {
	images.NeedLong(t)
	killWriters(t, 200)
}

func killWriters(t *testing.T, rounds uint64) {
	images.NeedTool(t, "e2fsck")
	image := guest(t, commands.Self)
	was, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	synced := 0
	for round := range rounds {
		r := rand.New(rand.NewPCG(round, 1))
		if round%4 == 0 {
			if err := os.WriteFile(image, was, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m, _ := commands.Start(t, commands.Self, "--rw", "-a", image)
		dir := filepath.Join(m.Dir, fmt.Sprintf("round%d", round))
		kept := writeUntilKilled(t, dir, round, func() {
			time.Sleep(time.Duration(20+r.IntN(400)) * time.Millisecond)
			if err := syscall.Kill(m.PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		})
		commands.Gone(t, m.PID)
		m.Forget()
		commands.Must(t, commands.Self, "guestunmount", m.Dir)
		synced += len(kept)

		copied := filepath.Join(t.TempDir(), "copy.img") // of the root alone: e2fsck loses its place when it replays at an offset
		commands.Must(t, commands.Self, "dd", "if="+image, "of="+copied, "bs=1M", "skip=1", "conv=sparse", "status=none")
		if err := crash.Replay(t.Context(), copied); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		os.Remove(copied)
		for _, mode := range []string{"--ro", "--rw"} { // recovered in memory, then home
			m, _ := commands.Start(t, commands.Self, mode, "-a", image)
			for name, text := range kept {
				got, err := os.ReadFile(filepath.Join(m.Dir, fmt.Sprintf("round%d", round), name))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("round %d, %s: %s was synced with %d bytes and has %d, %v", round, mode, name, len(text), len(got), err)
				}
			}
			if mode == "--rw" {
				commands.Must(t, commands.Self, "rm", "-rf", m.Dir+"/"+filepath.Base(dir))
			}
			m.End(t)
		}
		clean(t, image)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d files were synced before the kills", synced)
}

// writeUntilKilled writes in several ways until the mount is gone, and answers the files that were synced.
func writeUntilKilled(t *testing.T, dir string, round uint64, kill func()) map[string][]byte {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// A file is synced with its directory: its name has to be durable too.
	kept := make(map[string][]byte)
	var wg sync.WaitGroup
	over := func(err error) bool {
		if err == nil {
			return false
		}
		for _, end := range []error{unix.ENOTCONN, unix.ECONNABORTED, unix.EIO, unix.ENOSPC, unix.ENOENT} {
			if strings.Contains(err.Error(), end.Error()) {
				return true
			}
		}
		t.Error(err)
		return true
	}
	wg.Go(func() { // unpacking
		r := rand.New(rand.NewPCG(round, 2))
		for i := range 100_000 {
			sub := filepath.Join(dir, fmt.Sprintf("tree%d", i/20))
			if i%20 == 0 {
				if over(os.Mkdir(sub, 0o755)) {
					return
				}
			}
			name := filepath.Join(sub, fmt.Sprintf("f%d", i))
			if over(os.WriteFile(name, bytes.Repeat([]byte("text"), r.IntN(2000)), 0o600)) || over(os.Chmod(name, 0o644)) {
				return
			}
			if i%40 == 39 && over(os.RemoveAll(filepath.Join(dir, fmt.Sprintf("tree%d", i/20-1)))) {
				return
			}
		}
	})
	wg.Go(func() { // renaming
		if over(os.WriteFile(filepath.Join(dir, "moving0"), []byte("moving"), 0o600)) {
			return
		}
		for i := range 1_000_000 {
			if over(os.Rename(filepath.Join(dir, fmt.Sprintf("moving%d", i)), filepath.Join(dir, fmt.Sprintf("moving%d", i+1)))) {
				return
			}
		}
	})
	wg.Go(func() { // syncing
		r := rand.New(rand.NewPCG(round, 3))
		for i := range 100_000 {
			name, text := fmt.Sprintf("synced%d", i), bytes.Repeat([]byte(fmt.Sprintf("%d %d\n", round, i)), 1+r.IntN(3000))
			f, err := os.Create(filepath.Join(dir, name))
			if over(err) {
				return
			}
			_, err = f.Write(text)
			if err == nil {
				err = f.Sync()
			}
			f.Close()
			if over(err) {
				return
			}
			kept[name] = text
		}
	})
	kill()
	wg.Wait()
	return kept
}
