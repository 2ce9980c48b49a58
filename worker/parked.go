package worker

import (
	"context"
	"errors"
	"log/slog"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// Operations are what people do about parked events of the ledger. They may name a wallet by its handle.
type Operations struct {
	DB     storage.DB
	Logger *slog.Logger // nil: slog.Default
}

// Retry processes the parked events of a subject, in order, until one fails again; event.ErrNotFound if it has none.
func (o Operations) Retry(ctx context.Context, key string, by event.Operator) (event.ParkedResult, error) {
	return o.resolve(ctx, key, o.parked().Retry, by)
}

// Skip rejects the first parked event of a subject, with the reason "skipped", and retries those behind it.
func (o Operations) Skip(ctx context.Context, key string, by event.Operator) (event.ParkedResult, error) {
	return o.resolve(ctx, key, o.parked().Skip, by)
}

func (o Operations) parked() bus.ParkedEvents {
	return bus.ParkedEvents{Log: o.DB, Topic: event.Topic, Group: Group, Handler: Ledger{}, Logger: o.Logger}
}

// resolve does it for the subject of this name; where that has nothing parked, for the wallet that goes by it.
func (o Operations) resolve(
	ctx context.Context, key string, do func(context.Context, string, event.Operator) (event.ParkedResult, error), by event.Operator,
) (event.ParkedResult, error) {
	r, err := do(ctx, key, by)
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
	return do(ctx, w.Npub, by)
}
