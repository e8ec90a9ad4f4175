package metrics

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/mount"
)

// A Text is Prometheus's text format, version 0.0.4.
type Text struct{ strings.Builder }

// Family begins a metric.
func (x *Text) Family(name, kind, help string) {
	fmt.Fprintf(x, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// Sample is one line; labels are names and values in turn.
func (x *Text) Sample(name string, v float64, labels ...string) {
	x.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		value := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD"))
		fmt.Fprintf(x, `%s%s="%s"`, sep, labels[i], value)
	}
	if len(labels) > 0 {
		x.WriteString("}")
	}
	x.WriteString(" " + strconv.FormatFloat(v, 'g', -1, 64) + "\n")
}

// Mounts are what mounts were asked for, by id.
func (x *Text) Mounts(mounts map[string]api.Mount, stats map[string]api.MountStats) {
	x.Family("guestctl_mounts", "gauge", "Mounts.")
	x.Sample("guestctl_mounts", float64(len(mounts)))
	x.Family("guestctl_mount_requests_total", "counter", "What the kernel asked a mount for, by kind.")
	ids := slices.Sorted(maps.Keys(stats))
	for _, id := range ids {
		m, s := mounts[id], stats[id]
		for _, k := range []struct {
			kind string
			n    int64
		}{{"list", s.Lists}, {"lookup", s.Lookups}, {"read", s.Reads}} {
			x.Sample("guestctl_mount_requests_total", float64(k.n), "image", m.Image, "dir", m.Dir, "kind", k.kind)
		}
	}
	x.Family("guestctl_mount_pushed_files_total", "counter", "Files sent to the kernel before it asked for them.")
	for _, id := range ids {
		x.Sample("guestctl_mount_pushed_files_total", float64(stats[id].Stores), "image", mounts[id].Image, "dir", mounts[id].Dir)
	}
	x.Family("guestctl_mount_pushed_bytes_total", "counter", "Bytes of them.")
	for _, id := range ids {
		x.Sample("guestctl_mount_pushed_bytes_total", float64(stats[id].StoredBytes), "image", mounts[id].Image, "dir", mounts[id].Dir)
	}
}

// Caches are those of the images that are open: closed, they begin anew.
func (x *Text) Caches(of map[string]map[string]block.CacheStats) {
	for _, f := range []struct {
		name, help string
		value      func(block.CacheStats) int64
	}{
		{"guestctl_image_cache_hits_total", "What an image's caches had in memory, by cache.", func(s block.CacheStats) int64 { return s.Hits }},
		{"guestctl_image_cache_misses_total", "What they had to make.", func(s block.CacheStats) int64 { return s.Misses }},
	} {
		x.Family(f.name, "counter", f.help)
		for _, id := range slices.Sorted(maps.Keys(of)) {
			for _, cache := range slices.Sorted(maps.Keys(of[id])) {
				x.Sample(f.name, float64(f.value(of[id][cache])), "image", id, "cache", cache)
			}
		}
	}
}

// MountStats are what a mount was asked for.
func MountStats(m *mount.Server) api.MountStats {
	s := m.Stats()
	return api.MountStats{Lookups: s.Lookups, Lists: s.Lists, Reads: s.Reads, Stores: s.Stores, StoredBytes: s.Stored}
}

// Memory is the resident memory of a process and the part of it that is files,
// in bytes; 0 where it is gone.
func Memory(pid int) (resident, shared int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0
	}
	var size int64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		return 0, 0
	}
	page := int64(os.Getpagesize())
	return resident * page, shared * page
}
