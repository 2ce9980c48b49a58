package worker

import (
	"context"
	"errors"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// Retry processes the parked events of a subject, in order, until one fails again; event.ErrNotFound if it has none.
func Retry(ctx context.Context, log event.Log, subject string, by event.Operator) (event.ParkedResult, error) {
	return bus.RetryParked(ctx, log, event.Topic, Group, subject, Ledger{}, by)
}

// Skip rejects the first parked event of a subject, with the reason "skipped", and retries those behind it.
func Skip(ctx context.Context, log event.Log, subject string, by event.Operator) (event.ParkedResult, error) {
	return bus.SkipParked(ctx, log, event.Topic, Group, subject, Ledger{}, by)
}

// Operations are Retry and Skip for people, who may name a wallet by its handle.
type Operations struct{ DB storage.DB }

// Retry is the function Retry, for a subject or the handle of a wallet.
func (o Operations) Retry(ctx context.Context, key string, by event.Operator) (event.ParkedResult, error) {
	return o.resolve(ctx, key, Retry, by)
}

// Skip is the function Skip, for a subject or the handle of a wallet.
func (o Operations) Skip(ctx context.Context, key string, by event.Operator) (event.ParkedResult, error) {
	return o.resolve(ctx, key, Skip, by)
}

// resolve does it for the subject of this name; where that has nothing parked, for the wallet that goes by it.
func (o Operations) resolve(
	ctx context.Context, key string, do func(context.Context, event.Log, string, event.Operator) (event.ParkedResult, error), by event.Operator,
) (event.ParkedResult, error) {
	r, err := do(ctx, o.DB, key, by)
	if !errors.Is(err, event.ErrNotFound) {
		return r, err
	}
	w, lookup := o.DB.Wallet(ctx, key)
	switch {
	case lookup != nil && !errors.Is(lookup, event.ErrNotFound):
		return r, lookup
	case lookup != nil || w.Npub == key:
		return r, err
	}
	return do(ctx, o.DB, w.Npub, by)
}
