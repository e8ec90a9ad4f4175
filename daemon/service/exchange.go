package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/trace"
)

// An exchange is one request and its reply. It is the reply's writer: every
// write gets a deadline of its own, so that a client that reads nothing is left
// after a while, and one that reads slowly is not.
type exchange struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration

	op, image string // set by who knows them
	status    int
	code      api.Code // of a problem
	bytes     int64
}

type exchangeKey struct{}

// exchangeOf is the exchange that ctx is of.
func exchangeOf(ctx context.Context) *exchange {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return &exchange{}
	}
	return x
}

func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	_ = x.control.SetWriteDeadline(time.Now().Add(x.stall)) // a connection has deadlines
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// Flush is http.Flusher's.
func (x *exchange) Flush() {
	_ = x.control.SetWriteDeadline(time.Now().Add(x.stall)) // a connection has deadlines
	_ = x.control.Flush()                                   // the next write fails too
}

// result is what is counted: "ok", or a problem's code.
func (x *exchange) result() string {
	switch {
	case x.code != "":
		return string(x.code)
	case x.status >= 400:
		return fmt.Sprint(x.status)
	}
	return "ok"
}

// fail is what a handler answers for an error.
func fail(ctx context.Context, err error) error {
	p := problemOf(err)
	exchangeOf(ctx).code = p.Code
	return p
}

// problem answers with a problem, where no reply was begun.
func (x *exchange) problem(p *api.Problem) {
	x.code = p.Code
	if x.status != 0 {
		return
	}
	x.Header().Set("Content-Type", api.ProblemType)
	x.WriteHeader(p.Status)
	_ = json.NewEncoder(x).Encode(p) // whoever asked may have left
}

// ServeHTTP is the outermost handler: it knows who asks, counts, and turns
// what goes wrong into a problem.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{ResponseWriter: w, control: http.NewResponseController(w), stall: time.Duration(s.broker.config().StallTimeout), op: "unknown"}
	ctx, span := s.broker.config().Tracer.Start(trace.With(r.Context(), trace.Parse(r.Header.Get("Traceparent"))), "", trace.Server)
	aborted := true
	defer func() {
		result := x.result()
		if v := recover(); v != nil {
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				s.broker.log.Error("a request panicked", "operation", x.op, "value", v, "stack", string(debug.Stack()))
				x.problem(api.NewProblem(http.StatusInternalServerError, api.CodeInternal, fmt.Sprintf("panic: %v", v), "please report it"))
				result = string(api.CodeInternal)
				aborted = x.status != http.StatusInternalServerError
			} else if result == "ok" {
				result = "aborted"
			}
		} else {
			aborted = false
		}
		s.broker.meter.request(x.op, x.image, result, x.bytes, time.Since(start))
		if traced(x.op) {
			span.Rename(x.op)
			span.Set("guestctl.image", x.image)
			span.Set("guestctl.result", result)
			if result == "ok" {
				result = ""
			}
			span.End(result)
		}
		if aborted {
			panic(http.ErrAbortHandler) // the client must see that the reply is short
		}
	}()
	r = r.WithContext(context.WithValue(ctx, exchangeKey{}, x))
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.unrouted(x, r)
		return
	}
	s.mux.ServeHTTP(x, r)
}

// traced says whether an operation is worth a span: not those that look at the
// daemon again and again.
func traced(op string) bool {
	switch op {
	case "health", "metrics", "version", "events":
		return false
	}
	return true
}

// unrouted answers what no endpoint is for, as the mux would, with a problem.
func (s *Server) unrouted(x *exchange, r *http.Request) {
	probe := &probeWriter{header: http.Header{}}
	s.mux.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		x.Header().Set("Allow", probe.header.Get("Allow"))
		x.problem(api.NewProblem(probe.status, api.CodeMethod, fmt.Sprintf("%s is not for the method %s", r.URL.Path, r.Method), "allowed: "+probe.header.Get("Allow")))
		return
	}
	x.problem(api.NewProblem(http.StatusNotFound, api.CodeNoPath, fmt.Sprintf("there is no endpoint %s", r.URL.Path), "/v1/openapi.json lists them"))
}

// A probeWriter learns what a handler would answer.
type probeWriter struct {
	header http.Header
	status int
}

func (p *probeWriter) Header() http.Header         { return p.header }
func (p *probeWriter) Write(b []byte) (int, error) { return len(b), nil }
func (p *probeWriter) WriteHeader(status int)      { p.status = status }

// newHumaError is the error of what huma finds wrong with a request.
func newHumaError(status int, message string, errs ...error) huma.StatusError {
	code := api.CodeInvalid
	switch status {
	case http.StatusRequestEntityTooLarge:
		code = api.CodeTooLarge
	case http.StatusRequestTimeout:
		code = api.CodeTimeout
	case http.StatusUnsupportedMediaType:
		code = api.CodeMediaType
	case http.StatusNotAcceptable:
		code = api.CodeNotAcceptable
	case http.StatusInternalServerError:
		code = api.CodeInternal
	}
	p := api.NewProblem(status, code, message, "")
	for _, err := range errs {
		if err == nil {
			continue
		}
		f := api.Fault{Message: err.Error()}
		if d, ok := err.(huma.ErrorDetailer); ok {
			detail := d.ErrorDetail()
			f = api.Fault{Message: detail.Message, Location: detail.Location}
		}
		p.Errors = append(p.Errors, f)
	}
	return p
}
