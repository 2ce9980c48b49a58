package bus

import (
	"context"
	"errors"
	"fmt"

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

func unpark(ctx context.Context, log event.Log, topic, group, subject string, h Handler, skip bool) (ParkedResult, error) {
	res := ParkedResult{Subject: subject, Outcomes: map[string]int{}}
	for first := true; ; first = false {
		b, err := log.ClaimParked(ctx, topic, group, subject)
		if errors.Is(err, event.ErrNotFound) && !first {
			return res, nil
		}
		if err != nil {
			return res, err
		}
		outcome, stopped, err := unparkOne(ctx, b, h, skip && first)
		waiting := len(b.Records())
		b.Rollback()
		if err != nil && !transient(err) && ctx.Err() == nil {
			stopped = err // the database refuses this event: it stays parked, with this error
		} else if err != nil {
			return res, err
		}
		if stopped == nil {
			res.Outcomes[outcome]++
			continue
		}
		res.Waiting, res.Error = waiting, stopped.Error()
		return res, keepParked(ctx, log, topic, group, subject, stopped)
	}
}

// unparkOne processes the first record of a batch of parked events and commits it. stopped is the handler's error.
func unparkOne(ctx context.Context, b event.Batch, h Handler, skip bool) (outcome string, stopped, err error) {
	rec := b.Records()[0]
	session, err := h.Begin(ctx, b, b.Records()[:1])
	if err != nil {
		return "", nil, err
	}
	if skip {
		outcome, stopped = session.Skip(ctx, rec)
	} else {
		outcome, stopped = handleSafely(ctx, session, rec)
	}
	if stopped != nil {
		return "", stopped, nil
	}
	if err := session.Finish(ctx); err != nil {
		return "", nil, err
	}
	return outcome, nil, b.Commit(ctx, rec.Position)
}

func handleSafely(ctx context.Context, s Session, rec event.Record) (outcome string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.Handle(ctx, rec)
}

// keepParked writes the new error and the further attempt to the first parked event of a subject.
func keepParked(ctx context.Context, log event.Log, topic, group, subject string, cause error) error {
	b, err := log.ClaimParked(ctx, topic, group, subject)
	if err != nil {
		return err
	}
	defer b.Rollback()
	rec := b.Records()[0]
	b.Park(rec, cause.Error(), 1)
	return b.Commit(ctx, rec.Position-1)
}
