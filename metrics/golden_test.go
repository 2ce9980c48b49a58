package metrics_test

import (
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/safebox/safebox/metrics"
)

var update = flag.Bool("update", false, "write the golden list anew")

const golden = "testdata/metrics.txt"

// The golden list is the contract with dashboards and alerts: a change in it is a change for operators.
func TestNamesTypesLabelsAndHelpAreThoseOfTheGoldenList(t *testing.T) {
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
		fmt.Fprintf(&b, "  %s\n", f.GetHelp())
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

// Dashboards and alerts are made from the constants: each names a family, and each family has a constant.
func TestEveryFamilyHasItsConstant(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := families(t, fresh())
	named := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok {
			name, err := strconv.Unquote(literal.Value)
			if _, there := all[name]; err != nil || !there {
				t.Errorf("there is no family %s", name)
			}
			named++
		}
		return true
	})
	if named != len(all) {
		t.Errorf("%d constants name %d families", named, len(all))
	}
}

// A scraper that asks for protobuf gets each histogram in both forms; one that asks for text gets the classic one.
func TestHistogramsAreClassicAndNativeAtOnce(t *testing.T) {
	r := fresh()
	r.Lag(context.Background(), 20*time.Millisecond)
	r.Batch(3, map[string]time.Duration{"load": time.Millisecond})
	r.Statement(context.Background(), "ping", time.Millisecond, "")
	r.Acquire(time.Millisecond, false)
	r.Handled("ledger", time.Microsecond, true)
	got := protobuf(t, r)
	observed := 0
	for _, name := range []string{
		metrics.EventLag, metrics.BatchEvents, metrics.BatchSeconds, metrics.StatementSeconds, metrics.PoolAcquireSeconds, metrics.RouterSeconds,
	} {
		for _, m := range got[name].GetMetric() {
			h := m.GetHistogram()
			if len(h.GetBucket()) == 0 || h.GetSchema() != 3 {
				t.Errorf("%s: %d classic buckets, schema %d", name, len(h.GetBucket()), h.GetSchema())
			}
			if h.GetSampleCount() == 1 {
				observed++
				if len(h.GetPositiveDelta()) != 1 {
					t.Errorf("%s: one observation is in %d native buckets", name, len(h.GetPositiveDelta()))
				}
			}
		}
	}
	if observed != 6 {
		t.Errorf("%d of 6 observations were found", observed)
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
