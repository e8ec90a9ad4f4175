// Package lone is the control socket of guestmount: of a process that serves
// one guest and its mount itself. It answers what the API says of the process:
// version, health, metrics, the image, what is on its disks, the mount. Files
// are read through the mount, or through guestctld; it imports no package that
// would make guestmount start later or grow.
//
// Nobody is let in but by the socket's own mode. All answers are short, and
// made of what is in memory. Until somebody connects there is a listening socket
// and nothing else: most mounts are never asked.
//
// This package may change; package client is the stable way to the socket.
package lone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/metrics"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/mount"
)

// Config is what a Server tells of. Spec names its images from the root.
type Config struct {
	Guest   *daemon.Guest
	Spec    daemon.Spec
	Mount   *mount.Server
	MountID string
	Version string
	Log     *slog.Logger
}

// A Server is a control socket.
type Server struct {
	Config
	start    time.Time
	listener net.Listener
	ended    sync.WaitGroup

	mu     sync.Mutex   // guards what follows; a leaf
	http   *http.Server // from the first connection on
	closed bool

	attach api.Attach // from then on too, and as it is
	id     string
}

const (
	requestTime = 10 * time.Second // to be asked, and to be answered
	idleTime    = time.Minute
	closeTime   = 200 * time.Millisecond // of what is being answered, at the end
	maxHeader   = 16 << 10
	answering   = 4 // requests at a time
)

// Serve answers on l until Close.
func Serve(l net.Listener, cfg Config) *Server {
	s := &Server{Config: cfg, start: time.Now().UTC(), listener: l}
	s.ended.Go(s.serve)
	return s
}

func (s *Server) serve() {
	first, err := s.listener.Accept()
	if err != nil {
		return // closed
	}
	s.attach = attachOf(s.Spec)
	s.id = s.attach.ID()
	server := &http.Server{Handler: s.routes(), ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)}
	s.mu.Lock()
	s.http = server
	closed := s.closed
	s.mu.Unlock()
	if closed {
		first.Close()
		return
	}
	if err := server.Serve(&begun{Listener: s.listener, first: first}); !errors.Is(err, http.ErrServerClosed) {
		s.Log.Warn("the control socket is not served any more", "error", err)
	}
}

// A begun is a listener from which one connection was accepted.
type begun struct {
	net.Listener
	first net.Conn
}

func (b *begun) Accept() (net.Conn, error) {
	if c := b.first; c != nil {
		b.first = nil
		return c, nil
	}
	return b.Listener.Accept()
}

// Close ends it, and leaves a moment to what is being answered. A nil Server has nothing.
func (s *Server) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.closed = true
	server := s.http
	s.mu.Unlock()
	if server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			server.Close()
		}
	}
	s.listener.Close()
	s.ended.Wait()
}

// attachOf is a spec as the API has it.
func attachOf(spec daemon.Spec) api.Attach {
	a := api.Attach{View: spec.View.String(), ForceShare: spec.ForceShare, NoRecovery: spec.NoRecovery, Partial: spec.Partial, AllowBacking: spec.AllowBacking}
	for _, i := range spec.Images {
		a.Images = append(a.Images, api.ImageSpec{Path: i.Path, Format: i.Format, SectorSize: i.SectorSize, Snapshot: i.Snapshot})
	}
	for _, m := range spec.Mounts {
		a.Mounts = append(a.Mounts, api.MountSpec{Device: m.Device, Path: m.Path, Options: m.Options, FSType: m.FSType})
	}
	return a.Canonical()
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	slots := make(chan struct{}, answering)
	// add adds an endpoint; of says whose id its path has.
	add := func(path string, record func() any, of string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			slots <- struct{}{}
			defer func() { <-slots }()
			if id := r.PathValue("id"); of != "" && id != of {
				code, what := api.CodeNoImage, "image"
				if of == s.MountID {
					code, what = api.CodeNoMount, "mount"
				}
				answer(w, api.NewProblem(http.StatusNotFound, code, fmt.Sprintf("this guestmount has no %s %q", what, id), ""))
				return
			}
			answer(w, record())
		})
	}
	add("/v1/version", func() any { return daemon.Version(s.Version) }, "")
	add("/v1/health", func() any { return s.health() }, "")
	add("/v1/images", func() any { return api.Images{Images: []api.Image{s.image()}} }, "")
	add("/v1/images/{id}", func() any { return s.image() }, s.id)
	add("/v1/images/{id}/filesystems", func() any { return s.Guest.Describe() }, s.id)
	add("/v1/mounts", func() any { return api.Mounts{Mounts: []api.Mount{s.mount()}} }, "")
	add("/v1/mounts/{id}", func() any { return s.mount() }, s.MountID)
	mux.HandleFunc("GET /v1/metrics", func(w http.ResponseWriter, _ *http.Request) {
		slots <- struct{}{}
		defer func() { <-slots }()
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		fmt.Fprint(w, s.metrics())
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, api.NewProblem(http.StatusNotFound, api.CodeNoPath, fmt.Sprintf("guestmount's own control socket has no %s %s", r.Method, r.URL.Path),
			"guestctld has all of the API; attach the image there"))
	})
	return mux
}

// answer writes a record, or a problem.
func answer(w http.ResponseWriter, record any) {
	w.Header().Set("Content-Type", "application/json")
	if p, ok := record.(*api.Problem); ok {
		w.Header().Set("Content-Type", api.ProblemType)
		w.WriteHeader(p.Status)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(record) // whoever asked may have left
}

func (s *Server) health() api.Health {
	h := api.Health{Schema: api.HealthSchema, Status: "ok", PID: os.Getpid(), Started: s.start, Images: map[string]int{api.StateOpen: 1}, Mounts: 1, Access: "read"}
	h.Memory, _ = metrics.Memory(h.PID)
	return h
}

func (s *Server) image() api.Image {
	img := api.Image{Schema: api.ImageSchema, ID: s.id, Images: s.attach.Images, View: s.attach.View, State: api.StateOpen, References: 1, Mounts: 1,
		Summary: s.Guest.Summary(), Warnings: s.Guest.Describe().Warnings, Attached: s.start, Used: time.Now().UTC(), Owner: os.Geteuid(), Worker: &api.Worker{PID: os.Getpid()}}
	img.Worker.MemoryBytes, img.Worker.SharedBytes = metrics.Memory(img.Worker.PID)
	return img
}

func (s *Server) mount() api.Mount {
	stats := metrics.MountStats(s.Mount)
	return api.Mount{Schema: api.MountSchema, ID: s.MountID, Image: s.id, Dir: s.Mount.Dir(), Options: []string{}, Owner: os.Geteuid(), Mounted: s.start, Stats: &stats}
}

func (s *Server) metrics() string {
	x := &metrics.Text{}
	x.Family("guestctl_build_info", "gauge", "The program, as labels.")
	x.Sample("guestctl_build_info", 1, "version", s.Version)
	x.Family("guestctl_start_time_seconds", "gauge", "When the daemon started, in seconds since 1970.")
	x.Sample("guestctl_start_time_seconds", float64(s.start.UnixMilli())/1000)
	x.Family("guestctl_memory_bytes", "gauge", "Resident memory of the broker and of each image's worker.")
	resident, _ := metrics.Memory(os.Getpid())
	x.Sample("guestctl_memory_bytes", float64(resident), "image", s.id, "process", "worker")
	m := s.mount()
	x.Mounts(map[string]api.Mount{m.ID: m}, map[string]api.MountStats{m.ID: *m.Stats})
	x.Caches(map[string]map[string]block.CacheStats{s.id: s.Guest.CacheStats()})
	return x.String()
}
