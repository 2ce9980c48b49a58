package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/metrics"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

func TestThePoolIsReadAtTheScrape(t *testing.T) {
	r := fresh()
	stats := storage.PoolStats{
		Idle: 3, InUse: 7, Max: 30, Acquires: 100, EmptyAcquires: 9, EmptyWait: 1500 * time.Millisecond, Timeouts: 2, Opened: 12,
		Closed: map[string]int64{"recycle": 1, "overflow": 2, "a reason of tomorrow": 4},
	}
	r.WatchPool(func() storage.PoolStats { return stats })
	r.Acquire(2*time.Second, false)
	r.Acquire(30*time.Second, true)
	want(t, r, map[string]float64{
		`safebox_db_pool_connections{state="idle"}`:           3,
		`safebox_db_pool_connections{state="in_use"}`:         7,
		`safebox_db_pool_max_connections`:                     30,
		`safebox_db_pool_acquires_total`:                      100,
		`safebox_db_pool_empty_acquires_total`:                9,
		`safebox_db_pool_empty_acquire_wait_seconds_total`:    1.5,
		`safebox_db_pool_acquire_timeouts_total`:              2,
		`safebox_db_pool_opened_total`:                        12,
		`safebox_db_pool_closed_total{reason="recycle"}`:      1,
		`safebox_db_pool_closed_total{reason="overflow"}`:     2,
		`safebox_db_pool_closed_total{reason="broken"}`:       0,
		`safebox_db_pool_closed_total{reason="other"}`:        4,
		`safebox_db_pool_acquire_duration_seconds_count`:      2,
		`safebox_db_pool_acquire_duration_seconds_sum`:        32,
		`safebox_db_pool_closed_total{reason="shutdown"}`:     0,
		`safebox_db_transaction_retries_total{reason="busy"}`: 0,
	})
	stats.InUse = 8
	want(t, r, map[string]float64{`safebox_db_pool_connections{state="in_use"}`: 8})
}

func TestStatementsAreTimedAndTheirErrorsCountedByClass(t *testing.T) {
	r := fresh()
	r.Statement(context.Background(), "append_events", time.Second, "")
	r.Statement(context.Background(), "append_events", time.Second, storage.Deadlock)
	r.Statement(context.Background(), "commit", time.Second, storage.Class("a class of tomorrow"))
	r.Statement(context.Background(), "SELECT * FROM registeredsafebox", time.Second, storage.Unique)
	r.Retried("serialization")
	r.Retried("handler")
	r.Retried("no class")
	want(t, r, map[string]float64{
		`safebox_db_statement_duration_seconds_count{statement="append_events"}`:            2,
		`safebox_db_statement_duration_seconds_sum{statement="append_events"}`:              2,
		`safebox_db_statement_duration_seconds_count{statement="other"}`:                    1,
		`safebox_db_statement_errors_total{class="deadlock",statement="append_events"}`:     1,
		`safebox_db_statement_errors_total{class="unique",statement="append_events"}`:       0,
		`safebox_db_statement_errors_total{class="unique",statement="other"}`:               1,
		`safebox_db_statement_errors_total{class="other",statement="commit"}`:               1,
		`safebox_db_transaction_retries_total{reason="serialization"}`:                      1,
		`safebox_db_transaction_retries_total{reason="handler"}`:                            1,
		`safebox_db_transaction_retries_total{reason="other"}`:                              1,
		`safebox_db_statement_errors_total{class="lock_timeout",statement="append_events"}`: 0,
	})
}

func TestTheStateOfTheInitialisationIsOneOfFour(t *testing.T) {
	r := fresh()
	for _, state := range []string{"waiting", "leading", "ready", "failed", "leading"} {
		r.InitState(state)
		for _, other := range []string{"waiting", "leading", "ready", "failed"} {
			value := 0.0
			if other == state {
				value = 1
			}
			want(t, r, map[string]float64{fmt.Sprintf(`safebox_init_state{state=%q}`, other): value})
		}
	}
	r.InitState("asleep")
	want(t, r, map[string]float64{`safebox_init_state{state="leading"}`: 1})
}

