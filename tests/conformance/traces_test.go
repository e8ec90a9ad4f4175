package conformance

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
)

// guestctld tells the collector that its environment names, at its end at the
// latest; an endpoint that is none keeps it from starting.
func TestServiceTraces(t *testing.T) {
	var mu sync.Mutex
	told := ""
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		told += r.URL.Path + " " + string(text)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	s := serve(t, commands.Self, nil)
	commands.Must(t, commands.Self, "guestctl", "inspect", "--socket", s.socket, guest(t, commands.Self))
	s.stop(t)
	mu.Lock()
	for _, want := range []string{"/v1/traces ", `"stringValue":"guestctld"`, `"name":"attach"`, `"name":"open"`, `"name":"inspect"`} {
		if !strings.Contains(told, want) {
			t.Errorf("the collector was not told %s: %s", want, told)
		}
	}
	mu.Unlock()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense")
	if r := commands.Run(t, commands.Self, "guestctld", "--socket", s.socket); r.Status != 1 || !strings.Contains(r.Stderr, `the OTLP endpoint "nonsense/v1/traces" is no address`) {
		t.Errorf("an endpoint that is none: %+v", r)
	}
}
