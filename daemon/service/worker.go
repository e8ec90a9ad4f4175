package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/mount"
)

// workerVariable tells a process that it is a worker. It removes it.
const workerVariable = "GUESTCTL_WORKER"

// The descriptors that a worker is born with.
const (
	workerConns = 3 // the broker sends it connections of HTTP
	workerAsks  = 4 // it asks the broker for descriptors
)

// Like a lone guestmount's: see there.
const (
	workerGCPercent = 40
	workerMemory    = 192 << 20
)

// RunWorker is the whole life of a worker, in a process that the broker
// started again from its own program: called first in main, it returns at once
// with false where this is no worker.
func RunWorker() (status int, worker bool) {
	level := os.Getenv(workerVariable)
	if level == "" {
		return 0, false
	}
	os.Unsetenv(workerVariable)
	// A terminal's Ctrl-C is for the broker, which ends its workers in order.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM)
	debug.SetGCPercent(workerGCPercent)
	debug.SetMemoryLimit(workerMemory)
	number, _ := strconv.Atoi(level) // the broker's
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.Level(number)}))
	switch os.Getenv(roleVariable) {
	case roleSweeper:
		sweep(os.NewFile(sweeperIn, "mounts"), log)
		return 0, true
	case roleProbe:
		return probe(os.Stdout), true
	}
	in, err := enterSandbox()
	if err == nil {
		if len(in.Missing) > 0 {
			log.Debug("the sandbox is not whole", "missing", strings.Join(in.Missing, "; "))
		}
		err = runWorker(log)
	}
	if err != nil {
		log.Error("the worker ends", "error", err.Error())
		return 1, true
	}
	return 0, true
}

func runWorker(log *slog.Logger) error {
	syscall.CloseOnExec(workerConns)
	syscall.CloseOnExec(workerAsks)
	conns, err := unixConn(os.NewFile(workerConns, "connections"))
	if err != nil {
		return err
	}
	asks, err := unixConn(os.NewFile(workerAsks, "asks"))
	if err != nil {
		return err
	}
	engine := NewEngine(log)
	engine.apart = true
	w := &worker{engine: engine, asker: &asker{conn: asks}, log: log, prepared: map[string]workerOpen{}}
	server := &http.Server{Handler: w.routes(), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	// It ends when the broker closes its end, or dies.
	err = server.Serve(passedListener{conns})
	if !errors.Is(err, io.EOF) {
		log.Warn("the broker is lost", "error", err.Error())
	}
	return w.engine.Shutdown(context.Background())
}

// A passedListener accepts the connections that another process sends.
type passedListener struct{ conn *net.UnixConn }

func (l passedListener) Accept() (net.Conn, error) {
	var hello struct{}
	fd, err := receive(l.conn, &hello)
	if err != nil {
		return nil, err
	}
	return unixConn(os.NewFile(uintptr(fd), "connection"))
}

func (l passedListener) Close() error   { return l.conn.Close() }
func (l passedListener) Addr() net.Addr { return l.conn.LocalAddr() }

// A worker serves guests to the broker, over HTTP of its own, which may change:
// both ends are the same program.
type worker struct {
	engine *Engine
	asker  *asker
	log    *slog.Logger

	mu       sync.Mutex // guards prepared; a leaf
	prepared map[string]workerOpen
}

// workerOpen asks for a guest to be opened; what opened it stays a lease until
// it is closed.
type workerOpen struct {
	ID   string      `json:"id"`
	Spec daemon.Spec `json:"spec"`
	Keys []api.Key   `json:"keys,omitempty"`
}

// workerOpened says what was found.
type workerOpened struct {
	Filesystems api.Filesystems `json:"filesystems"`
	Summary     string          `json:"summary"`
	Replayed    []string        `json:"replayed"` // volumes
	Damaged     []string        `json:"damaged"`  // texts
}

type workerMount struct {
	Guest   string   `json:"guest"`
	Mount   string   `json:"mount"`
	Dir     string   `json:"dir"`
	Options []string `json:"options"`
	FSName  string   `json:"fsname"`
}

func (w *worker) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /open", call(w.open))
	mux.Handle("POST /prepare", call(w.prepare))
	mux.Handle("POST /close", call(func(ctx context.Context, id string) (struct{}, error) { return struct{}{}, w.engine.Close(ctx, id) }))
	mux.Handle("POST /mount", call(w.mount))
	mux.Handle("POST /wait", call(func(ctx context.Context, id string) (struct{}, error) { return struct{}{}, w.engine.Wait(ctx, id) }))
	mux.Handle("POST /stats", call(func(context.Context, struct{}) (Stats, error) { return w.engine.Stats(), nil }))
	mux.HandleFunc("GET /op/{op}", w.operation)
	return mux
}

