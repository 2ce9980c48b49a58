package metrics

import (
	"context"
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
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	reg.MustRegister(vec)
	series := make(map[string]prometheus.Counter, len(values))
	for _, v := range values {
		series[v] = vec.WithLabelValues(v)
	}
	return series
}

// counterPairs makes a family of counters with two labels, one for each combination of their values.
func counterPairs(reg prometheus.Registerer, name, help string, labels pair, firsts, others []string) map[pair]prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help},
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
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
	reg.MustRegister(vec)
	series := make(map[string]prometheus.Gauge, len(values))
	for _, v := range values {
		series[v] = vec.WithLabelValues(v)
	}
	return series
}

// observe tells a histogram a value, with the trace that a context belongs to as its exemplar.
type observe func(ctx context.Context, h prometheus.Observer, v float64)

// observing gives plain observations where nothing is traced, which then cost nothing more.
func observing(traceID func(context.Context) string) observe {
	if traceID == nil {
		return func(_ context.Context, h prometheus.Observer, v float64) { h.Observe(v) }
	}
	return func(ctx context.Context, h prometheus.Observer, v float64) {
		if id := traceID(ctx); id != "" {
			h.(prometheus.ExemplarObserver).ObserveWithExemplar(v, prometheus.Labels{"trace_id": id}) // every histogram is one
			return
		}
		h.Observe(v)
	}
}

// one sets the gauge of a state to 1 and those of the others to 0. A state that is none of them changes nothing.
func one(states map[string]prometheus.Gauge, state string) {
	if _, known := states[state]; !known {
		return
	}
	for s, g := range states {
		if s == state {
			g.Set(1)
		} else {
			g.Set(0)
		}
	}
}

// gauge makes a single gauge.
func gauge(reg prometheus.Registerer, name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	reg.MustRegister(g)
	return g
}

// histogramOpts make a histogram that is classic and native at once: a scraper that asks for the native form gets buckets
// that are a tenth apart wherever the values lie, every other gets the ones given here. A native one that has grown too many
// buckets starts anew, at most once an hour, and else makes them coarser.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}
}

// histograms makes a family of histograms with one label.
func histograms(reg prometheus.Registerer, name, help, label string, buckets []float64, values []string) map[string]prometheus.Observer {
	vec := prometheus.NewHistogramVec(histogramOpts(name, help, buckets), []string{label})
	reg.MustRegister(vec)
	series := make(map[string]prometheus.Observer, len(values))
	for _, v := range values {
		series[v] = vec.WithLabelValues(v)
	}
	return series
}

// histogram makes a single histogram.
func histogram(reg prometheus.Registerer, name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(histogramOpts(name, help, buckets))
	reg.MustRegister(h)
	return h
}
