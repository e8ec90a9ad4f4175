package service_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/tests/images"
)

// A mount whose worker hangs is noticed; its worker is killed, and the others
// stay.
func TestCheckMount(t *testing.T) {
	images.NeedFUSE(t)
	d := start(t)
	must(t, d.broker.CheckMount(t.Context())) // there is none
	dirs := map[string]string{}
	for _, name := range []string{"a", "b"} {
		dir := filepath.Join(t.TempDir(), name)
		must(t, os.Mkdir(dir, 0o755))
		m, err := d.Mount(t.Context(), api.MountRequest{Attach: &api.Attach{Images: []api.ImageSpec{{Path: small(t)}}}, Dir: dir})
		must(t, err)
		dirs[m.Image] = dir
	}
	list, err := d.Images(t.Context())
	must(t, err)
	hung, well := list[0], list[1]
	must(t, syscall.Kill(hung.Worker.PID, syscall.SIGSTOP))
	waitStopped(t, hung.Worker.PID)
	failed := 0
	for range 2 { // each in its turn
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := d.broker.CheckMount(ctx); err != nil {
			t.Errorf("a hung worker's end: %v", err)
		}
		if ctx.Err() != nil {
			failed++
		}
		cancel()
	}
	if failed != 1 {
		t.Errorf("%d mounts of 2 do not answer, want 1", failed)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		img, err := d.Image(t.Context(), well.ID)
		must(t, err)
		mounts, err := d.Mounts(t.Context())
		must(t, err)
		if img.State == api.StateOpen && len(mounts) == 1 && mounts[0].Dir == dirs[well.ID] {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("images %+v, mounts %+v", img, mounts)
		}
	}
	if got := d.broker.Status(); !strings.HasPrefix(got, "1 images open") || !strings.Contains(got, "1 mounts") {
		t.Errorf("the status is %q", got)
	}
}

// waitStopped returns when every thread of a process has stopped: one that has not may answer once more.
func waitStopped(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		must(t, err)
		running := 0
		for _, task := range tasks {
			text, err := os.ReadFile(task)
			must(t, err)
			if after := string(text[strings.LastIndexByte(string(text), ')')+1:]); !strings.HasPrefix(after, " T") {
				running++
			}
		}
		if running == 0 && len(tasks) > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d threads of %d do not stop", running, len(tasks))
		}
	}
}
