package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// pair is the label values of a series with two labels.
type pair struct{ first, second string }

// with returns values and "other" behind them.
func with(values []string) []string {
	return append(append(make([]string, 0, len(values)+1), values...), other)
}

// seconds gives a duration in the unit that Prometheus wants; a clock that went backwards counts as nothing.
func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }

// counters makes a family of counters with one label, each present at zero.
func counters(reg prometheus.Registerer, name, help, label string, values []string) map[string]prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
	reg.MustRegister(vec)
	series := make(map[string]prometheus.Counter, len(values))
	for _, v := range values {
		series[v] = vec.WithLabelValues(v)
	}
	return series
}

// counterPairs makes a family of counters with two labels, one for each combination of their values.
func counterPairs(reg prometheus.Registerer, name, help string, labels pair, firsts, others []string) map[pair]prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help},
		[]string{labels.first, labels.second})
	reg.MustRegister(vec)
	series := make(map[pair]prometheus.Counter, len(firsts)*len(others))
	for _, f := range firsts {
		for _, s := range others {
			series[pair{f, s}] = vec.WithLabelValues(f, s)
		}
	}
	return series
}

// gauges makes a family of gauges with one label.
func gauges(reg prometheus.Registerer, name, help, label string, values []string) map[string]prometheus.Gauge {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
	reg.MustRegister(vec)
	series := make(map[string]prometheus.Gauge, len(values))
	for _, v := range values {
		series[v] = vec.WithLabelValues(v)
	}
	return series
}

// gauge makes a single gauge.
func gauge(reg prometheus.Registerer, name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	reg.MustRegister(g)
	return g
}

// histograms makes a family of histograms with one label.
func histograms(reg prometheus.Registerer, name, help, label string, buckets []float64, values []string) map[string]prometheus.Observer {
	vec := prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, []string{label})
	reg.MustRegister(vec)
	series := make(map[string]prometheus.Observer, len(values))
	for _, v := range values {
		series[v] = vec.WithLabelValues(v)
	}
	return series
}

// histogram makes a single histogram.
func histogram(reg prometheus.Registerer, name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	reg.MustRegister(h)
	return h
}
