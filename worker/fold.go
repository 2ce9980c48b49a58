package worker

import (
	"context"
	"fmt"

	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// Group is the consumer group that keeps the ledger.
const Group = "ledger"

// Ledger is the handler of the wallet events: load, fold, store, in the transaction of the batch.
type Ledger struct{}

var _ bus.Handler = Ledger{}

// Begin implements bus.Handler: it decodes the batch and loads what it touches.
func (Ledger) Begin(ctx context.Context, b event.Batch, records []event.Record) (bus.Session, error) {
	tx, ok := b.(ledger.Tx)
	if !ok {
		return nil, fmt.Errorf("a batch of type %T cannot keep a ledger", b)
	}
	s := &session{tx: tx, commands: make(map[event.Place]ledger.Command, len(records)), errs: map[event.Place]error{}}
	commands := make([]ledger.Command, 0, len(records))
	for _, r := range records {
		p, err := decode(tx, r)
		if err != nil {
			s.errs[r.Place()] = err
		}
		c := ledger.Command{Record: r, Payload: p} // without a payload, its wallet is loaded all the same: it may be skipped
		s.commands[r.Place()] = c
		commands = append(commands, c)
	}
	state, err := tx.Load(ctx, ledger.KeysOf(commands))
	if err != nil {
		return nil, err
	}
	s.state = state
	return s, nil
}

// decode opens the secrets of a record, for as long as the batch takes, and reads its data.
func decode(tx ledger.Tx, r event.Record) (event.Payload, error) {
	r, err := tx.Open(r)
	if err != nil {
		return nil, err
	}
	return event.DecodePayload(r.Type, r.Data)
}

// session is the ledger at work on one batch.
type session struct {
	tx       ledger.Tx
	state    *ledger.State
	commands map[event.Place]ledger.Command // by place
	errs     map[event.Place]error          // of the records that could not be decoded
}

func (s *session) Handle(_ context.Context, r event.Record) (string, error) {
	if err := s.errs[r.Place()]; err != nil {
		return "", err
	}
	out, err := s.state.Fold(s.commands[r.Place()])
	return string(out.Kind), err
}

func (s *session) Skip(_ context.Context, r event.Record) (string, error) {
	return string(s.state.Skip(s.commands[r.Place()]).Kind), nil
}

func (s *session) Finish(ctx context.Context) error { return s.tx.Store(ctx, s.state.Changes()) }
