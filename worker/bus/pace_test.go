package bus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// slowLog takes half a millisecond for an append, however large.
type slowLog struct {
	event.Log
	appends, events atomic.Int64
}

func (l *slowLog) Append(_ context.Context, _ string, events []event.Event) ([]event.Receipt, error) {
	<-time.After(500 * time.Microsecond)
	l.appends.Add(1)
	l.events.Add(int64(len(events)))
	return make([]event.Receipt, len(events)), nil
}

func (*slowLog) Announce(context.Context, string, event.Positions) error { return nil }

// callers append an event each every so often on average, for a while, and tell how many there were and how long one took at most.
func callers(t *testing.T, log event.Log, n int, every, during time.Duration) (events int64, longest time.Duration) {
	t.Helper()
	b := bus.New(log, bus.Options{Logger: quiet()})
	defer b.Close()
	type result struct {
		events  int64
		longest time.Duration
	}
	results := make(chan result)
	for i := range n {
		go func() {
			var r result
			for end := time.Now().Add(during); time.Now().Before(end); r.events++ {
				began := time.Now()
				if _, err := b.Append(t.Context(), topic, messages(fmt.Sprint(i, "-", r.events))); err != nil {
					t.Error(err)
				}
				r.longest = max(r.longest, time.Since(began))
				<-time.After(rand.N(2*every + 1))
			}
			results <- r
		}()
	}
	for range n {
		r := <-results
		events, longest = events+r.events, max(longest, r.longest)
	}
	return events, longest
}

// Few callers that come at the same time share commits that none of them is kept waiting for; who comes alone waits for nobody;
// and of many that come again at once, all share each commit.
func TestCallersAtTheSameTimeShareCommits(t *testing.T) {
	for _, c := range []struct {
		name          string
		callers       int
		every, during time.Duration
		atLeast, most int64 // appends
		longest       time.Duration
		together      int64 // events an append, at least
	}{
		{"alone", 1, 0, time.Second, 2000, 2000, 500 * time.Microsecond, 1},
		{"few", 10, 10 * time.Millisecond, time.Second, 350, 700, 3 * time.Millisecond, 1},
		{"many", 16, 0, 200 * time.Millisecond, 395, 402, time.Millisecond, 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &slowLog{}
				events, longest := callers(t, log, c.callers, c.every, c.during)
				if n := log.appends.Load(); n < c.atLeast || n > c.most || longest > c.longest {
					t.Errorf("%d events took %d appends, and one took %s; want %d to %d, and %s at most", events, n, longest, c.atLeast, c.most, c.longest)
				}
				if n := log.appends.Load(); events < c.together*n {
					t.Errorf("%d events took %d appends, want %d together", events, n, c.together)
				}
				if log.events.Load() != events {
					t.Errorf("%d events were appended of %d", log.events.Load(), events)
				}
			})
		})
	}
}
