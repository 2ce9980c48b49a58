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
	Waiting  int            `json:"waiting"`         // still parked
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
	for first := true; ; first = false {
		b, err := log.ClaimParked(ctx, topic, group, subject)
		if errors.Is(err, event.ErrNotFound) && !first {
			return res, nil
		}
		if err != nil {
			return res, err
		}
		position, waiting := b.Records()[0].Position, len(b.Records())
		outcome, err := unparkOne(ctx, b, h, skipping && first)
		b.Rollback()
		switch {
		case err == nil:
			res.Outcomes[outcome]++
		case transient(err) || ctx.Err() != nil:
			return res, err
		default: // the handler or the database refuses this event: it stays parked, with this error
			res.Waiting, res.Error = waiting, err.Error()
			return res, keepParked(ctx, log, topic, group, subject, position, err)
		}
	}
}

// unparkOne processes the first record of a batch of parked events and commits it.
func unparkOne(ctx context.Context, b event.Batch, h Handler, skipping bool) (outcome string, err error) {
	rec := b.Records()[0]
	session, err := begin(ctx, h, b, b.Records()[:1])
	if err != nil {
		return "", err
	}
	if skipping {
		outcome, err = skip(ctx, session, rec)
	} else {
		outcome, err = handle(ctx, session, rec)
	}
	if err != nil {
		return "", err
	}
	if err := finish(ctx, session); err != nil {
		return "", err
	}
	return outcome, b.Commit(ctx, rec.Position)
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