func TestALeaderStaysTheLeaderWhenItIsReady(t *testing.T) {
	r := fresh()
	r.InitState("leading")
	r.InitPhase("initialise", 250*time.Millisecond)
	r.InitElection(initlock.OutcomeLed)
	r.InitState("ready")
	r.Schema("20261123_0004")
	want(t, r, map[string]float64{
		`safebox_init_leader`:                               1,
		`safebox_init_duration_seconds{phase="initialise"}`: 0.25,
		`safebox_init_duration_seconds{phase="wait"}`:       0,
		`safebox_init_elections_total{outcome="led"}`:       1,
		`safebox_init_elections_total{outcome="followed"}`:  0,
		`safebox_schema_info{revision="20261123_0004"}`:     1,
		`safebox_guard_violations{guard="other"}`:           0,
	})
	if _, there := series(t, r)[`safebox_schema_info{revision="unknown"}`]; there {
		t.Error("the revision before is still there")
	}
}

func TestAFollowerIsNoLeaderAndItsWaitGrowsWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fresh()
		r.InitState("waiting")
		<-time.After(3 * time.Second) // on the clock of the bubble
		want(t, r, map[string]float64{`safebox_init_wait_seconds`: 3, `safebox_init_leader`: 0})
		r.InitState("waiting")
		<-time.After(time.Second)
		r.InitState("ready")
		<-time.After(time.Hour)
		want(t, r, map[string]float64{`safebox_init_wait_seconds`: 4, `safebox_init_leader`: 0})
	})
}

func TestGuardsShowWhatBreaksThem(t *testing.T) {
	r := fresh()
	r.Guard("registeredsafebox.handle", 2)
	r.Guard("a guard of tomorrow", 5)
	want(t, r, map[string]float64{
		`safebox_guard_violations{guard="registeredsafebox.handle"}`: 2,
		`safebox_guard_violations{guard="registeredsafebox.npub"}`:   0,
		`safebox_guard_violations{guard="other"}`:                    5,
	})
	r.Guard("registeredsafebox.handle", 0)
	want(t, r, map[string]float64{`safebox_guard_violations{guard="registeredsafebox.handle"}`: 0})
}

func TestTheEngineCountsEventsByTypeAndOutcome(t *testing.T) {
	r := fresh()
	r.Appended(event.TypeFundsCredited, "appended", 3)
	r.Appended(event.TypeFundsCredited, "duplicate", 2)
	r.Appended("weather.changed", "refused", 1)
	r.Appended(event.TypeFundsCredited, "appended", -1)
	r.Processed(event.TypeFundsCredited, "applied", 3)
	r.Processed(event.TypeFundsCredited, "lost", 3)
	r.Lag(context.Background(), 20*time.Millisecond)
	r.Lag(context.Background(), -time.Second)
	r.Batch(3, map[string]time.Duration{"load": time.Second, "commit": 2 * time.Second, "lunch": time.Hour})
	r.LaneBusy(+1)
	r.LaneBusy(+1)
	r.LaneBusy(-1)
	r.Backlog("ledger", 42)
	r.Backlog("nobody's", 7)
	r.Parked(5, 2)
	r.OldestPending(time.Unix(1_800_000_000, 500_000_000))
	want(t, r, map[string]float64{
		`safebox_events_appended_total{result="appended",type="safebox.funds.credited.v1"}`:  3,
		`safebox_events_appended_total{result="duplicate",type="safebox.funds.credited.v1"}`: 2,
		`safebox_events_appended_total{result="refused",type="other"}`:                       1,
		`safebox_events_total{outcome="applied",type="safebox.funds.credited.v1"}`:           3,
		`safebox_event_lag_seconds_count`:                                                    2,
		`safebox_event_lag_seconds_sum`:                                                      0.02,
		`safebox_batch_events_sum`:                                                           3,
		`safebox_batch_duration_seconds_sum{phase="load"}`:                                   1,
		`safebox_batch_duration_seconds_sum{phase="commit"}`:                                 2,
		`safebox_batch_duration_seconds_count{phase="fold"}`:                                 0,
		`safebox_lanes_busy`:                             1,
		`safebox_event_backlog{group="ledger"}`:          42,
		`safebox_event_backlog{group="other"}`:           7,
		`safebox_parked_events`:                          5,
		`safebox_parked_wallets`:                         2,
		`safebox_event_oldest_pending_timestamp_seconds`: 1_800_000_000.5,
	})
	r.OldestPending(time.Time{})
	want(t, r, map[string]float64{`safebox_event_oldest_pending_timestamp_seconds`: 0})
}

