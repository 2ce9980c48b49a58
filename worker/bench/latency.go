package bench

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Latency is a distribution of durations, in milliseconds.
type Latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// NewLatency sorts the durations, and takes the percentiles by nearest rank.
func NewLatency(of []time.Duration) Latency {
	if len(of) == 0 {
		return Latency{}
	}
	slices.Sort(of)
	at := func(share float64) float64 {
		return milliseconds(of[max(0, int(math.Ceil(share*float64(len(of))))-1)])
	}
	return Latency{Count: len(of), P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Window is the lag of the events that were processed in one span of a run.
type Window struct {
	Begin float64 `json:"begin_seconds"` // since the run began
	Latency
}

// lags collects when each event was processed and how long after its append.
type lags struct {
	mu    sync.Mutex
	began time.Time
	taken []lag
}

type lag struct{ at, took time.Duration }

func (l *lags) add(took time.Duration) {
	at := time.Since(l.began)
	l.mu.Lock()
	l.taken = append(l.taken, lag{at, took})
	l.mu.Unlock()
}

// after are the lags of what was processed after the run's first moments.
func (l *lags) after(moments time.Duration) (taken []lag) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.taken {
		if t.at > moments {
			taken = append(taken, t)
		}
	}
	return taken
}

func latencyOf(taken []lag) Latency {
	took := make([]time.Duration, len(taken))
	for i, t := range taken {
		took[i] = t.took
	}
	return NewLatency(took)
}

// windows are the distributions of each span of the run.
func windows(taken []lag, span time.Duration) []Window {
	by := map[int][]lag{}
	for _, t := range taken {
		n := int(t.at / span)
		by[n] = append(by[n], t)
	}
	all := make([]Window, 0, len(by))
	for n, taken := range by {
		all = append(all, Window{(time.Duration(n) * span).Seconds(), latencyOf(taken)})
	}
	slices.SortFunc(all, func(a, b Window) int { return int(a.Begin - b.Begin) })
	return all
}
