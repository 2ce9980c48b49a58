package query

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// mostActions is the most actions of operators that are looked through for one event.
const mostActions = 100_000

// The outcomes of an event that has not ended; the others are those of ledger.OutcomeKind.
const (
	Pending = "pending"
	Parked  = "parked"
)

// Event is an event and what became of it.
type Event struct {
	Event      json.RawMessage `json:"event"` // a CloudEvent in JSON, secrets masked
	Topic      string          `json:"topic"`
	Partition  int             `json:"partition"`
	Position   int64           `json:"position"`
	RecordedAt time.Time       `json:"recorded_at"`
	Outcome    string          `json:"outcome"` // pending, applied, rejected or parked
	Reason     string          `json:"reason,omitempty"`
	Error      string          `json:"error,omitempty"` // of a parked event
	Entries    []ledger.Entry  `json:"entries"`
	// Actions are what operators did about the event while it was parked, the last first.
	Actions []event.ParkedAction `json:"actions"`
}

// Events finds the events of an id, and of a source unless that is empty, and what became of each; event.ErrNotFound if there
// is none.
func Events(ctx context.Context, db storage.Reader, group, source, id string) ([]Event, error) {
	records, err := db.Events(ctx, event.Topic, source, id)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, event.ErrNotFound
	}
	events := make([]Event, len(records))
	for i, r := range records {
		if events[i], err = Explain(ctx, db, group, r); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// Explain finds out what the group made of an event. Whether it is parked is asked before whether it has ended: an event that
// is neither was pending at the first question, whatever a commit between the two did.
func Explain(ctx context.Context, db storage.Reader, group string, r event.Record) (Event, error) {
	e := Event{
		Event: event.EncodeRedacted(r.Event), Topic: r.Topic, Partition: r.Partition, Position: r.Position,
		RecordedAt: r.RecordedAt, Outcome: Pending, Entries: []ledger.Entry{}, Actions: []event.ParkedAction{},
	}
	parked, err := db.ParkedAt(ctx, r.Topic, group, r.Partition, r.Position)
	switch {
	case err == nil:
		e.Outcome, e.Error = Parked, parked.Error
	case !errors.Is(err, event.ErrNotFound):
		return e, err
	}
	entries, err := db.EntriesAt(ctx, r.Partition, r.Position)
	if err != nil {
		return e, err
	}
	if len(entries) > 0 {
		e.Entries, e.Outcome, e.Reason, e.Error = entries, string(entries[0].Outcome), entries[0].Reason, ""
	}
	actions, err := db.ParkedActions(ctx, r.Topic, group, r.Subject, mostActions)
	if err != nil {
		return e, err
	}
	for _, act := range actions {
		if act.First <= r.Position && r.Position <= act.Last {
			e.Actions = append(e.Actions, act)
		}
	}
	return e, nil
}
