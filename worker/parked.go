package worker

import (
	"context"

	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// Retry processes the parked events of a subject, in order, until one fails again; event.ErrNotFound if it has none.
func Retry(ctx context.Context, log event.Log, subject string, by bus.Operator) (bus.ParkedResult, error) {
	return bus.RetryParked(ctx, log, event.Topic, Group, subject, Ledger{}, by)
}

// Skip rejects the first parked event of a subject, with the reason "skipped", and retries those behind it.
func Skip(ctx context.Context, log event.Log, subject string, by bus.Operator) (bus.ParkedResult, error) {
	return bus.SkipParked(ctx, log, event.Topic, Group, subject, Ledger{}, by)
}
