package service_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/service"
	"github.com/guestctl/guestctl/tests/images"
)

// Thin copies of one guest, and a real Debian, each attached and mounted: 6, or
// 200 in the long tests. They are listed, inspected and read at the same time,
// and evicted when nobody uses them. The memory of their workers is stated.
func TestFleet(t *testing.T) {
	n := 6
	if os.Getenv("GUESTCTL_LONG") != "" {
		n = 200
	}
	for _, isolation := range []string{"image", "shared"} {
		t.Run(isolation, func(t *testing.T) { fleet(t, n, isolation) })
	}
}

func fleet(t *testing.T, n int, isolation string) {
	images.NeedTool(t, "qemu-img")
	d := start(t, func(c *service.Config) { c.Isolation, c.IdleAfter = isolation, service.Duration(2*time.Second) })
	base := small(t)
	debian := images.Debian(t).Path
	dirs := make([]string, n)
	ids, mounts := make([]string, n), make([]string, n)
	for i := range n {
		thin := filepath.Join(filepath.Dir(base), fmt.Sprintf("thin%03d.qcow2", i))
		of, backing := base, []string(nil)
		if i == n-1 { // the real one
			of, backing = debian, []string{filepath.Dir(debian)}
		}
		if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", of, "-F", "raw", thin).CombinedOutput(); err != nil {
			t.Fatalf("qemu-img: %v: %s", err, out)
		}
		dirs[i] = mountDir(t)
		begun := time.Now()
		img, err := d.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: thin}}, AllowBacking: backing})
		must(t, err)
		m, err := d.Mount(t.Context(), api.MountRequest{Image: img.ID, Dir: dirs[i]})
		must(t, err)
		ids[i], mounts[i] = m.Image, m.ID
		if i == 0 {
			t.Logf("first mount: %v", time.Since(begun))
		}
	}
	state := func(what string) {
		runtime.GC()
		list, err := d.Images(t.Context())
		must(t, err)
		if len(list) != n {
			t.Fatalf("%d images are listed", len(list))
		}
		seen := map[int]bool{}
		var resident, shared, proportional int64
		for _, img := range list {
			if !seen[img.Worker.PID] {
				seen[img.Worker.PID] = true
				resident += img.Worker.MemoryBytes
				shared += img.Worker.SharedBytes
				proportional += pss(img.Worker.PID)
			}
		}
		k := int64(len(seen))
		t.Logf("%s, %s: %d images in %d workers: each %d KiB resident, %d of them files, %d its share; together %d MiB", isolation, what, n, k,
			resident/k>>10, shared/k>>10, proportional/k>>10, proportional>>20)
	}
	time.Sleep(1500 * time.Millisecond) // what opening needed is given back then
	state("idle")
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			name, volumes := "Demo Guest", 1
			if i == n-1 {
				name, volumes = "Debian GNU/Linux 12 (bookworm)", 2
			}
			if f, err := d.Filesystems(t.Context(), ids[i]); err != nil || len(f.Filesystems) != volumes {
				t.Errorf("filesystems: %v %+v", err, f)
			}
			if r, err := d.Inspect(t.Context(), ids[i]); err != nil || len(r.Systems) != 1 || r.Systems[0].Name != name {
				t.Errorf("inspect: %v %+v", err, r)
			}
			if i == n-1 {
				if got := cat(t, dirs[i]+"/etc/os-release"); !strings.Contains(got, name) {
					t.Errorf("read %q", got)
				}
				if err := d.Find(t.Context(), ids[i], api.FindQuery{Place: api.Place{Path: "/usr/bin"}, MaxDepth: -1}, nil, func(api.File) error { return nil }); err != nil {
					t.Errorf("find: %v", err)
				}
				return
			}
			if got := cat(t, dirs[i]+"/home/a/one.txt"); got != guestFiles["home/a/one.txt"] {
				t.Errorf("read %q", got)
			}
			if err := d.Checksum(t.Context(), ids[i], api.ChecksumQuery{Recursive: true}, nil, func(api.Checksum) error { return nil }); err != nil {
				t.Errorf("checksum: %v", err)
			}
		})
	}
	wg.Wait()
	state("after work")
	// Half of them are unmounted, and then nobody uses those: they are evicted,
	// and the next use opens them again.
	for i := range n / 2 {
		must(t, d.Unmount(t.Context(), mounts[i], false))
	}
	eventually(t, "what nobody uses is evicted", func() bool {
		h, err := d.Health(t.Context())
		return err == nil && h.Images[api.StateIdle] == n/2 && h.Images[api.StateOpen] == n-n/2
	})
	if _, err := d.Stat(t.Context(), ids[0], api.StatQuery{Place: api.Place{Path: "/etc/hostname"}}); err != nil {
		t.Errorf("an evicted image: %v", err)
	}
	begun := time.Now()
	d.stop(t)
	t.Logf("shutdown: %v", time.Since(begun))
	for _, dir := range dirs {
		if mountedAt(dir) {
			t.Errorf("%s is still mounted", dir)
		}
	}
}

// pss is a process's share of memory: what it has with others is divided.
func pss(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}
