package worker

import (
	"time"

	"github.com/safebox/safebox/worker/bus"
)

// GuardsFirst is about how long after its start a replica looks at the guards.
const GuardsFirst = guardsFirst

// Stuck says what of a replica does not move although it should.
func (r *Replica) Stuck() string { return r.vitals.stuck() }

// StuckAfter sets how long a replica may take for what does not wait for the database. It is called before Run.
func StuckAfter(r *Replica, d time.Duration) { r.vitals.stuckAfter = d }

// Watch makes the replica look at this subscriber's handlers instead of its own.
func Watch(r *Replica, s *bus.Subscriber) { r.vitals.subscriber.Store(s) }
