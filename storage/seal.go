package storage

import (
	"context"
	"errors"
	"slices"

	"github.com/safebox/safebox/worker/event"
)

// AppendSealed is AppendDistinct for a log that keeps secrets sealed: it seals those of the events, and refuses the events
// whose secrets it cannot seal, beside the others. find is Reader.Events.
//
// The same secret of the same event is sealed to the same bytes, so that the statements of append recognise a repeat. They
// do not where the log has it under an older key, or in the clear from before there was one; such a conflict is looked at
// again, and is none when what was sealed is the same.
func AppendSealed(
	ctx context.Context, keys *event.Keyring, topic string, events []event.Event,
	find func(ctx context.Context, topic, source, id string) ([]event.Record, error),
	write func([]event.Event) ([]event.Receipt, error),
) ([]event.Receipt, error) {
	if topic != event.Topic || !slices.ContainsFunc(events, func(e event.Event) bool { return event.Secrets(e.Type) }) {
		return AppendDistinct(events, write)
	}
	all := make([]event.Receipt, len(events))
	sealed, at := make([]event.Event, 0, len(events)), make([]int, 0, len(events)) // at: its place among the events
	for i, e := range events {
		s, refusal := keys.Seal(topic, e)
		if refusal != nil {
			all[i] = event.Receipt{Result: event.Refused, Refusal: refusal}
			continue
		}
		sealed, at = append(sealed, s), append(at, i)
	}
	if len(sealed) == 0 {
		return all, nil
	}
	receipts, err := AppendDistinct(sealed, write)
	if err != nil {
		return nil, err
	}
	for j, r := range receipts {
		if e := events[at[j]]; r.Result == event.Conflict && event.Secrets(e.Type) {
			if r, err = lookAgain(ctx, keys, topic, e, r, find); err != nil {
				return nil, err
			}
		}
		all[at[j]] = r
	}
	return all, nil
}

// lookAgain compares an event that is in conflict with the one of the log, both open.
func lookAgain(
	ctx context.Context, keys *event.Keyring, topic string, e event.Event, r event.Receipt,
	find func(ctx context.Context, topic, source, id string) ([]event.Record, error),
) (event.Receipt, error) {
	records, err := find(ctx, topic, e.Source, e.ID)
	if err != nil {
		return r, err
	}
	for _, rec := range records {
		open, err := keys.Open(topic, rec.Event)
		var closed *event.SealedError
		switch {
		case errors.As(err, &closed) && !closed.Known:
			return event.Receipt{Result: event.Refused, Refusal: &event.Refusal{
				Field: closed.Field, Source: e.Source, ID: e.ID,
				Reason: "the log has this event, and whether with the same content cannot be told: " + closed.Error(),
			}}, nil
		case err == nil && open.SameContent(e):
			r.Result = event.Duplicate
		}
	}
	return r, nil
}
