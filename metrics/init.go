package metrics

import (
	"regexp"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/safebox/safebox/initlock"
)

// initialisation shows how this replica became ready.
type initialisation struct {
	states     map[string]prometheus.Gauge
	leader     prometheus.Gauge
	durations  map[string]prometheus.Gauge
	elections  map[string]prometheus.Counter
	markers    map[string]prometheus.Gauge
	violations map[string]prometheus.Gauge
	schema     *prometheus.GaugeVec

	now func() time.Time

	mu           sync.Mutex // holds calls to InitState and Schema apart, and guards what follows
	revision     string     // the one that schema shows
	waitingSince time.Time  // zero: not waiting
	waited       time.Duration
}

// The states and phases that initlock.Observer names.
var (
	initStates = []string{"waiting", "leading", "ready", "failed"}
	initPhases = []string{"wait", "initialise"}
	// markerStates are those of initlock.Record, but for one that has no name there.
	markerStates = []string{"absent", string(initlock.Running), string(initlock.Ready), string(initlock.Failed)}
)

func (i *initialisation) register(reg prometheus.Registerer, guards []string, now func() time.Time) {
	i.now = now
	i.states = gauges(reg, InitState, "1 for the state that the initialisation of this replica is in.", "state", initStates)
	i.leader = gauge(reg, InitLeader, "1 if this replica leads the initialisation, or led it.")
	i.durations = gauges(reg, InitSeconds, "How long each phase of the initialisation took.", "phase", initPhases)
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: InitWaitSeconds,
		Help: "How long this replica has waited for a leader; it grows while the replica waits.",
	}, i.wait))
	var outcomes []string
	for _, o := range []initlock.Outcome{
		initlock.OutcomeAlreadyReady, initlock.OutcomeLed, initlock.OutcomeFollowed, initlock.OutcomeNewer, initlock.OutcomeFailed,
	} {
		outcomes = append(outcomes, string(o))
	}
	i.elections = counters(reg, InitElections, "Initialisations that this replica went through, by outcome.", "outcome", outcomes)
	i.markers = gauges(reg, InitMarker,
		"1 for the state of the marker in the database, whichever process wrote it, as this replica last read it.", "state", markerStates)
	i.violations = gauges(reg, GuardViolations, "Values that break a guard, as of this replica's last check.", "guard", with(guards))
	i.schema = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: SchemaInfo, Help: "1 for the revision of the database's schema; unknown at 0 until it is read.",
	}, []string{"revision"})
	reg.MustRegister(i.schema)
	i.revision = "unknown"
	i.schema.WithLabelValues(i.revision)
}

// InitState is told the state: waiting, leading, ready or failed.
func (i *initialisation) InitState(s string) {
	if _, known := i.states[s]; !known {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	one(i.states, s)
	switch {
	case s == "waiting" && i.waitingSince.IsZero():
		i.waitingSince = i.now()
	case s != "waiting" && !i.waitingSince.IsZero():
		i.waited += max(i.now().Sub(i.waitingSince), 0)
		i.waitingSince = time.Time{}
	}
	switch s {
	case "leading":
		i.leader.Set(1)
	case "waiting", "failed":
		i.leader.Set(0)
	}
}

// wait is the time spent in the state waiting.
func (i *initialisation) wait() float64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	w := i.waited
	if !i.waitingSince.IsZero() {
		w += max(i.now().Sub(i.waitingSince), 0)
	}
	return w.Seconds()
}

// InitPhase is told how long a phase took: wait or initialise.
func (i *initialisation) InitPhase(phase string, took time.Duration) {
	if g, known := i.durations[phase]; known {
		g.Set(seconds(took))
	}
}

// InitElection is told how the initialisation ended.
func (i *initialisation) InitElection(o initlock.Outcome) {
	if c, known := i.elections[string(o)]; known {
		c.Inc()
	}
	if o == initlock.OutcomeLed {
		i.leader.Set(1)
	}
}

// Marker sets the state of the marker in the database: absent (or nothing), running, ready or failed.
func (i *initialisation) Marker(s initlock.State) {
	if s == initlock.Absent {
		s = "absent"
	}
	one(i.markers, string(s))
}

// Guard sets how many values break a guard.
func (i *initialisation) Guard(guard string, violations int) {
	g, known := i.violations[guard]
	if !known {
		g = i.violations[other]
	}
	g.Set(float64(violations))
}

// revisionName is the form of a revision's name: a day and a number of four digits.
var revisionName = regexp.MustCompile(`^[0-9]{8}_[0-9]{4}$`)

// Schema sets the revision of the database's schema; it replaces the one before it.
func (i *initialisation) Schema(revision string) {
	if !revisionName.MatchString(revision) {
		revision = other
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.schema.WithLabelValues(revision).Set(1)
	if i.revision != revision {
		i.schema.DeleteLabelValues(i.revision)
		i.revision = revision
	}
}
