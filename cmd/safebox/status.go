package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// fresh is how old the heartbeat of a replica may be that counts as there.
const fresh = 15 * time.Second

// status is the cluster as it is now.
type status struct {
	Ready         bool              `json:"ready"`
	State         initlock.State    `json:"state"` // of the marker; "" where there is none
	Revision      string            `json:"revision"`
	Leader        string            `json:"leader"` // who prepared the database, or is at it
	Activity      string            `json:"activity,omitempty"`
	Error         string            `json:"error,omitempty"`
	Backlog       int64             `json:"backlog"` // events that are not processed yet
	OldestPending *time.Time        `json:"oldest_pending"`
	Parked        int64             `json:"parked"`
	ParkedWallets int64             `json:"parked_wallets"`
	Workers       []storage.Replica `json:"workers"`
	Init          initStatus        `json:"init"`
	Database      string            `json:"database"` // without the password
}

// initStatus is the initialisation as it is now.
type initStatus struct {
	State    initlock.State `json:"state"` // of the marker
	Epoch    int64          `json:"epoch"`
	Holder   string         `json:"holder"` // who has the lock; "" when nobody has
	Since    *time.Time     `json:"since"`
	Activity string         `json:"activity"` // what the holder runs
	Waiters  []string       `json:"waiters"`  // who has waited for more than a second; null where that cannot be known
}

func newInitStatus(m initlock.Record, e storage.Election) initStatus {
	s := initStatus{State: m.State, Epoch: m.Epoch, Waiters: e.Waiters}
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

// String says it to people.
func (s initStatus) String() string {
	if s.Holder == "" {
		return "free"
	}
	text := "held by " + s.Holder
	if s.Since != nil {
		text += " since " + terminal.Moment(*s.Since)
	}
	if s.Activity != "" {
		text += ": " + s.Activity
	}
	return text
}

func (a *app) statusCommand() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "status", Short: "Say whether the cluster is ready, who is in it and what waits",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.look(cmd.Context(), "status", func(ctx context.Context, db storage.DB) error {
				s, err := a.status(ctx, db)
				if err != nil {
					return err
				}
				return a.print(s, func() error { return a.printStatus(s) })
			})
		},
	})
}

func (a *app) status(ctx context.Context, db storage.DB) (status, error) {
	m, err := db.Marker().Read(ctx)
	if err != nil {
		return status{}, err
	}
	election, err := db.Election(ctx)
	if err != nil {
		return status{}, err
	}
	problem := usable(m)
	s := status{
		Ready: problem == nil, State: m.State, Revision: m.Revision, Leader: m.Holder, Activity: m.Activity, Error: m.Error,
		Workers: []storage.Replica{}, Init: newInitStatus(m, election), Database: a.conf.Database.String(),
	}
	if !s.Ready {
		if s.Error == "" && m.State == initlock.Ready {
			s.Error = problem.Error()
		}
		return s, nil
	}
	cursors, err := db.Cursors(ctx, event.Topic, ledgerGroup)
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
	oldest, err := db.OldestPending(ctx, event.Topic, ledgerGroup)
	if err != nil {
		return s, err
	}
	if !oldest.IsZero() {
		s.OldestPending = &oldest
	}
	if s.Parked, s.ParkedWallets, err = db.ParkedCount(ctx, event.Topic, ledgerGroup); err != nil {
		return s, err
	}
	workers, err := db.Replicas(ctx, fresh)
	s.Workers = list(workers)
	return s, err
}

// state is that of the marker, where it says more than ready does.
func (s status) state() string {
	switch {
	case s.State == initlock.Ready:
		return ""
	case s.State == initlock.Failed && s.Ready:
		return "failed when it was last prepared; what works with it goes on"
	default:
		return string(s.State)
	}
}

func (a *app) printStatus(s status) error {
	t := terminal.NewTable(a.out, "database", s.Database)
	t.Row("ready", map[bool]string{true: "yes", false: "no"}[s.Ready])
	for _, row := range [][2]string{
		{"state", s.state()}, {"revision", s.Revision}, {"led by", s.Leader}, {"activity", s.Activity}, {"error", s.Error},
	} {
		if row[1] != "" {
			t.Row(row[0], row[1])
		}
	}
	t.Row("lock", s.Init.String())
	if n := len(s.Init.Waiters); n > 0 {
		t.Row("waiting", terminal.Plural(int64(n), "replica")+": "+strings.Join(s.Init.Waiters, ", "))
	}
	if !s.Ready {
		if err := t.Flush(); err != nil {
			return err
		}
		if s.State == initlock.Absent && s.Init.Holder == "" {
			return a.printf("\nThe database is not initialised: start a worker or run `safebox init`.")
		}
		return nil
	}
	waiting := terminal.Plural(s.Backlog, "event")
	if s.OldestPending != nil {
		waiting += ", the oldest since " + terminal.Moment(*s.OldestPending)
	}
	t.Row("backlog", waiting)
	t.Row("parked", terminal.Plural(s.Parked, "event")+" of "+terminal.Plural(s.ParkedWallets, "wallet"))
	t.Row("workers", terminal.Count(len(s.Workers)))
	if err := t.Flush(); err != nil || len(s.Workers) == 0 {
		return err
	}
	if err := a.printf(""); err != nil {
		return err
	}
	t = terminal.NewTable(a.out, "WORKER", "STATE", ":LANES", "SINCE", "LAST SEEN", "LEADER", "VERSION")
	for _, w := range s.Workers {
		t.Row(w.Instance, w.State, w.Lanes, terminal.Moment(w.Since), terminal.Moment(w.SeenAt), map[bool]string{true: "yes"}[w.Leader], w.Version)
	}
	return t.Flush()
}
