package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

func (a *app) eventCommand() *cobra.Command {
	events := &cobra.Command{Use: "event", Short: "Publish events and look at them"}
	events.AddCommand(a.eventPublish(), a.eventShow(), a.eventTail())
	return group(events)
}

func (a *app) eventShow() *cobra.Command {
	var source string
	c := a.printing(&cobra.Command{
		Use: "show ID", Short: "Show an event and what became of it",
		Long: "show prints the event with its secrets masked, its place in the log, its outcome and the entries that it made. Several\n" +
			"sources may use one id; --source picks one of them, and spares the search through all sources.",
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.query(cmd.Context(), "event", func(ctx context.Context, db storage.DB) error {
				records, err := db.Events(ctx, event.Topic, source, args[0])
				if err != nil {
					return err
				}
				if len(records) == 0 {
					return fmt.Errorf("event %q: %w", args[0], event.ErrNotFound)
				}
				shown := make([]shownEvent, len(records))
				for i, r := range records {
					if shown[i], err = explain(ctx, db, r); err != nil {
						return err
					}
				}
				return a.print(shown, func() error { return a.printEvents(shown) })
			})
		},
	})
	c.Flags().StringVar(&source, "source", "", "only the event of this source")
	return c
}

// shownEvent is an event as people may read it.
type shownEvent struct {
	Event      json.RawMessage `json:"event"` // secrets masked
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

	subject, kind string
}

// explain finds out what became of an event.
func explain(ctx context.Context, db storage.DB, r event.Record) (shownEvent, error) {
	s := shownEvent{
		Event: event.EncodeRedacted(r.Event), Topic: r.Topic, Partition: r.Partition, Position: r.Position,
		RecordedAt: r.RecordedAt, Outcome: "pending", Entries: []ledger.Entry{}, Actions: []event.ParkedAction{}, subject: r.Subject, kind: r.Type,
	}
	actions, err := db.ParkedActions(ctx, r.Topic, ledgerGroup, r.Subject, mostParked)
	if err != nil {
		return s, err
	}
	for _, act := range actions {
		if act.First <= r.Position && r.Position <= act.Last {
			s.Actions = append(s.Actions, act)
		}
	}
	entries, err := db.EntriesAt(ctx, r.Partition, r.Position)
	if err != nil {
		return s, err
	}
	if len(entries) > 0 {
		s.Entries, s.Outcome, s.Reason = entries, string(entries[0].Outcome), entries[0].Reason
		return s, nil
	}
	parked, err := db.ParkedAt(ctx, r.Topic, ledgerGroup, r.Partition, r.Position)
	switch {
	case errors.Is(err, event.ErrNotFound):
		return s, nil
	case err != nil:
		return s, err
	}
	s.Outcome, s.Error = "parked", parked.Error
	return s, nil
}

func (a *app) printEvents(shown []shownEvent) error {
	for i, s := range shown {
		if i > 0 {
			if err := a.printf(""); err != nil {
				return err
			}
		}
		var pretty strings.Builder
		e := json.NewEncoder(&pretty)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(s.Event); err != nil {
			return err
		}
		if err := a.printf("%s\nplace      partition %d, position %s, recorded %s\noutcome    %s", strings.TrimSpace(pretty.String()),
			s.Partition, terminal.Count(s.Position), terminal.Moment(s.RecordedAt), s.ending()); err != nil {
			return err
		}
		if len(s.Actions) > 0 {
			if err := a.printActions(s.Actions); err != nil {
				return err
			}
		}
		if len(s.Entries) == 0 {
			continue
		}
		t := terminal.NewTable(a.out, "SUBJECT", ":SEQ", ":AMOUNT", ":FEE", ":BALANCE")
		for _, e := range s.Entries {
			t.Row(e.Subject, seq(e), terminal.Count(e.Amount), terminal.Count(e.Fee), terminal.Count(e.Balance))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (s shownEvent) ending() string {
	switch {
	case s.Reason != "":
		return s.Outcome + ": " + s.Reason
	case s.Error != "":
		return s.Outcome + ": " + s.Error
	default:
		return s.Outcome
	}
}
