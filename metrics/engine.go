package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/safebox/safebox/worker/event"
)

// The values that bus.Observer names.
var (
	appendResults = []string{"appended", "duplicate", "conflict", "refused"}
	outcomes      = []string{"applied", "rejected", "parked"}
	batchPhases   = []string{"claim", "load", "fold", "store", "commit"}
	replicaStates = []string{"starting", "ready", "draining"}
)

var (
	// lagBuckets are dense where the service has its objectives (a few to 40 ms) and reach to an hour of backlog.
	lagBuckets = []float64{.001, .0025, .005, .0075, .01, .015, .025, .04, .06, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600}
	// sizeBuckets reach past the default limit of 500 events.
	sizeBuckets = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}
	// phaseBuckets run from a fold of one event to a commit on a slow disk.
	phaseBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}
)

// engine shows the replica, the event log and its processing.
type engine struct {
	states   map[string]prometheus.Gauge
	measured prometheus.Gauge
	offset   prometheus.Gauge
	appended map[pair]prometheus.Counter
	events   map[pair]prometheus.Counter
	lag      prometheus.Histogram
	observe  observe
	backlog  map[string]prometheus.Gauge
	oldest   prometheus.Gauge
	batch    prometheus.Histogram
	phases   map[string]prometheus.Observer
	lanes    prometheus.Gauge

	parkedEvents, parkedWallets prometheus.Gauge
	backedUp, verified          prometheus.Gauge
}

func (e *engine) register(reg prometheus.Registerer, groups []string) {
	e.states = gauges(reg, ReplicaState, "1 for the state that this replica is in.", "state", replicaStates)
	e.measured = gauge(reg, ReplicaMeasured,
		"When this replica last read from the database what it shows of the backlog, the parked events and the marker, in Unix time; 0 before the first time.")
	e.offset = gauge(reg, ClockOffset, "How far the database's clock is ahead of this machine's; lags are corrected by it.")
	types := with(eventTypes())
	e.appended = counterPairs(reg, EventsAppended,
		"Events offered to this replica for the log, by what became of them.", pair{"type", "result"}, types, appendResults)
	e.events = counterPairs(reg, Events,
		"Events that this replica processed, by outcome.", pair{"type", "outcome"}, types, outcomes)
	e.lag = histogram(reg, EventLag, "Time from an event's append to the commit of its processing.", lagBuckets)
	e.backlog = gauges(reg, EventBacklog, "Events in the log that the group has not processed yet.", "group", with(groups))
	e.oldest = gauge(reg, EventOldest,
		"When the oldest event that waits for processing was recorded, in Unix time; 0 when none waits.")
	e.batch = histogram(reg, BatchEvents, "Events in each committed batch.", sizeBuckets)
	e.phases = histograms(reg, BatchSeconds, "Time that each phase of a batch took.", "phase", phaseBuckets, batchPhases)
	e.parkedEvents = gauge(reg, ParkedEvents, "Events set aside because they could not be processed.")
	e.parkedWallets = gauge(reg, ParkedWallets, "Wallets that wait behind a parked event.")
	e.lanes = gauge(reg, LanesBusy, "Lanes of this replica that work on a batch now.")
	e.backedUp = gauge(reg, BackupTaken,
		"When the last backup was taken that the database knows of, in Unix time; 0 when it knows of none.")
	e.verified = gauge(reg, BackupVerified,
		"When a backup was last restored and found good, in Unix time; 0 when none was.")
}

// eventTypes are the values of the label type.
func eventTypes() []string {
	catalogue := event.Catalogue()
	types := make([]string, len(catalogue))
	for i, t := range catalogue {
		types[i] = t.Type
	}
	return types
}

// add counts n in the series of a type and a second value; what the contract does not name is dropped.
func add(series map[pair]prometheus.Counter, typ, second string, n int) {
	if n <= 0 {
		return
	}
	c, known := series[pair{typ, second}]
	if !known {
		if c, known = series[pair{other, second}]; !known {
			return
		}
	}
	c.Add(float64(n))
}

// Appended counts events of one type by the result of their append: appended, duplicate, conflict or refused.
func (e *engine) Appended(typ, result string, n int) { add(e.appended, typ, result, n) }

// Processed counts events of one type by outcome: applied, rejected or parked.
func (e *engine) Processed(typ, outcome string, n int) { add(e.events, typ, outcome, n) }

// Lag is told the time from an event's append to the commit of its processing.
func (e *engine) Lag(ctx context.Context, d time.Duration) { e.observe(ctx, e.lag, seconds(d)) }

// Batch is told the size of each committed batch and how long its phases took.
func (e *engine) Batch(events int, phases map[string]time.Duration) {
	e.batch.Observe(float64(events))
	for phase, took := range phases {
		if h, known := e.phases[phase]; known {
			h.Observe(seconds(took))
		}
	}
}

// LaneBusy is told +1 when a lane starts on a batch and −1 when it is done with it.
func (e *engine) LaneBusy(delta int) { e.lanes.Add(float64(delta)) }

// Backups sets when the last backup was taken and when one was last found good; zero where none was.
func (e *engine) Backups(taken, verified time.Time) {
	e.backedUp.Set(unix(taken))
	e.verified.Set(unix(verified))
}

// ReplicaState is told the state: starting, ready or draining.
func (e *engine) ReplicaState(s string) { one(e.states, s) }

// ClockOffset sets how far the database's clock is ahead of this machine's; negative where it is behind.
func (e *engine) ClockOffset(d time.Duration) { e.offset.Set(d.Seconds()) }

// Measured is told when all that the database alone knows has been read.
func (e *engine) Measured(at time.Time) { e.measured.Set(unix(at)) }

// Backlog sets how many events a consumer group has not processed yet.
func (e *engine) Backlog(group string, n int64) {
	g, known := e.backlog[group]
	if !known {
		g = e.backlog[other]
	}
	g.Set(float64(n))
}

// OldestPending sets when the oldest event that waits for processing was recorded; the zero time says that none waits.
func (e *engine) OldestPending(t time.Time) {
	e.oldest.Set(unix(t))
}

// unix is a time as Prometheus wants it; 0 for the zero time.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

// Parked sets how many events are set aside and how many wallets wait behind them.
func (e *engine) Parked(events, wallets int64) {
	e.parkedEvents.Set(float64(events))
	e.parkedWallets.Set(float64(wallets))
}
