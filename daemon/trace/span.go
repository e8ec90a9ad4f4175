package trace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"
	"time"
)

// A Context says which span something belongs to: W3C Trace Context's ids, in
// hex. The zero one belongs to none.
type Context struct{ Trace, Span string }

// Parse reads a traceparent header (W3C Trace Context, section 3.2); what is
// none belongs to none.
func Parse(traceparent string) Context {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || !isID(parts[1], 32) || !isID(parts[2], 16) {
		return Context{}
	}
	return Context{parts[1], parts[2]}
}

// isID says whether s is n hexadecimal digits and not all zeros.
func isID(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == "" && strings.Trim(s, "0") != ""
}

type contextKey struct{}

// With makes what is begun with the context belong to c.
func With(ctx context.Context, c Context) context.Context {
	if c == (Context{}) {
		return ctx
	}
	return context.WithValue(ctx, contextKey{}, c)
}

// From is what the context belongs to.
func From(ctx context.Context) Context {
	c, _ := ctx.Value(contextKey{}).(Context)
	return c
}

// A Kind is what a span is of.
type Kind int

// The kinds, as OTLP numbers them (SpanKind of trace.proto).
const (
	Internal Kind = 1
	Server   Kind = 2
)

// A Span is one thing that was done. A nil one is not recorded.
type Span struct {
	tracer *Tracer
	at     Context
	parent string
	kind   Kind
	start  time.Time

	mu         sync.Mutex // guards what follows; a leaf
	name       string
	attributes []attribute
	end        time.Time
	failure    string
}

// Start begins a span, and answers a context whose spans belong to it.
func (t *Tracer) Start(ctx context.Context, name string, kind Kind) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	parent := From(ctx)
	s := &Span{tracer: t, parent: parent.Span, kind: kind, start: time.Now(), name: name, at: Context{parent.Trace, newID(8)}}
	if s.at.Trace == "" {
		s.at.Trace = newID(16)
	}
	return With(ctx, s.at), s
}

func newID(n int) string {
	b := make([]byte, n)
	rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// Rename gives the span the name that is known by now.
func (s *Span) Rename(name string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name = name
}

// Set sets an attribute; an empty value is left out.
func (s *Span) Set(key, value string) {
	if s == nil || value == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attributes = append(s.attributes, attribute{key, anyValue{strings.ToValidUTF8(value, "\uFFFD")}})
}

// End ends the span; failure says why it failed, "" that it did not. A second
// call does nothing.
func (s *Span) End(failure string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.IsZero() {
		return
	}
	s.end, s.failure = time.Now(), failure
	s.tracer.send(s)
}

// Fail is End for an error, which may be nil.
func (s *Span) Fail(err error) {
	if err == nil {
		s.End("")
		return
	}
	s.End(err.Error())
}
