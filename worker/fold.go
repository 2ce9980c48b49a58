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
	s := &session{tx: tx, commands: make([]ledger.Command, len(records)), errs: map[event.Place]error{}}
	for i, r := range records {
		p, err := decode(tx, r)
		if err != nil {
			s.errs[r.Place()] = err
		}
		s.commands[i] = ledger.Command{Record: r, Payload: p} // without a payload, its wallet is loaded all the same: it may be skipped
	}
	state, err := tx.Load(ctx, ledger.KeysOf(s.commands))
	if err != nil {
		return nil, err
	}
	state.Expect(len(s.commands))
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
	commands []ledger.Command
	last     int                   // of commands: the one that was asked for last
	errs     map[event.Place]error // of the records that could not be decoded
}

// command is that of a record of the batch. They are asked for in order, and perhaps again: each is looked for from the last.
func (s *session) command(r event.Record) ledger.Command {
	for range s.commands {
		if s.commands[s.last].Place() == r.Place() {
			return s.commands[s.last]
		}
		s.last = (s.last + 1) % len(s.commands)
	}
	return ledger.Command{Record: r} // none of the batch: no rule is for it
}

func (s *session) Handle(_ context.Context, r event.Record) (string, error) {
	if err := s.errs[r.Place()]; err != nil {
		return "", err
	}
	out, err := s.state.Fold(s.command(r))
	return string(out.Kind), err
}

func (s *session) Skip(_ context.Context, r event.Record) (string, error) {
	return string(s.state.Skip(s.command(r)).Kind), nil
}

func (s *session) Finish(ctx context.Context) error { return s.tx.Store(ctx, s.state.Changes()) }
