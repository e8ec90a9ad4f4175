package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/guestctl/guestctl/daemon/api"
)

// forward has an image's worker do an operation, and passes its reply on.
func (b *Broker) forward(ctx context.Context, id, op string, query url.Values, w http.ResponseWriter, r *http.Request) error {
	u, err := b.useFor(ctx, peerFrom(ctx), op, id, query)
	if err != nil {
		return err
	}
	defer u.done()
	proxy := httputil.ReverseProxy{
		Transport:     u.proc.client.Transport,
		FlushInterval: -1, // the worker has collected
		BufferPool:    copyBuffers{},
		ErrorLog:      slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			out := p.Out
			out.URL = &url.URL{Scheme: "http", Host: "worker", Path: "/op/" + op, RawQuery: query.Encode()}
			out.Host = ""
			header := http.Header{guestHeader: {id}}
			for _, name := range []string{"Range", "If-Range", "If-Modified-Since", "If-Unmodified-Since"} {
				if v := p.In.Header.Get(name); v != "" && op == "read" {
					header.Set(name, v)
				}
			}
			header["User-Agent"] = nil
			out.Header = header
			out.Body = nil
			out.ContentLength = 0
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode >= 400 && resp.Header.Get("Content-Type") == api.ProblemType {
				return noteProblem(ctx, resp)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			exchangeOf(ctx).problem(problemOf(u.proc.lost(ctx, err)))
		},
	}
	proxy.ServeHTTP(w, r)
	return nil
}

// noteProblem remembers the code of a worker's problem.
func noteProblem(ctx context.Context, resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	resp.Body.Close()
	if err != nil {
		return err
	}
	var p api.Problem
	if json.Unmarshal(text, &p) == nil {
		exchangeOf(ctx).code = p.Code
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return nil
}

// copyBuffers are the buffers that replies are copied through.
type copyBuffers struct{}

const copyBuffer = 256 << 10

var bufferPool = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

func (copyBuffers) Get() []byte { return bufferPool.Get().(*[copyBuffer]byte)[:] }
func (copyBuffers) Put(b []byte) {
	if len(b) == copyBuffer {
		bufferPool.Put((*[copyBuffer]byte)(b))
	}
}

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// streamEvents writes events as JSON lines, or as server-sent events where the
// client accepts those and resumes with Last-Event-ID. last says, after an
// event or where there is none (nil), whether that was all; seen is the
// sequence that the stream has come to.
func (b *Broker) streamEvents(ctx context.Context, w http.ResponseWriter, r *http.Request, since uint64, follow bool, want func(api.Event) bool, last func(e *api.Event, seen uint64) bool) error {
	sse := strings.Contains(r.Header.Get("Accept"), eventStream)
	w.Header().Set("Content-Type", api.JSONLines)
	if sse {
		w.Header().Set("Content-Type", eventStream)
		w.Header().Set("Cache-Control", "no-store")
		if n, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
			since = n
		}
	}
	flusher, _ := w.(http.Flusher)
	stop := fmt.Errorf("stop")
	from := since
	err := b.events.follow(ctx, from, follow, func(e *api.Event) error {
		if e == nil {
			if flusher != nil {
				flusher.Flush()
			}
			if last != nil && last(nil, since) {
				return stop
			}
			return nil
		}
		since = e.Sequence
		if !want(*e) && e.Kind != api.EventDropped {
			return nil
		}
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if sse {
			_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Sequence, e.Kind, line)
		} else {
			_, err = w.Write(append(line, '\n'))
		}
		if err == nil && last != nil && last(e, e.Sequence) {
			err = stop
		}
		return err
	})
	if err == stop || ctx.Err() != nil {
		return nil
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the client does not read
	}
	return nil
}

// streamJob tells a job's events until its end.
func (b *Broker) streamJob(ctx context.Context, w http.ResponseWriter, r *http.Request, id string) error {
	j, err := b.job(id)
	if err != nil {
		return err
	}
	mine := func(e api.Event) bool { return e.Job == id }
	end := func(e *api.Event, seen uint64) bool {
		if e == nil {
			return seen >= j.lastEvent() // it was told, or lost
		}
		return e.Job == id && e.Kind == api.EventJobEnd
	}
	return b.streamEvents(ctx, w, r, j.begun, true, mine, end)
}
