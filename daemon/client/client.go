package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
)

// A Client is one daemon.
type Client struct {
	socket string
	http   *http.Client
}

// DefaultSocket is where a daemon listens: $GUESTCTL_SOCKET, else
// /run/guestctl/guestctl.sock for root, else $XDG_RUNTIME_DIR/guestctl/guestctl.sock.
func DefaultSocket() string {
	if s := os.Getenv("GUESTCTL_SOCKET"); s != "" {
		return s
	}
	if os.Geteuid() == 0 {
		return "/run/guestctl/guestctl.sock"
	}
	run := os.Getenv("XDG_RUNTIME_DIR")
	if run == "" {
		run = "/run/user/" + strconv.Itoa(os.Geteuid())
	}
	return filepath.Join(run, "guestctl", "guestctl.sock")
}

// New makes a Client of the daemon at a socket; "" is DefaultSocket. It does
// not connect yet.
func New(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket()
	}
	dialer := &net.Dialer{}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
		ReadBufferSize:      64 << 10,
	}}}
}

// Socket is the path of the socket.
func (c *Client) Socket() string { return c.socket }

// Close closes the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// An UnreachableError says that no daemon answers at a socket.
type UnreachableError struct {
	Socket string
	Err    error
}

func (e *UnreachableError) Error() string {
	switch {
	case errors.Is(e.Err, syscall.ENOENT), errors.Is(e.Err, syscall.ECONNREFUSED):
		return fmt.Sprintf("no daemon answers at %s; start one with `guestctld` (systemctl start guestctld), or name its --socket", e.Socket)
	case errors.Is(e.Err, syscall.EACCES):
		return fmt.Sprintf("the socket %s may not be used by this user; root can add it to the group of the socket (usermod -aG guestctl USER)", e.Socket)
	}
	return fmt.Sprintf("the daemon at %s does not answer: %v", e.Socket, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// do sends a request and answers a reply that is no problem. The caller closes
// its body.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any, header http.Header) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "guestctl", Path: path, RawQuery: query.Encode()}
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if of := (*net.OpError)(nil); errors.As(err, &of) {
			err = of.Err
		}
		return nil, &UnreachableError{c.socket, err}
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	p := &api.Problem{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(p); err != nil || p.Code == "" {
		return nil, fmt.Errorf("the daemon at %s answered %s, and not why", c.socket, resp.Status)
	}
	return nil, p
}

// call sends a request and reads the record that answers it.
func call[R any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (R, error) {
	var r R
	resp, err := c.do(ctx, method, path, query, body, nil)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return r, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return r, fmt.Errorf("the reply of the daemon at %s cannot be read: %w", c.socket, err)
	}
	return r, nil
}

func done(ctx context.Context, c *Client, method, path string, query url.Values) error {
	resp, err := c.do(ctx, method, path, query, nil, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Version is what the daemon is.
func (c *Client) Version(ctx context.Context) (api.Version, error) {
	return call[api.Version](ctx, c, http.MethodGet, "/v1/version", nil, nil)
}

// Health says how the daemon is, and what its user may do.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	return call[api.Health](ctx, c, http.MethodGet, "/v1/health", nil, nil)
}

// Metrics are the daemon's metrics in Prometheus's text format.
func (c *Client) Metrics(ctx context.Context) (string, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/metrics", nil, nil, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// Attach opens an image set, or adds a reference to it.
func (c *Client) Attach(ctx context.Context, a api.Attach) (api.Image, error) {
	return call[api.Image](ctx, c, http.MethodPost, "/v1/images", nil, a)
}

// AttachClosed adds a reference to an image set that is opened at its first use.
// It may be one that cannot be opened.
func (c *Client) AttachClosed(ctx context.Context, a api.Attach) (api.Image, error) {
	return call[api.Image](ctx, c, http.MethodPost, "/v1/images", url.Values{"closed": {"true"}}, a)
}

// Detach takes a reference away. The last one closes the image, and Detach
// returns when it is released. force ends what others do with it.
func (c *Client) Detach(ctx context.Context, id string, force bool) error {
	q := url.Values{}
	if force {
		q.Set("force", "true")
	}
	return done(ctx, c, http.MethodDelete, "/v1/images/"+url.PathEscape(id), q)
}

// Image is one image.
func (c *Client) Image(ctx context.Context, id string) (api.Image, error) {
	return call[api.Image](ctx, c, http.MethodGet, "/v1/images/"+url.PathEscape(id), nil, nil)
}

// Images are all images.
func (c *Client) Images(ctx context.Context) ([]api.Image, error) {
	var all []api.Image
	err := pages(func(q url.Values) (string, error) {
		r, err := call[api.Images](ctx, c, http.MethodGet, "/v1/images", q, nil)
		all = append(all, r.Images...)
		return r.Next, err
	})
	return all, err
}

// Filesystems is what is on the disks of an image.
func (c *Client) Filesystems(ctx context.Context, id string) (api.Filesystems, error) {
	return call[api.Filesystems](ctx, c, http.MethodGet, "/v1/images/"+url.PathEscape(id)+"/filesystems", nil, nil)
}

// Inspect says which operating systems are in an image.
func (c *Client) Inspect(ctx context.Context, id string) (*api.Inspection, error) {
	return call[*api.Inspection](ctx, c, http.MethodGet, "/v1/images/"+url.PathEscape(id)+"/inspect", nil, nil)
}

// Packages lists what is installed in an image.
func (c *Client) Packages(ctx context.Context, id string, q api.PackageQuery) (*api.Packages, error) {
	return call[*api.Packages](ctx, c, http.MethodGet, "/v1/images/"+url.PathEscape(id)+"/packages", api.Query(q), nil)
}

// Mount shows an image in a folder of the daemon's host.
func (c *Client) Mount(ctx context.Context, q api.MountRequest) (api.Mount, error) {
	return call[api.Mount](ctx, c, http.MethodPost, "/v1/mounts", nil, q)
}

// Unmount takes a mount away; lazy also one in use.
func (c *Client) Unmount(ctx context.Context, id string, lazy bool) error {
	q := url.Values{}
	if lazy {
		q.Set("lazy", "true")
	}
	return done(ctx, c, http.MethodDelete, "/v1/mounts/"+url.PathEscape(id), q)
}

// Mounts are all mounts.
func (c *Client) Mounts(ctx context.Context) ([]api.Mount, error) {
	var all []api.Mount
	err := pages(func(q url.Values) (string, error) {
		r, err := call[api.Mounts](ctx, c, http.MethodGet, "/v1/mounts", q, nil)
		all = append(all, r.Mounts...)
		return r.Next, err
	})
	return all, err
}

// pageSize is how much of a list is asked for at a time.
const pageSize = 500

// pages asks for all pages of a list.
func pages(page func(url.Values) (next string, err error)) error {
	q := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for {
		next, err := page(q)
		if err != nil || next == "" {
			return err
		}
		q.Set("after", next)
	}
}

// StartJob begins long work that goes on without this client.
func (c *Client) StartJob(ctx context.Context, q api.JobRequest) (api.Job, error) {
	return call[api.Job](ctx, c, http.MethodPost, "/v1/jobs", nil, q)
}

// Job is one job.
func (c *Client) Job(ctx context.Context, id string) (api.Job, error) {
	return call[api.Job](ctx, c, http.MethodGet, "/v1/jobs/"+url.PathEscape(id), nil, nil)
}

// Jobs are all jobs.
func (c *Client) Jobs(ctx context.Context) ([]api.Job, error) {
	var all []api.Job
	err := pages(func(q url.Values) (string, error) {
		r, err := call[api.Jobs](ctx, c, http.MethodGet, "/v1/jobs", q, nil)
		all = append(all, r.Jobs...)
		return r.Next, err
	})
	return all, err
}

// CancelJob ends a job that runs, and forgets one that has ended.
func (c *Client) CancelJob(ctx context.Context, id string) error {
	return done(ctx, c, http.MethodDelete, "/v1/jobs/"+url.PathEscape(id), nil)
}

// JobResult is what a job that has ended found. The caller closes it.
func (c *Client) JobResult(ctx context.Context, id string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(id)+"/result", nil, nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
