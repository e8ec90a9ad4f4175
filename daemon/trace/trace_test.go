package trace

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A collector keeps what it is sent; the first request it turns away.
type collector struct {
	mu       sync.Mutex
	requests []request
	headers  []http.Header
	turned   bool
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.turned {
		c.turned = true
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var q request
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.requests, c.headers = append(c.requests, q), append(c.headers, r.Header)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}"))
}

func TestSpansReachTheCollector(t *testing.T) {
	c := &collector{}
	s := httptest.NewServer(c)
	defer s.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL+"/")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=a%20b, odd")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=here,service.name=no")
	tracer, err := FromEnvironment("guestctld", "1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	outer := Parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	ctx, parent := tracer.Start(With(t.Context(), outer), "?", Server)
	parent.Rename("attach")
	parent.Set("guestctl.image", "abc\xff")
	parent.Set("empty", "")
	_, child := tracer.Start(ctx, "open", Internal)
	child.Fail(errors.New("it is damaged"))
	child.End("")
	parent.Fail(nil)
	_, other := tracer.Start(t.Context(), "job", Internal)
	other.End("")
	tracer.Close(t.Context())
	if len(c.requests) != 1 || c.headers[0].Get("X-Token") != "a b" || c.headers[0].Get("Content-Type") != "application/json" {
		t.Fatalf("%d requests, %v", len(c.requests), c.headers)
	}
	r := c.requests[0].ResourceSpans[0]
	attributes := map[string]string{}
	for _, a := range r.Resource.Attributes {
		attributes[a.Key] = a.Value.String
	}
	if attributes["service.name"] != "guestctld" || attributes["host.name"] != "here" || attributes["service.version"] != "1" {
		t.Errorf("resource %v", attributes)
	}
	spans := r.ScopeSpans[0].Spans
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	open, attach, job := spans[0], spans[1], spans[2]
	if open.Name != "open" || open.Kind != Internal || open.Parent != attach.SpanID || open.TraceID != outer.Trace || open.Status == nil || open.Status.Code != 2 || open.Status.Message != "it is damaged" {
		t.Errorf("child %+v", open)
	}
	if attach.Name != "attach" || attach.Kind != Server || attach.Parent != outer.Span || attach.Status != nil || len(attach.Attributes) != 1 || attach.Attributes[0].Value.String != "abc\uFFFD" {
		t.Errorf("parent %+v", attach)
	}
	if job.Parent != "" || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(job.TraceID) || !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(job.SpanID) || job.TraceID == open.TraceID {
		t.Errorf("root %+v", job)
	}
	for _, s := range spans {
		start, err := strconv.ParseInt(s.Start, 10, 64)
		end, err2 := strconv.ParseInt(s.End, 10, 64)
		if err != nil || err2 != nil || start <= 0 || end < start {
			t.Errorf("from %q to %q", s.Start, s.End)
		}
	}
}

func TestOff(t *testing.T) {
	for _, env := range []map[string]string{{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_SDK_DISABLED": "true"}} {
		for name, value := range env {
			t.Setenv(name, value)
		}
		tracer, err := FromEnvironment("x", "1", slog.New(slog.DiscardHandler))
		if tracer != nil || err != nil {
			t.Fatalf("%v: %v %v", env, tracer, err)
		}
		n := testing.AllocsPerRun(100, func() {
			_, span := tracer.Start(t.Context(), "a", Server)
			span.Rename("b")
			span.Set("k", "v")
			span.Fail(nil)
		})
		if n != 0 {
			t.Errorf("off, a span allocates %v times", n)
		}
		tracer.Close(t.Context())
	}
}

// A collector that does not answer costs spans, and no time beyond Close's.
func TestNoCollector(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/v1/traces")
	tracer, err := FromEnvironment("x", "1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * queueSpans {
		_, span := tracer.Start(t.Context(), "a", Server)
		span.End("")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	tracer.Close(ctx)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318")
	if _, err := FromEnvironment("x", "1", nil); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}

func TestParse(t *testing.T) {
	for _, s := range []string{"", "00", "00-x-y-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} {
		if got := Parse(s); got != (Context{}) {
			t.Errorf("%q is %v", s, got)
		}
	}
}
