package tracing

import (
	"errors"
	"testing"
)

func TestSpansAreSentWhenTheEnvironmentAsksForThem(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want bool
	}{
		{"nothing is set", nil, false},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, true},
		{"an endpoint for spans", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, true},
		{"the exporter by name", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{"no exporter", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, false},
		{"all of it is off", map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, false},
		{"the protocol that there is", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			on, err := wanted(func(name string) string { return c.env[name] })
			if on != c.want || err != nil {
				t.Errorf("got %t, %v", on, err)
			}
		})
	}
}

func TestWhatCannotBeDoneIsRefusedByName(t *testing.T) {
	for name, value := range map[string]string{"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"} {
		_, err := wanted(func(n string) string {
			return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", name: value}[n]
		})
		var wrong *SettingError
		if !errors.As(err, &wrong) || wrong.Name != name {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
