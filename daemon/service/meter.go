package service

import (
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/metrics"
	"github.com/guestctl/guestctl/formats/block"
)

// buckets are the upper bounds of the latency histograms, in seconds.
func buckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
}

// A meter counts what the broker does.
type meter struct {
	mu      sync.Mutex // guards what follows; a leaf
	ops     map[string]*opMeter
	images  map[string]*imageMeter
	opening histogram
	crashes int64
}

type opMeter struct {
	results map[string]int64 // "ok", or a code
	bytes   int64
	latency histogram
}

type imageMeter struct{ requests, bytes, damage int64 }

type histogram struct {
	counts []int64 // one for each bucket, and one for what is above all
	sum    float64
}

func (h *histogram) add(d time.Duration) {
	bounds := buckets()
	if h.counts == nil {
		h.counts = make([]int64, len(bounds)+1)
	}
	i, _ := slices.BinarySearch(bounds, d.Seconds())
	h.counts[i]++
	h.sum += d.Seconds()
}

func newMeter() *meter {
	return &meter{ops: map[string]*opMeter{}, images: map[string]*imageMeter{}}
}

// request counts a request that ended.
func (m *meter) request(op, image, result string, bytes int64, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.ops[op]
	if o == nil {
		o = &opMeter{results: map[string]int64{}}
		m.ops[op] = o
	}
	o.results[result]++
	o.bytes += bytes
	o.latency.add(took)
	if image != "" {
		i := m.image(image)
		i.requests++
		i.bytes += bytes
	}
}

// image is an image's counts. Preconditions: mu.
func (m *meter) image(id string) *imageMeter {
	i := m.images[id]
	if i == nil {
		i = &imageMeter{}
		m.images[id] = i
	}
	return i
}

func (m *meter) damage(image string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.image(image).damage++
}

func (m *meter) opened(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opening.add(took)
}

func (m *meter) crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashes++
}

// forget drops what was counted for an image that is gone.
func (m *meter) forget(image string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.images, image)
}

// An exposition is what Metrics writes.
type exposition struct{ metrics.Text }

func (x *exposition) histogram(name string, h histogram, labels ...string) {
	total := int64(0)
	bounds := buckets()
	for i, n := range h.counts {
		total += n
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i], 'g', -1, 64)
		}
		x.Sample(name+"_bucket", float64(total), append(slices.Clone(labels), "le", le)...)
	}
	x.Sample(name+"_sum", h.sum, labels...)
	x.Sample(name+"_count", float64(total), labels...)
}

// statsTime bounds how long a worker may take to say its counts.
const statsTime = 2 * time.Second

// stats asks the workers that serve mounts, or with all those that have images.
func (b *Broker) stats(ctx context.Context, all bool) Stats {
	b.mu.Lock()
	asked := map[*process]bool{}
	for _, m := range b.mounts {
		asked[m.proc] = true
	}
	for _, img := range b.images {
		if all && img.proc != nil {
			asked[img.proc] = true
		}
	}
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, statsTime)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	sum := Stats{map[string]api.MountStats{}, map[string]map[string]block.CacheStats{}}
	for p := range asked {
		wg.Go(func() {
			var stats Stats
			if p.call(ctx, "stats", struct{}{}, &stats) == nil {
				mu.Lock()
				defer mu.Unlock()
				maps.Copy(sum.Mounts, stats.Mounts)
				maps.Copy(sum.Caches, stats.Caches)
			}
		})
	}
	wg.Wait()
	return sum
}

// addStats adds what each mount was asked for, where its worker answers.
func (b *Broker) addStats(ctx context.Context, list []api.Mount) {
	if len(list) == 0 {
		return
	}
	stats := b.stats(ctx, false).Mounts
	for i := range list {
		if s, ok := stats[list[i].ID]; ok {
			list[i].Stats = &s
		}
	}
}

