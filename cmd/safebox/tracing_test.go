package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage/dbtest"
)

// spanned is what a collector was sent.
type spanned struct {
	mu    sync.Mutex
	names map[string]map[string]bool // of spans, by trace
	raw   strings.Builder
}

func (s *spanned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var export collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &export) != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(body)
	for _, resource := range export.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				trace := fmt.Sprintf("%x", span.GetTraceId())
				if s.names[trace] == nil {
					s.names[trace] = map[string]bool{}
				}
				s.names[trace][span.GetName()] = true
			}
		}
	}
}

// exemplars are the traces that a replica names in the OpenMetrics form of a family.
func (p *process) exemplars(family string) []string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.address()+"/metrics", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var traces []string
	for _, m := range regexp.MustCompile(`(?m)^`+family+`_bucket\{.*# \{trace_id="([0-9a-f]{32})"\}`).FindAllSubmatch(text, -1) {
		traces = append(traces, string(m[1]))
	}
	return traces
}

func TestATraceLeadsFromAMetricToTheStatementsOfABatch(t *testing.T) {
	t.Parallel()
	got := &spanned{names: map[string]map[string]bool{}}
	server := httptest.NewServer(got)
	defer server.Close()
	s := newSite(t, dbtest.PostgreSQL(t), "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL, "OTEL_BSP_SCHEDULE_DELAY=50")
	script := demo.NewScript(37, 200)
	p := s.workers(1)[0]
	post(t, p, script.Setup)
	post(t, p, script.Activity)
	s.idle()
	for _, family := range []string{"safebox_event_lag_seconds", "safebox_db_statement_duration_seconds"} {
		eventually(t, "an exemplar of "+family+" names a batch and its statements", func() (bool, string) {
			traces := p.exemplars(family)
			got.mu.Lock()
			defer got.mu.Unlock()
			for _, trace := range traces {
				if n := got.names[trace]; n["batch"] && n["claim"] && n["commit_batch"] {
					return true, ""
				}
			}
			return false, fmt.Sprint(traces, got.names)
		})
	}
	drain(t, []*process{p})
	got.mu.Lock()
	defer got.mu.Unlock()
	requests := false
	for _, names := range got.names {
		requests = requests || names["http POST"]
	}
	if !requests {
		t.Error("no request is in a span")
	}
	for _, secret := range []string{"SELECT ", "npub1", "access_key"} {
		if strings.Contains(got.raw.String(), secret) {
			t.Errorf("the spans hold %q", secret)
		}
	}
}

func TestWithoutACollectorNothingIsTraced(t *testing.T) {
	t.Parallel()
	s := newSite(t, dbtest.PostgreSQL(t))
	script := demo.NewScript(37, 20)
	p := s.workers(1)[0]
	post(t, p, script.Setup)
	s.idle()
	if traces := p.exemplars("safebox_event_lag_seconds"); len(traces) > 0 {
		t.Errorf("exemplars name traces: %v", traces)
	}
	drain(t, []*process{p})
	t.Run("a wrong setting is told before anything starts", func(t *testing.T) {
		s := s.in(t)
		r := s.runWith([]string{"OTEL_TRACES_EXPORTER=zipkin"}, "", "worker")
		if r.code != exitConfig || !strings.Contains(r.stderr, "OTEL_TRACES_EXPORTER") {
			t.Errorf("exit %d\n%s", r.code, r.stderr)
		}
	})
	t.Run("a collector that is away stops nothing", func(t *testing.T) {
		s := s.in(t)
		p := s.start([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=10"}, "worker", "--until-idle")
		if code := p.wait(); code != 0 {
			t.Errorf("exit %d\n%s", code, p.log.text())
		}
	})
}