func TestTheStateOfTheReplicaAndOfTheMarkerAreOneEach(t *testing.T) {
	r := fresh()
	r.ReplicaState("starting")
	r.ReplicaState("draining")
	r.ReplicaState("asleep")
	r.Marker(initlock.Absent)
	r.Marker(initlock.Failed)
	r.Marker("lost")
	want(t, r, map[string]float64{
		`safebox_replica_state{state="starting"}`: 0, `safebox_replica_state{state="ready"}`: 0, `safebox_replica_state{state="draining"}`: 1,
		`safebox_init_marker_state{state="absent"}`: 0, `safebox_init_marker_state{state="failed"}`: 1, `safebox_init_marker_state{state="ready"}`: 0,
	})
	r.Marker(initlock.Absent)
	want(t, r, map[string]float64{`safebox_init_marker_state{state="absent"}`: 1, `safebox_init_marker_state{state="failed"}`: 0})
}

func TestTheClockOfTheDatabaseIsShown(t *testing.T) {
	r := fresh()
	r.ClockOffset(-1500 * time.Millisecond)
	r.Measured(time.Unix(1_800_000_000, 0))
	want(t, r, map[string]float64{`safebox_db_clock_offset_seconds`: -1.5, `safebox_replica_measured_timestamp_seconds`: 1_800_000_000})
}

// An alert on a backlog, or on one that is zero, must not hold because of a value from before the database went away.
func TestWhatCouldNotBeReadIsNoNumberUntilItIsReadAgain(t *testing.T) {
	r := fresh()
	tell := func() {
		r.Backlog("ledger", 42)
		r.OldestPending(time.Unix(1_800_000_000, 0))
		r.Parked(5, 2)
		r.Marker(initlock.Ready)
	}
	tell()
	r.Unmeasured()
	got := series(t, r)
	for _, key := range []string{
		`safebox_event_backlog{group="ledger"}`, `safebox_event_oldest_pending_timestamp_seconds`, `safebox_parked_events`,
		`safebox_parked_wallets`, `safebox_init_marker_state{state="ready"}`, `safebox_init_marker_state{state="failed"}`,
	} {
		if v, there := got[key]; !there || !math.IsNaN(v) {
			t.Errorf("%s is %v (%t)", key, v, there)
		}
	}
	tell()
	want(t, r, map[string]float64{
		`safebox_event_backlog{group="ledger"}`: 42, `safebox_event_oldest_pending_timestamp_seconds`: 1_800_000_000,
		`safebox_parked_events`: 5, `safebox_parked_wallets`: 2, `safebox_init_marker_state{state="failed"}`: 0,
	})
}

func TestTheRouterCountsWhatItHandled(t *testing.T) {
	r := fresh()
	r.Handled("ledger", time.Second, true)
	r.Handled("ledger", time.Second, false)
	r.Handled("a handler of tomorrow", time.Second, true)
	want(t, r, map[string]float64{
		`safebox_watermill_handler_execution_time_seconds_count{handler_name="ledger",success="true"}`:                                1,
		`safebox_watermill_handler_execution_time_seconds_sum{handler_name="ledger",success="false"}`:                                 1,
		`safebox_watermill_handler_execution_time_seconds_count{handler_name="other",success="true"}`:                                 1,
		`safebox_watermill_subscriber_messages_received_total{acked="acked",handler_name="ledger",subscriber_name="bus.Subscriber"}`:  1,
		`safebox_watermill_subscriber_messages_received_total{acked="nacked",handler_name="ledger",subscriber_name="bus.Subscriber"}`: 1,
	})
}

// stir tells a registry everything there is to tell, with values that nobody foresaw.
func stir(r *metrics.Registry, rng *rand.Rand) {
	word := func() string { return fmt.Sprintf("npub1%x", rng.Uint64()) }
	took := time.Duration(rng.Int64N(int64(time.Minute)))
	switch rng.IntN(16) {
	case 0:
		r.Statement(context.Background(), word(), took, storage.Class(word()))
	case 1:
		r.Statement(context.Background(), "ping", took, storage.Class(word()))
	case 2:
		r.Acquire(took, rng.IntN(2) == 0)
	case 3:
		r.InitState(word())
	case 4:
		r.InitPhase(word(), took)
	case 5:
		r.InitElection(initlock.Outcome(word()))
	case 6:
		r.Guard(word(), rng.IntN(10))
	case 7:
		r.Schema(word())
	case 8:
		r.Appended(word(), word(), 1)
		r.Appended(word(), "appended", 1)
	case 9:
		r.Processed(word(), word(), 1)
		r.Processed(event.TypeQuotePaid, "parked", 1)
	case 10:
		r.Lag(context.Background(), took)
		r.Batch(rng.IntN(1000), map[string]time.Duration{word(): took, "fold": took})
	case 11:
		r.Retried(word())
		r.LaneBusy(+1)
	case 12:
		r.Backlog(word(), rng.Int64N(1000))
		r.OldestPending(time.Unix(rng.Int64N(1<<32), 0))
	case 14:
		r.Handled(word(), took, rng.IntN(2) == 0)
		r.ReplicaState(word())
		r.Marker(initlock.State(word()))
	case 15:
		r.ClockOffset(took)
		r.Measured(time.Unix(rng.Int64N(1<<32), 0))
		r.Unmeasured()
	case 13:
		r.Parked(rng.Int64N(10), rng.Int64N(10))
		closed := map[string]int64{word(): 1}
		r.WatchPool(func() storage.PoolStats { return storage.PoolStats{Closed: closed} })
	}
}