// Metrics writes all metrics in Prometheus's text format.
func (b *Broker) Metrics(ctx context.Context, w io.Writer) error {
	x := &exposition{}
	stats := b.stats(ctx, true)
	b.mu.Lock()
	states := map[string]int{api.StateOpen: 0, api.StateIdle: 0, api.StateFailed: 0}
	pids := map[string]int{}
	for id, img := range b.images {
		states[img.state()]++
		if img.proc != nil {
			pids[id] = img.proc.cmd.Process.Pid
		}
	}
	mounts := map[string]api.Mount{}
	for id, m := range b.mounts {
		mounts[id] = m.record()
	}
	jobs := map[string]int{api.JobRunning: 0}
	for _, j := range b.jobs {
		jobs[j.state()]++
	}
	workers := len(b.workers)
	b.mu.Unlock()

	x.Family("guestctl_build_info", "gauge", "The program, as labels.")
	x.Sample("guestctl_build_info", 1, "version", b.config().Version)
	x.Family("guestctl_start_time_seconds", "gauge", "When the daemon started, in seconds since 1970.")
	x.Sample("guestctl_start_time_seconds", float64(b.start.UnixMilli())/1000)
	x.Family("guestctl_images", "gauge", "Attached image sets by state.")
	for _, s := range slices.Sorted(maps.Keys(states)) {
		x.Sample("guestctl_images", float64(states[s]), "state", s)
	}
	x.Family("guestctl_workers", "gauge", "Processes that serve images.")
	x.Sample("guestctl_workers", float64(workers))
	x.Family("guestctl_jobs", "gauge", "Jobs by state, the ended ones that are still kept included.")
	for _, s := range slices.Sorted(maps.Keys(jobs)) {
		x.Sample("guestctl_jobs", float64(jobs[s]), "state", s)
	}
	x.Family("guestctl_memory_bytes", "gauge", "Resident memory of the broker and of each image's worker.")
	own, _ := metrics.Memory(os.Getpid())
	x.Sample("guestctl_memory_bytes", float64(own), "image", "", "process", "broker")
	for _, id := range slices.Sorted(maps.Keys(pids)) {
		resident, _ := metrics.Memory(pids[id])
		x.Sample("guestctl_memory_bytes", float64(resident), "image", id, "process", "worker")
	}
	x.Mounts(mounts, stats.Mounts)
	x.Caches(stats.Caches)
	b.meter.write(x)
	_, err := io.WriteString(w, x.String())
	return err
}

func (m *meter) write(x *exposition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ops := slices.Sorted(maps.Keys(m.ops))
	x.Family("guestctl_requests_total", "counter", "Requests by operation and result: ok, or a problem's code.")
	for _, op := range ops {
		for _, result := range slices.Sorted(maps.Keys(m.ops[op].results)) {
			x.Sample("guestctl_requests_total", float64(m.ops[op].results[result]), "operation", op, "result", result)
		}
	}
	x.Family("guestctl_request_bytes_total", "counter", "Bytes of the replies.")
	for _, op := range ops {
		x.Sample("guestctl_request_bytes_total", float64(m.ops[op].bytes), "operation", op)
	}
	x.Family("guestctl_request_duration_seconds", "histogram", "How long requests took, to the end of the reply.")
	for _, op := range ops {
		x.histogram("guestctl_request_duration_seconds", m.ops[op].latency, "operation", op)
	}
	x.Family("guestctl_image_open_seconds", "histogram", "How long opening an image took, the start of its worker included.")
	if m.opening.counts != nil {
		x.histogram("guestctl_image_open_seconds", m.opening)
	}
	x.Family("guestctl_worker_failures_total", "counter", "Image sets that lost their worker.")
	x.Sample("guestctl_worker_failures_total", float64(m.crashes))
	images := slices.Sorted(maps.Keys(m.images))
	for _, f := range []struct {
		name, help string
		value      func(*imageMeter) int64
	}{
		{"guestctl_image_requests_total", "Requests about an image.", func(i *imageMeter) int64 { return i.requests }},
		{"guestctl_image_bytes_total", "Bytes of the replies to them.", func(i *imageMeter) int64 { return i.bytes }},
		{"guestctl_image_damage_total", "Times that damage was met in an image.", func(i *imageMeter) int64 { return i.damage }},
	} {
		x.Family(f.name, "counter", f.help)
		for _, id := range images {
			x.Sample(f.name, float64(f.value(m.images[id])), "image", id)
		}
	}
}
