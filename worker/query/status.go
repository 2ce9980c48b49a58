package query

import (
	"context"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// fresh is how old the heartbeat of a replica may be that counts as there.
const fresh = 15 * time.Second

// Status is the cluster as it is now.
type Status struct {
	Ready         bool              `json:"ready"`
	State         initlock.State    `json:"state"` // of the marker; "" where there is none
	Revision      string            `json:"revision"`
	Leader        string            `json:"leader"` // who prepared the database, or is at it
	Activity      string            `json:"activity,omitempty"`
	Error         string            `json:"error,omitempty"`
	Backlog       int64             `json:"backlog"` // events that are not processed yet
	OldestPending *time.Time        `json:"oldest_pending"`
	LagSeconds    float64           `json:"lag_seconds"` // how long the oldest pending event has waited, by the database's clock
	Parked        int64             `json:"parked"`
	ParkedWallets int64             `json:"parked_wallets"`
	BackedUp      *time.Time        `json:"backed_up"`       // when the last backup was taken; null where none is on record
	Verified      *time.Time        `json:"backup_verified"` // when one was last found good
	Workers       []storage.Replica `json:"workers"`
	// Connections to the database by worker; null on SQLite, where nobody can know, and before the database is ready.
	Connections map[string]storage.Connections `json:"connections"`
	Init        Init                           `json:"init"`
	Database    string                         `json:"database"` // without the password
}

// Init is the initialisation as it is now.
type Init struct {
	State    initlock.State `json:"state"` // of the marker
	Epoch    int64          `json:"epoch"`
	Holder   string         `json:"holder"` // who has the lock; "" when nobody has
	Since    *time.Time     `json:"since"`
	Activity string         `json:"activity"` // what the holder runs
	Waiters  []string       `json:"waiters"`  // who has waited for more than five seconds; null where that cannot be known
}

// NewInit puts the marker and the lock together.
func NewInit(m initlock.Record, e storage.Election) Init {
	s := Init{State: m.State, Epoch: m.Epoch, Waiters: e.Waiters}
	if !e.Held {
		return s
	}
	s.Holder, s.Activity = e.Holder.Name, e.Holder.Activity
	if !e.Holder.Since.IsZero() {
		s.Since = &e.Holder.Since
	}
	if m.State == initlock.Running && m.Activity != "" {
		s.Activity = m.Activity
	}
	return s
}

// StatusOptions say whose status is asked for.
type StatusOptions struct {
	Group    string      // the consumer group whose progress counts
	Database storage.URL // shown without its password
	// Usable says why this build cannot work with the database that the marker describes; nil when it can.
	Usable func(initlock.Record) error
}

// ReadStatus asks the database how the cluster is. On one that is not ready it reads no table beyond the marker's.
func ReadStatus(ctx context.Context, db storage.DB, o StatusOptions) (Status, error) {
	m, err := db.Marker().Read(ctx)
	if err != nil {
		return Status{}, err
	}
	election, err := db.Election(ctx)
	if err != nil {
		return Status{}, err
	}
	problem := o.Usable(m)
	s := Status{
		Ready: problem == nil, State: m.State, Revision: m.Revision, Leader: m.Holder, Activity: m.Activity, Error: m.Error,
		Workers: []storage.Replica{}, Init: NewInit(m, election), Database: o.Database.String(),
	}
	if !s.Ready {
		if s.Error == "" && m.State == initlock.Ready {
			s.Error = problem.Error()
		}
		return s, nil
	}
	cursors, err := db.Cursors(ctx, event.Topic, o.Group)
	if err != nil {
		return s, err
	}
	heads, err := db.Heads(ctx, event.Topic)
	if err != nil {
		return s, err
	}
	for p := range heads {
		s.Backlog += heads[p] - cursors[p]
	}
	oldest, err := db.OldestPending(ctx, event.Topic, o.Group)
	if err != nil {
		return s, err
	}
	if !oldest.IsZero() {
		offset, _, err := db.ClockOffset(ctx)
		if err != nil {
			return s, err
		}
		s.OldestPending, s.LagSeconds = &oldest, max(0, time.Since(oldest)+offset).Seconds()
	}
	if s.Parked, s.ParkedWallets, err = db.ParkedCount(ctx, event.Topic, o.Group); err != nil {
		return s, err
	}
	taken, verified, err := db.LastBackup(ctx)
	if err != nil {
		return s, err
	}
	if !taken.IsZero() {
		s.BackedUp = &taken
	}
	if !verified.IsZero() {
		s.Verified = &verified
	}
	workers, err := db.Replicas(ctx, fresh)
	if err != nil {
		return s, err
	}
	s.Workers = append(s.Workers, workers...)
	s.Connections, err = db.Connections(ctx)
	return s, err
}
