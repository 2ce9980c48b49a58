package bus

import (
	"cmp"
	"context"
	"errors"
	"log/slog"

	"github.com/safebox/safebox/worker/event"
)

// ParkedEvents are those of a consumer group, for operators to see to.
type ParkedEvents struct {
	Log          event.Log
	Topic, Group string
	Handler      Handler
	Logger       *slog.Logger // told of a handler that panics; nil: slog.Default
}

// Retry processes the parked events of a subject, in order, until one fails again. event.ErrNotFound if it has none.
func (p ParkedEvents) Retry(ctx context.Context, subject string, by event.Operator) (event.ParkedResult, error) {
	return p.unpark(ctx, subject, by, false)
}

// Skip ends the first parked event of a subject without processing it, then retries those behind it.
func (p ParkedEvents) Skip(ctx context.Context, subject string, by event.Operator) (event.ParkedResult, error) {
	return p.unpark(ctx, subject, by, true)
}

func (p ParkedEvents) unpark(ctx context.Context, subject string, by event.Operator, skipping bool) (event.ParkedResult, error) {
	res := event.ParkedResult{Subject: subject, Outcomes: map[string]int{}}
	switch {
	case by.Actor == "":
		return res, errors.New("to retry or to skip parked events takes somebody who does it: the operator has no name")
	case skipping && by.Reason == "":
		return res, errors.New("to skip a parked event takes a reason")
	}
	alone := skipping // the next event is processed in a transaction of its own; after a failure, each one is
	for first := true; ; first = false {
		b, err := p.Log.ClaimParked(ctx, p.Topic, p.Group, subject)
		if errors.Is(err, event.ErrNotFound) && !first {
			return res, nil
		}
		if err != nil {
			return res, err
		}
		position, waiting := b.Records()[0].Position, len(b.Records())
		records := b.Records()
		if alone {
			records = records[:1]
		}
		act := action(event.ActionRetry, by, records)
		if skipping && first {
			act.Action = event.ActionSkip
		}
		outcomes, err := unparkBatch(ctx, b, p.Handler, records, act)
		b.Rollback()
		switch {
		case err == nil:
			for _, outcome := range outcomes {
				res.Outcomes[outcome]++
			}
			alone = alone && (!skipping || !first)
		case passing(err) || ctx.Err() != nil:
			return res, err
		case len(records) > 1: // one of them fails: those before it go alone
			alone = true
		default: // the handler or the database refuses this event: it stays parked, with this error
			res.Waiting, res.Error = waiting, err.Error()
			var panicked *PanicError
			if errors.As(err, &panicked) {
				cmp.Or(p.Logger, slog.Default()).WarnContext(ctx, "a handler panicked; the event stays parked", "subject", subject,
					"event", records[0].ID, "type", records[0].Type, "error", err, "stack", string(panicked.Stack))
			}
			act.Error = storable(err)
			return res, p.keep(ctx, subject, position, act)
		}
	}
}

// action is what the operator does about records of one subject.
func action(name string, by event.Operator, records []event.Record) event.ParkedAction {
	return event.ParkedAction{
		Action: name, Actor: by.Actor, Reason: by.Reason, Events: len(records),
		First: records[0].Position, Last: records[len(records)-1].Position,
	}
}

// unparkBatch does to the first records of a batch of parked events what the action says, and commits them with it: all, or
// none.
func unparkBatch(ctx context.Context, b event.Batch, h Handler, records []event.Record, act event.ParkedAction) (outcomes []string, err error) {
	session, err := begin(ctx, h, b, records)
	if err != nil {
		return nil, err
	}
	process := handle
	if act.Action == event.ActionSkip {
		process = skip
	}
	for _, rec := range records {
		outcome, err := process(ctx, session, rec)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, outcome)
	}
	if err := finish(ctx, session); err != nil {
		return nil, err
	}
	b.Note(act)
	return outcomes, b.Commit(ctx, event.UpTo(records...))
}

// keep writes the new error and the further attempt to the first parked event of a subject, with the action that failed,
// unless someone else has ended that event meanwhile.
func (p ParkedEvents) keep(ctx context.Context, subject string, position int64, failed event.ParkedAction) error {
	b, err := p.Log.ClaimParked(ctx, p.Topic, p.Group, subject)
	if errors.Is(err, event.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer b.Rollback()
	rec := b.Records()[0]
	if rec.Position != position {
		return nil
	}
	b.Park(rec, failed.Error, 1)
	b.Note(failed)
	return b.Commit(ctx, map[int]int64{rec.Partition: rec.Position - 1})
}
