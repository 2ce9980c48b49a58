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

// after is the distribution of what was processed after the run's first moments; windows is that of each span of it.
func (l *lags) after(moments time.Duration) Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for _, t := range l.taken {
		if t.at > moments {
			took = append(took, t.took)
		}
	}
	return NewLatency(took)
}

func (l *lags) windows(span time.Duration) []Window {
	l.mu.Lock()
	defer l.mu.Unlock()
	by := map[int][]time.Duration{}
	for _, t := range l.taken {
		n := int(t.at / span)
		by[n] = append(by[n], t.took)
	}
	windows := make([]Window, 0, len(by))
	for n, took := range by {
		windows = append(windows, Window{(time.Duration(n) * span).Seconds(), NewLatency(took)})
	}
	slices.SortFunc(windows, func(a, b Window) int { return int(a.Begin - b.Begin) })
	return windows
}