func TestTheNumberOfSeriesStaysPutWhateverIsObserved(t *testing.T) {
	r := fresh()
	before := series(t, r)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		stir(r, rng)
	}
	after := series(t, r)
	if len(after) != len(before) {
		t.Errorf("%d series became %d", len(before), len(after))
	}
	for key := range after {
		if _, there := before[key]; !there && key != `safebox_schema_info{revision="other"}` {
			t.Errorf("new series %s", key)
		}
	}
}

func TestARegistryMayBeToldAndScrapedAtOnce(t *testing.T) {
	r := fresh()
	var tellers sync.WaitGroup
	for n := range uint64(8) {
		tellers.Go(func() {
			rng := rand.New(rand.NewPCG(n, n))
			for range 1000 {
				stir(r, rng)
				r.Appended(event.TypeNonceUsed, "appended", 1)
				r.InitState([]string{"waiting", "leading", "ready"}[rng.IntN(3)])
			}
		})
	}
	for range 10 {
		series(t, r)
	}
	tellers.Wait()
	want(t, r, map[string]float64{`safebox_events_appended_total{result="appended",type="safebox.nonce.used.v1"}`: 8000})
}

// Tracing that is off costs nothing, and observing allocates nothing.
func TestObservingAllocatesNothing(t *testing.T) {
	r := fresh()
	ctx := context.Background()
	r.Statement(ctx, "ping", time.Millisecond, "") // a native histogram allocates each bucket once
	r.Lag(ctx, time.Millisecond)
	if n := testing.AllocsPerRun(1000, func() {
		r.Statement(ctx, "ping", time.Millisecond, "")
		r.Lag(ctx, time.Millisecond)
		r.Processed(event.TypeFundsCredited, "applied", 1)
		r.Handled("ledger", time.Millisecond, true)
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

func TestAnObservationInATraceHasItsExemplar(t *testing.T) {
	type key struct{}
	r := metrics.New(metrics.Options{TraceID: func(ctx context.Context) string {
		id, _ := ctx.Value(key{}).(string)
		return id
	}})
	r.Lag(t.Context(), time.Millisecond)
	r.Lag(context.WithValue(t.Context(), key{}, "0af7651916cd43dd8448eb211c80319c"), 20*time.Millisecond)
	traces := map[float64]string{}
	for _, b := range protobuf(t, r)[metrics.EventLag].GetMetric()[0].GetHistogram().GetBucket() {
		if e := b.GetExemplar(); e != nil {
			traces[e.GetValue()] = e.GetLabel()[0].GetName() + "=" + e.GetLabel()[0].GetValue()
		}
	}
	if len(traces) != 1 || traces[0.02] != "trace_id=0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("exemplars: %v", traces)
	}
}

func BenchmarkObserving(b *testing.B) {
	r := fresh()
	b.Run("an event", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Processed(event.TypeFundsCredited, "applied", 1)
			r.Lag(context.Background(), 5*time.Millisecond)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("a statement", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Statement(context.Background(), "ping", time.Millisecond, "")
		}
	})
}

// hungUp is a scraper that went away.
type hungUp struct{ http.ResponseWriter }

func (hungUp) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAScraperThatHangsUpIsNoTroubleOfTheReplica(t *testing.T) {
	var log bytes.Buffer
	r := metrics.New(metrics.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r.Handler().ServeHTTP(hungUp{httptest.NewRecorder()}, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if log.Len() > 0 {
		t.Errorf("the log at info says:\n%s", log.String())
	}
}
