package service_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/service"
	"github.com/guestctl/guestctl/daemon/trace"
)

// A span as the collector gets it.
type span struct {
	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId"`
	Name         string `json:"name"`
	Status       *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"status"`
	Attributes []struct {
		Key   string `json:"key"`
		Value struct {
			String string `json:"stringValue"`
		} `json:"value"`
	} `json:"attributes"`
}

// A daemon tells a collector what it did: attaching, with the opening in it,
// inspecting, and jobs.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	spans := map[string]span{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var q struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, s := range q.ResourceSpans[0].ScopeSpans[0].Spans {
			spans[s.Name] = s
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tracer, err := trace.FromEnvironment("guestctld", "test", slog.New(slog.DiscardHandler))
	must(t, err)
	d := start(t, func(c *service.Config) { c.Tracer = tracer })
	img := attach(t, d, small(t))
	_, err = d.Inspect(t.Context(), img.ID)
	must(t, err)
	_, err = d.Stat(t.Context(), img.ID, api.StatQuery{Place: api.Place{Path: "/nope"}})
	wantCode(t, err, api.CodeNoFile)
	_, err = d.Health(t.Context())
	must(t, err)
	j, err := d.StartJob(t.Context(), api.JobRequest{Image: img.ID, Kind: "list"})
	must(t, err)
	must(t, d.JobEvents(t.Context(), j.ID, func(api.Event) error { return nil }))
	d.stop(t)
	tracer.Close(context.Background())
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"attach", "open", "inspect", "stat", "start-job", "job list"} {
		if spans[name].SpanID == "" {
			t.Errorf("there is no span %s among %v", name, spans)
		}
	}
	if spans["health"].SpanID != "" {
		t.Error("looking at the daemon is traced")
	}
	if o, a := spans["open"], spans["attach"]; o.ParentSpanID != a.SpanID || o.TraceID != a.TraceID || a.ParentSpanID != "" || a.Status != nil {
		t.Errorf("open %+v of attach %+v", o, a)
	}
	if j, s := spans["job list"], spans["start-job"]; j.ParentSpanID != s.SpanID || j.TraceID != s.TraceID {
		t.Errorf("job %+v of %+v", j, s)
	}
	if s := spans["stat"]; s.Status == nil || s.Status.Code != 2 || s.Status.Message != string(api.CodeNoFile) {
		t.Errorf("stat failed: %+v", s)
	}
	for _, name := range []string{"inspect", "stat", "open"} {
		if a := spans[name].Attributes; len(a) == 0 || a[0].Key != "guestctl.image" || a[0].Value.String != img.ID {
			t.Errorf("%s has the attributes %v", name, a)
		}
	}
}
