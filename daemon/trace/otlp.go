package trace

import (
	"encoding/json"
	"strconv"
	"strings"
)

// ExportTraceServiceRequest, as JSON has it.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []attribute `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope    `json:"scope"`
		Spans []record `json:"spans"`
	}
	scope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	record struct {
		TraceID    string      `json:"traceId"`
		SpanID     string      `json:"spanId"`
		Parent     string      `json:"parentSpanId,omitempty"`
		Name       string      `json:"name"`
		Kind       Kind        `json:"kind"`
		Start      string      `json:"startTimeUnixNano"`
		End        string      `json:"endTimeUnixNano"`
		Attributes []attribute `json:"attributes,omitempty"`
		Status     *status     `json:"status,omitempty"`
	}
	attribute struct {
		Key   string   `json:"key"`
		Value anyValue `json:"value"`
	}
	anyValue struct {
		String string `json:"stringValue"`
	}
	status struct {
		Code    int    `json:"code"`
		Message string `json:"message,omitempty"`
	}
)

// statusError is STATUS_CODE_ERROR of trace.proto.
const statusError = 2

// encode writes spans that have ended.
func (t *Tracer) encode(spans []*Span) ([]byte, error) {
	list := make([]record, len(spans))
	for i, s := range spans {
		s.mu.Lock()
		r := record{TraceID: s.at.Trace, SpanID: s.at.Span, Parent: s.parent, Name: s.name, Kind: s.kind, Attributes: s.attributes,
			Start: strconv.FormatInt(s.start.UnixNano(), 10), End: strconv.FormatInt(s.end.UnixNano(), 10)}
		if s.failure != "" {
			r.Status = &status{statusError, strings.ToValidUTF8(s.failure, "\uFFFD")}
		}
		s.mu.Unlock()
		list[i] = r
	}
	return json.Marshal(request{[]resourceSpans{{resource{t.resource}, []scopeSpans{{t.scope, list}}}}})
}
