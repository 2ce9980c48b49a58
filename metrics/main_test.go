package metrics_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/metrics"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// What a registry observes, by the contracts of those who tell it.
var (
	_ storage.Observer  = (*metrics.Registry)(nil)
	_ initlock.Observer = (*metrics.Registry)(nil)
	_ worker.Observer   = (*metrics.Registry)(nil)
)

func fresh() *metrics.Registry {
	return metrics.New(metrics.Options{
		Version: "1.2.3", Commit: "abcdef0", Dialect: storage.SQLite, Statements: []string{"append_events", "ping"},
	})
}

// scrape asks for the metrics as Prometheus does and returns the text.
func scrape(t testing.TB, r *metrics.Registry) string {
	t.Helper()
	rec := httptest.NewRecorder()
	r.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	b, err := io.ReadAll(rec.Result().Body)
	if err != nil || rec.Code != http.StatusOK {
		t.Fatalf("scrape: status %d, error %v: %s", rec.Code, err, b)
	}
	return string(b)
}

// families scrapes and parses; those of the Go runtime and the process are left out.
func families(t testing.TB, r *metrics.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(scrape(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	for name := range all {
		if !strings.HasPrefix(name, "safebox_") {
			delete(all, name)
		}
	}
	return all
}

// protobuf scrapes in the one form that has native histograms.
func protobuf(t testing.TB, r *metrics.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	r.Handler().ServeHTTP(rec, req)
	all := map[string]*dto.MetricFamily{}
	decoder := expfmt.NewDecoder(rec.Body, expfmt.ResponseFormat(rec.Header()))
	for {
		var f dto.MetricFamily
		switch err := decoder.Decode(&f); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all[f.GetName()] = &f
	}
}

// series flattens families: name{labels} to value; of a histogram, the count and the sum.
func series(t testing.TB, r *metrics.Registry) map[string]float64 {
	t.Helper()
	flat := map[string]float64{}
	for name, f := range families(t, r) {
		for _, m := range f.GetMetric() {
			key := name + labels(m)
			switch {
			case m.GetHistogram() != nil:
				flat[name+"_count"+labels(m)] = float64(m.GetHistogram().GetSampleCount())
				flat[name+"_sum"+labels(m)] = m.GetHistogram().GetSampleSum()
			case m.GetCounter() != nil:
				flat[key] = m.GetCounter().GetValue()
			default:
				flat[key] = m.GetGauge().GetValue()
			}
		}
	}
	return flat
}

func labels(m *dto.Metric) string {
	var pairs []string
	for _, l := range m.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	if len(pairs) == 0 {
		return ""
	}
	sort.Strings(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

// want holds series to values; a series that is not there is not zero, it is an error.
func want(t *testing.T, r *metrics.Registry, values map[string]float64) {
	t.Helper()
	got := series(t, r)
	for key, value := range values {
		if v, there := got[key]; !there {
			t.Errorf("there is no series %s", key)
		} else if v != value {
			t.Errorf("%s is %v, want %v", key, v, value)
		}
	}
}
