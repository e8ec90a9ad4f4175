// Package trace sends spans to an OpenTelemetry collector: OTLP over HTTP with
// JSON (https://opentelemetry.io/docs/specs/otlp/, "JSON Protobuf Encoding").
//
// It is off unless OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names a collector: a nil Tracer makes nil
// spans, and a call on either does nothing. Of the SDK's variables it follows
// those two, their _HEADERS, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_BSP_SCHEDULE_DELAY and OTEL_SDK_DISABLED. A protocol other than
// http/json is said in the log: collectors take JSON at the port of
// http/protobuf, 4318, and gRPC is not spoken.
//
// It is own code since the program is also that of its workers: OpenTelemetry's
// exporter brings gRPC and protobuf, which each of hundreds of workers would
// have in memory to send nothing.
//
// Spans wait in a queue of bounded length and are dropped where it is full;
// nobody waits for a collector but Close.
//
// Lock: Span.mu, a leaf.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package trace