// call makes a handler of a function of a request and a reply.
func call[Q, R any](do func(context.Context, Q) (R, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Q
		err := json.NewDecoder(r.Body).Decode(&q)
		var reply R
		if err == nil {
			reply, err = guarded(func() (R, error) { return do(r.Context(), q) })
		}
		if err != nil {
			writeProblem(w, problemOf(err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(reply) // the broker may have left
	}
}

// guarded makes a panic an error that is our mistake.
func guarded[R any](do func() (R, error)) (reply R, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = api.NewProblem(http.StatusInternalServerError, api.CodeInternal, fmt.Sprintf("panic: %v", r), "please report it")
		}
	}()
	return do()
}

func writeProblem(w http.ResponseWriter, p *api.Problem) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // whoever asked may have left
}

func (w *worker) open(ctx context.Context, q workerOpen) (workerOpened, error) {
	spec, wipe := w.spec(q)
	lease, err := w.engine.Open(ctx, q.ID, spec)
	wipe()
	wipeKeys(q.Keys)
	if err != nil {
		return workerOpened{}, err
	}
	defer lease.Done()
	opened := workerOpened{Filesystems: lease.Describe(), Summary: lease.Summary(), Replayed: []string{}, Damaged: []string{}}
	for _, f := range lease.Filesystems() {
		if f.Info.Replayed {
			opened.Replayed = append(opened.Replayed, f.Name)
		}
		if f.Err != nil && damaged(f.Err) {
			opened.Damaged = append(opened.Damaged, f.Name+": "+f.Err.Error())
		}
	}
	for _, warning := range lease.Warnings() {
		if damaged(warning) {
			opened.Damaged = append(opened.Damaged, warning.Error())
		}
	}
	// What opening needed once is most of the heap of a worker that then waits.
	go func() {
		time.Sleep(time.Second)
		debug.FreeOSMemory()
	}()
	return opened, nil
}

func (w *worker) mount(_ context.Context, q workerMount) (struct{}, error) {
	fd, _, err := w.asker.ask(ask{Kind: "fuse", Mount: q.Mount})
	if err != nil {
		return struct{}{}, err
	}
	opt, err := mountOptions(q.Options, q.FSName)
	if err != nil {
		closeFD(fd)
		return struct{}{}, err
	}
	opt.Log, opt.Apart = w.log.With("image", q.Guest, "mount", q.Dir), true
	return struct{}{}, w.engine.Mount(q.Mount, q.Guest, q.Dir, fd, opt)
}

// mountOptions reads a mount's options, as guestmount's -o.
func mountOptions(list []string, fsname string) (mount.Options, error) {
	opt, unknown, err := mount.ParseOptions(list)
	if err == nil && len(unknown) > 0 {
		err = fmt.Errorf("mount option %q is not known", unknown[0])
	}
	if err != nil {
		return opt, api.NewProblem(http.StatusUnprocessableEntity, api.CodeMountOption, err.Error(), "`guestmount --fuse-help` lists the options")
	}
	if opt.FSName == "" {
		opt.FSName = fsname
	}
	return opt, nil
}
