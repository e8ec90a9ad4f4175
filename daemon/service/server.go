package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/guestctl/guestctl/daemon/api"
)

const (
	headerTime  = 10 * time.Second
	keepTime    = 2 * time.Minute // of an idle connection
	maxHeader   = 256 << 10       // a path of 64 KiB, percent-encoded, fits
	maxBody     = 1 << 20
	bodyTime    = 10 * time.Second
	requestTime = 30 * time.Second // of a request in order, at shutdown
)

// A Server is the control socket of a Broker.
type Server struct {
	broker *Broker
	mux    *http.ServeMux
	api    huma.API
	http   *http.Server

	mu    sync.Mutex  // guards conns; a leaf
	conns map[int]int // by uid
}

// humaErrors sets what huma has in variables for all, once: errors are problems, lists are never null.
var humaErrors = sync.OnceFunc(func() {
	huma.NewError = newHumaError
	huma.DefaultArrayNullable = false
})

// NewServer makes the control socket of b.
func NewServer(b *Broker) *Server {
	humaErrors()
	s := &Server{broker: b, mux: http.NewServeMux(), conns: map[int]int{}}
	config := huma.DefaultConfig("GuestCtl", b.config().Version)
	config.Info.Description = "The control socket of guestctld. Errors are problem+json (RFC 9457) with a stable code, a detail and a remedy. " +
		"What can be large is a stream of JSON lines, in which a line with the schema " + api.ProblemSchema + " says what could not be read; a stream that breaks off is short."
	config.CreateHooks = nil // no $schema in replies: a record is the same everywhere
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/v1/openapi", "", ""
	config.RejectUnknownQueryParameters = true
	s.api = humago.New(s.mux, config)
	s.api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
		x := exchangeOf(ctx.Context())
		x.op = ctx.Operation().OperationID
		x.image = ctx.Param("id")
		next(ctx)
	})
	s.daemonRoutes()
	s.imageRoutes()
	s.fileRoutes()
	s.mountRoutes()
	s.jobRoutes()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: headerTime, IdleTimeout: keepTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(b.log.Handler(), slog.LevelDebug), ConnContext: connContext}
	return s
}

// A peerConn is a connection whose other end is known.
type peerConn struct {
	net.Conn
	peer  Peer
	close func()
}

func (c *peerConn) Close() error {
	c.close()
	return c.Conn.Close()
}

func connContext(ctx context.Context, c net.Conn) context.Context {
	if p, ok := c.(*peerConn); ok {
		return withPeer(ctx, p.peer)
	}
	return ctx
}

// A peerListener asks the kernel who connects, and bounds how many connections
// one user has: who has too many keeps himself out, and nobody else.
type peerListener struct {
	net.Listener
	server *Server
}

func (l peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		u, ok := c.(*net.UnixConn)
		if !ok {
			c.Close()
			continue
		}
		peer, err := peerOf(u)
		if err != nil {
			l.server.broker.log.Warn("a connection was closed: the kernel does not say whose it is", "error", err)
			c.Close()
			continue
		}
		if !l.server.enter(peer.UID) {
			l.server.broker.log.Debug("a connection was closed: its user has too many", "uid", peer.UID)
			c.Close()
			continue
		}
		return &peerConn{Conn: c, peer: peer, close: sync.OnceFunc(func() { l.server.leave(peer.UID) })}, nil
	}
}

func (s *Server) enter(uid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[uid] >= s.broker.config().Connections {
		return false
	}
	s.conns[uid]++
	return true
}

func (s *Server) leave(uid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[uid]--; s.conns[uid] <= 0 {
		delete(s.conns, uid)
	}
}

// Serve answers on l until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(peerListener{l, s}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown ends it: no new connections, requests that run are waited for, at
// most requestTime, then the broker shuts down.
func (s *Server) Shutdown(ctx context.Context) error {
	s.broker.events.close() // those who follow would be waited for
	limited, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	if s.http.Shutdown(limited) != nil {
		s.http.Close()
	}
	return s.broker.Shutdown(ctx)
}

// route describes an endpoint.
func route(id, method, path, summary, tag string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tag}, MaxBodyBytes: maxBody, BodyReadTimeout: bodyTime}
}

// register adds an endpoint whose reply is a record.
func register[Q, R any](s *Server, op huma.Operation, do func(context.Context, Peer, *Q) (R, error)) {
	huma.Register(s.api, op, func(ctx context.Context, q *Q) (*struct{ Body R }, error) {
		begin(ctx)
		r, err := do(ctx, peerFrom(ctx), q)
		if err != nil {
			return nil, fail(ctx, err)
		}
		return &struct{ Body R }{r}, nil
	})
}

// registerDone adds an endpoint without a reply.
func registerDone[Q any](s *Server, op huma.Operation, do func(context.Context, Peer, *Q) error) {
	huma.Register(s.api, op, func(ctx context.Context, q *Q) (*struct{}, error) {
		begin(ctx)
		if err := do(ctx, peerFrom(ctx), q); err != nil {
			return nil, fail(ctx, err)
		}
		return nil, nil
	})
}

// registerStream adds an endpoint whose reply is a stream of the given media
// types; schema is the record on each line, nil where the stream is bytes.
func registerStream[Q any](s *Server, op huma.Operation, types []string, record any, do func(context.Context, Peer, *Q, http.ResponseWriter, *http.Request) error) {
	response := &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{}}
	for _, t := range types {
		schema := &huma.Schema{Type: huma.TypeString, Format: "binary"}
		if record != nil {
			schema = recordSchema(s.api, record)
		}
		response.Content[t] = &huma.MediaType{Schema: schema}
	}
	op.Responses = map[string]*huma.Response{"200": response}
	huma.Register(s.api, op, func(ctx context.Context, q *Q) (*huma.StreamResponse, error) {
		begin(ctx)
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			r, w := humago.Unwrap(hctx)
			if err := do(ctx, peerFrom(ctx), q, w, r); err != nil {
				exchangeOf(ctx).problem(problemOf(err))
			}
		}}, nil
	})
}

// begin takes away the deadline that was for the request's body: a deadline
// that passes would cancel what the request asks for.
func begin(ctx context.Context) {
	if x := exchangeOf(ctx); x.control != nil {
		_ = x.control.SetReadDeadline(time.Time{}) // a connection has deadlines
	}
}
