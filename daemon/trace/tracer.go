package trace

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	queueSpans = 2048 // that wait; more are dropped
	batchSpans = 512  // in one request
	delay      = 5 * time.Second
	sendTime   = 10 * time.Second // of one request
	attempts   = 3                // of one batch
	retryTime  = time.Second      // before the second, twice that before the third
)

// A Tracer sends spans. A nil one is off.
type Tracer struct {
	log      *slog.Logger
	url      string
	header   http.Header
	resource []attribute
	scope    scope
	delay    time.Duration

	queue   chan *Span
	closing chan struct{}
	once    sync.Once
	ended   sync.WaitGroup
	ctx     context.Context // of requests
	cancel  context.CancelFunc
}

// FromEnvironment makes a Tracer as the environment says; nil where it names no
// collector.
func FromEnvironment(service, version string, log *slog.Logger) (*Tracer, error) {
	target := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if base := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); target == "" && base != "" {
		target = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if target == "" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || strings.EqualFold(os.Getenv("OTEL_TRACES_EXPORTER"), "none") {
		return nil, nil
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the OTLP endpoint %q is no address: write http://HOST:4318", target)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/json" {
			log.Warn("traces are sent as http/json, whatever the environment says", name, p)
		}
	}
	t := &Tracer{log: log, url: target, header: http.Header{"Content-Type": {"application/json"}}, scope: scope{"github.com/guestctl/guestctl", version},
		delay: delay, queue: make(chan *Span, queueSpans), closing: make(chan struct{})}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		for _, p := range pairs(os.Getenv(name)) {
			t.header.Set(p[0], p[1])
		}
	}
	if name := os.Getenv("OTEL_SERVICE_NAME"); name != "" {
		service = name
	}
	t.resource = []attribute{{"service.name", anyValue{service}}, {"service.version", anyValue{version}}}
	for _, p := range pairs(os.Getenv("OTEL_RESOURCE_ATTRIBUTES")) {
		if p[0] != "service.name" {
			t.resource = append(t.resource, attribute{p[0], anyValue{p[1]}})
		}
	}
	if ms, err := strconv.Atoi(os.Getenv("OTEL_BSP_SCHEDULE_DELAY")); err == nil && ms > 0 {
		t.delay = time.Duration(ms) * time.Millisecond
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.ended.Go(t.run)
	return t, nil
}

// pairs are those of "a=b,c=d", percent-decoded (W3C Baggage).
func pairs(s string) (list [][2]string) {
	for p := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(p), "=")
		if !ok || key == "" {
			continue
		}
		if v, err := url.PathUnescape(value); err == nil {
			value = v
		}
		list = append(list, [2]string{key, value})
	}
	return list
}

func (t *Tracer) send(s *Span) {
	select {
	case t.queue <- s:
	default: // the collector is too slow
	}
}

// run sends what is in the queue, until Close.
func (t *Tracer) run() {
	tick := time.NewTicker(t.delay)
	defer tick.Stop()
	var batch []*Span
	flush := func() {
		if len(batch) > 0 {
			t.post(batch)
		}
		batch = nil
	}
	for {
		select {
		case s := <-t.queue:
			if batch = append(batch, s); len(batch) >= batchSpans {
				flush()
			}
		case <-tick.C:
			flush()
		case <-t.closing:
			for {
				select {
				case s := <-t.queue:
					batch = append(batch, s)
					continue
				default:
				}
				break
			}
			flush()
			return
		}
	}
}

// post sends a batch, again where that may help.
func (t *Tracer) post(batch []*Span) {
	body, err := t.encode(batch)
	for i := 0; err == nil && i < attempts; i++ {
		var again bool
		if again, err = t.try(body); err == nil {
			return
		}
		if !again || i == attempts-1 {
			break
		}
		err = nil
		select {
		case <-time.After(retryTime << i):
		case <-t.ctx.Done():
			return
		}
	}
	t.log.Warn("spans are lost", "spans", len(batch), "collector", t.url, "error", err)
}

func (t *Tracer) try(body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(t.ctx, sendTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header = t.header.Clone()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // for the connection's next use
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	// OTLP, "Retryable Response Codes".
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return again, fmt.Errorf("it answered %s", resp.Status)
}

// Close sends what is left, and ends. ctx bounds it.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	t.once.Do(func() { close(t.closing) })
	stop := context.AfterFunc(ctx, t.cancel)
	defer stop()
	t.ended.Wait()
	t.cancel()
}
