package bus

import (
	"context"
	"errors"

	"github.com/safebox/safebox/worker/event"
)

// ParkedResult says what became of the parked events of a subject.
type ParkedResult struct {
	Subject  string         `json:"subject"`
	Outcomes map[string]int `json:"outcomes"`        // how many ended in which outcome
	Waiting  int            `json:"waiting"`         // still parked; counted up to event.MaxUnparked
	Error    string         `json:"error,omitempty"` // what stopped the first of those
}

// RetryParked processes the parked events of a subject, in order, until one fails again. event.ErrNotFound if it has none.
func RetryParked(ctx context.Context, log event.Log, topic, group, subject string, h Handler) (ParkedResult, error) {
	return unpark(ctx, log, topic, group, subject, h, false)
}

// SkipParked ends the first parked event of a subject without processing it, then retries those behind it.
func SkipParked(ctx context.Context, log event.Log, topic, group, subject string, h Handler) (ParkedResult, error) {
	return unpark(ctx, log, topic, group, subject, h, true)
}

func unpark(ctx context.Context, log event.Log, topic, group, subject string, h Handler, skipping bool) (ParkedResult, error) {
	res := ParkedResult{Subject: subject, Outcomes: map[string]int{}}
	alone := skipping // the next event is processed in a transaction of its own; after a failure, each one is
	for first := true; ; first = false {
		b, err := log.ClaimParked(ctx, topic, group, subject)
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
		outcomes, err := unparkBatch(ctx, b, h, records, skipping && first)
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
			return res, keepParked(ctx, log, topic, group, subject, position, err)
		}
	}
}

// unparkBatch processes the first records of a batch of parked events and commits them: all, or none.
func unparkBatch(ctx context.Context, b event.Batch, h Handler, records []event.Record, skipping bool) (outcomes []string, err error) {
	session, err := begin(ctx, h, b, records)
	if err != nil {
		return nil, err
	}
	process := handle
	if skipping {
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
	return outcomes, b.Commit(ctx, records[len(records)-1].Position)
}

// keepParked writes the new error and the further attempt to the first parked event of a subject, unless someone else has
// ended that one meanwhile.
func keepParked(ctx context.Context, log event.Log, topic, group, subject string, position int64, cause error) error {
	b, err := log.ClaimParked(ctx, topic, group, subject)
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
	b.Park(rec, cause.Error(), 1)
	return b.Commit(ctx, rec.Position-1)
}
