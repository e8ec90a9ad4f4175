package service_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/client"
	"github.com/guestctl/guestctl/daemon/service"
	"github.com/guestctl/guestctl/tests/images"
)

// The broker starts this program again as its workers.
func TestMain(m *testing.M) {
	if status, worker := service.RunWorker(); worker {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// guestFiles are in every small image.
var guestFiles = map[string]string{
	"etc/os-release":  "ID=demo\nPRETTY_NAME=\"Demo Guest\"\n",
	"etc/hostname":    "guest\n",
	"etc/shadow":      "root:the-guest's-own:1::::::\n",
	"etc/fstab":       "",
	"shadow":          "->/etc/shadow",
	"up":              "->../../../../../../etc/shadow",
	"bin/sh":          "#!\n",
	"home/a/one.txt":  "one\ntwo\nthree\n",
	"home/a/deep/two": strings.Repeat("0123456789abcdef", 1<<12),
	"home/a/.hidden":  "",
	"home/empty/":     "",
}

// small makes a small ext4 image and answers its path.
func small(t testing.TB) string {
	t.Helper()
	return smallIn(t, t.TempDir())
}

func smallIn(t testing.TB, dir string) string {
	t.Helper()
	images.NeedTool(t, "mke2fs")
	tree := t.TempDir()
	for name, content := range guestFiles {
		path := filepath.Join(tree, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		switch target, link := strings.CutPrefix(content, "->"); {
		case link:
			must(t, os.Symlink(target, path))
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(path, 0o755))
		default:
			must(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	path := filepath.Join(dir, "guest.img")
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-d", tree, path, "16M").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A daemon runs in this process; its workers are processes of their own.
type daemon struct {
	*client.Client
	server *service.Server
	broker *service.Broker
	socket string
	audit  string
	served chan error
	held   *service.Held
}

// start starts a daemon; change may change its configuration.
func start(t testing.TB, change ...func(*service.Config)) *daemon {
	t.Helper()
	dir := t.TempDir()
	cfg := service.DefaultConfig()
	cfg.Socket = filepath.Join(dir, "s")
	cfg.Version = "test"
	cfg.Audit = filepath.Join(dir, "audit.jsonl")
	cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for _, c := range change {
		c(&cfg)
	}
	held, err := service.HoldSocket(cfg.Socket)
	must(t, err)
	b, err := service.NewBroker(cfg)
	must(t, err)
	l, err := held.Listen("")
	must(t, err)
	d := &daemon{Client: client.New(cfg.Socket), server: service.NewServer(b), broker: b, socket: cfg.Socket, audit: cfg.Audit, served: make(chan error, 1), held: held}
	go func() { d.served <- d.server.Serve(l) }()
	t.Cleanup(func() { d.stop(t) })
	return d
}

// stop shuts the daemon down; a second call does nothing.
func (d *daemon) stop(t testing.TB) {
	t.Helper()
	if d.held == nil {
		return
	}
	d.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := d.server.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-d.served; err != nil {
		t.Errorf("serving: %v", err)
	}
	d.held.Release()
	d.held = nil
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func attach(t testing.TB, d *daemon, path string) api.Image {
	t.Helper()
	img, err := d.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: path}}})
	must(t, err)
	return img
}

// wantCode fails unless err is a problem with the code.
func wantCode(t testing.TB, err error, code api.Code) *api.Problem {
	t.Helper()
	var p *api.Problem
	if !errors.As(err, &p) {
		t.Fatalf("error %v (%T), want the problem %s", err, err, code)
	}
	if p.Code != code {
		t.Fatalf("problem %s (%s), want %s", p.Code, p.Detail, code)
	}
	return p
}

// get asks for a path as curl does.
func (d *daemon) get(t testing.TB, method, path, body string) (int, string, http.Header) {
	t.Helper()
	c := dialer(d.socket)
	r, err := http.NewRequest(method, "http://guestctl"+path, strings.NewReader(body))
	must(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(r)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(text), resp.Header
}

// dialer is an HTTP client of a socket.
func dialer(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
}
