// Package tracing sends spans to an OpenTelemetry collector, where the standard variables (OTEL_*) ask for it: OTLP over
// HTTP, off otherwise, and then nothing of it runs.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

// Tracing is on. A nil one is off: its methods do nothing.
type Tracing struct {
	provider *trace.TracerProvider
	tracer   api.Tracer
}

// SettingError is a variable with a value that cannot be used here.
type SettingError struct{ Name, Value, Expected string }

func (e *SettingError) Error() string {
	return fmt.Sprintf("%s is %q: expected %s", e.Name, e.Value, e.Expected)
}

// ExitCode is that of a wrong configuration.
func (*SettingError) ExitCode() int { return 78 }

// wanted tells whether the environment asks for spans, by the rules of the OpenTelemetry specification, "Environment
// Variable Specification", except that the absence of every variable means no.
func wanted(getenv func(string) string) (bool, error) {
	if getenv("OTEL_SDK_DISABLED") == "true" {
		return false, nil
	}
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
			return false, nil
		}
	default:
		return false, &SettingError{"OTEL_TRACES_EXPORTER", exporter, "otlp or none"}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := getenv(name); p != "" {
			if p != "http/protobuf" {
				return false, &SettingError{name, p, "http/protobuf, which collectors take on port 4318"}
			}
			break
		}
	}
	return true, nil
}

// Start begins to send spans if the environment asks for it; else the result is nil, which is off. What cannot be sent is
// logged and forgotten.
func Start(ctx context.Context, getenv func(string) string, version, instance string, logger *slog.Logger) (*Tracing, error) {
	if on, err := wanted(getenv); !on || err != nil {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx) // it reads the variables, and connects when there is something to send
	if err != nil {
		return nil, fmt.Errorf("the exporter of OpenTelemetry: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "safebox"), attribute.String("service.version", version),
		attribute.String("service.instance.id", instance),
	), resource.WithFromEnv()) // the environment wins
	if err != nil {
		return nil, fmt.Errorf("the resource of OpenTelemetry: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("spans could not be sent", "error", err) }))
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	otel.SetTracerProvider(provider)
	logger.Info("sending spans to OpenTelemetry")
	return &Tracing{provider, provider.Tracer("github.com/safebox/safebox")}, nil
}

// Stop sends what is left.
func (t *Tracing) Stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Span begins spans of the given name; nil when tracing is off.
func (t *Tracing) Span() func(ctx context.Context, name string) (_ context.Context, end func()) {
	if t == nil {
		return nil
	}
	return func(ctx context.Context, name string) (context.Context, func()) {
		ctx, s := t.tracer.Start(ctx, name)
		return ctx, func() { s.End() }
	}
}

// TraceID names the trace that a context belongs to, if it is recorded; nil when tracing is off.
func (t *Tracing) TraceID() func(context.Context) string {
	if t == nil {
		return nil
	}
	return func(ctx context.Context) string {
		if c := api.SpanContextFromContext(ctx); c.IsSampled() {
			return c.TraceID().String()
		}
		return ""
	}
}

// Handler puts each request of the interface into a span, which belongs to the caller's trace if its header traceparent
// names one. Probes and scrapes are left out.
func (t *Tracing) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	var header propagation.TraceContext
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") {
			next.ServeHTTP(w, r)
			return
		}
		ctx := header.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, s := t.tracer.Start(ctx, "http "+r.Method, api.WithSpanKind(api.SpanKindServer))
		defer s.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
