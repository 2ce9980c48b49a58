package metrics_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

var update = flag.Bool("update", false, "write the golden list anew")

const golden = "testdata/metrics.txt"

// The golden list is the contract with dashboards and alerts: a change in it is a change for operators.
func TestNamesTypesAndLabelsAreThoseOfTheGoldenList(t *testing.T) {
	var b strings.Builder
	all := families(t, fresh())
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		f := all[name]
		values := map[string][]string{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				v := l.GetValue()
				if l.GetName() == "goversion" {
					v = "*"
				}
				if !slices.Contains(values[l.GetName()], v) {
					values[l.GetName()] = append(values[l.GetName()], v)
				}
			}
		}
		fmt.Fprintf(&b, "%s %s\n", name, strings.ToLower(f.GetType().String()))
		keys := make([]string, 0, len(values))
		for k := range values {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			sort.Strings(values[k])
			fmt.Fprintf(&b, "  %s: %s\n", k, strings.Join(values[k], " "))
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the metrics differ from %s (-want +got); if that is meant, run the test with -update and tell it in the changelog:\n%s", golden, diff)
	}
}

func TestEverySeriesIsThereAtZero(t *testing.T) {
	for key, value := range series(t, fresh()) {
		if value != 0 && !strings.HasPrefix(key, "safebox_build_info") {
			t.Errorf("%s starts at %v", key, value)
		}
	}
}

func TestPrometheusOwnLinterHasNoComplaint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrape(t, fresh()))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "safebox_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestTheRuntimeAndTheProcessAreShown(t *testing.T) {
	text := scrape(t, fresh())
	for _, name := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "process_cpu_seconds_total", "process_open_fds"} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("%s is missing", name)
		}
	}
}
