package watch

import (
	"fmt"
	"strings"
)

// The placeholders of a query. Grafana knows $interval under a longer name; rules have a window instead.
const (
	interval = "$__rate_interval"
	chosen   = `instance=~"$instance"`
)

// series is a selector: a name and its matchers, in PromQL's form.
func series(name string, matchers ...string) string {
	if len(matchers) == 0 {
		return name
	}
	return name + "{" + strings.Join(matchers, ",") + "}"
}

// of is a selector among the replicas that the dashboard shows.
func of(name string, matchers ...string) string { return series(name, append(matchers, chosen)...) }

// sum, most and least aggregate by labels; none gives one number.
func sum(expr string, by ...string) string   { return aggregate("sum", expr, by) }
func most(expr string, by ...string) string  { return aggregate("max", expr, by) }
func least(expr string, by ...string) string { return aggregate("min", expr, by) }

func aggregate(how, expr string, by []string) string {
	if len(by) == 0 {
		return fmt.Sprintf("%s(%s)", how, expr)
	}
	return fmt.Sprintf("%s by (%s) (%s)", how, strings.Join(by, ", "), expr)
}

// rate is the growth of a counter a second, over a window.
func rate(selector, window string) string { return fmt.Sprintf("rate(%s[%s])", selector, window) }

// quantile estimates a quantile of a classic histogram over a window, by labels.
func quantile(q float64, name, window string, matchers []string, by ...string) string {
	return fmt.Sprintf("histogram_quantile(%g, %s)", q,
		sum(rate(series(name+"_bucket", matchers...), window), append([]string{"le"}, by...)...))
}

// top keeps the n greatest.
func top(n int, expr string) string { return fmt.Sprintf("topk(%d, %s)", n, expr) }
