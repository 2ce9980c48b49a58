package query_test

import (
	"context"
	"testing"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
	"github.com/safebox/safebox/worker/query"
)

// moving is a database in which an operator ends a parked event between two questions.
type moving struct {
	storage.Reader
	parked, ended bool
	between       func(*moving)
}

func (m *moving) ParkedAt(context.Context, string, string, int, int64) (event.Parked, error) {
	defer m.move()
	if m.parked {
		return event.Parked{Error: "a bug"}, nil
	}
	return event.Parked{}, event.ErrNotFound
}

func (m *moving) EntriesAt(context.Context, int, int64) ([]ledger.Entry, error) {
	defer m.move()
	if m.ended {
		return []ledger.Entry{{Outcome: ledger.Applied}}, nil
	}
	return nil, nil
}

func (m *moving) ParkedActions(context.Context, string, string, string, int) ([]event.ParkedAction, error) {
	return []event.ParkedAction{{First: 1, Last: 4}, {First: 5, Last: 5}}, nil
}

// move lets the first question through and then changes everything.
func (m *moving) move() {
	if m.between != nil {
		m.between(m)
		m.between = nil
	}
}

// Invariant 3: whoever has seen an event parked does not see it pending afterwards, whenever the operator comes.
func TestAnOutcomeNeverGoesBack(t *testing.T) {
	end := func(m *moving) { m.parked, m.ended = false, true }
	for name, c := range map[string]struct {
		db   moving
		want string
	}{
		"pending":                            {moving{}, query.Pending},
		"parked":                             {moving{parked: true}, query.Parked},
		"ended":                              {moving{ended: true}, "applied"},
		"parked, and ended between":          {moving{parked: true, between: end}, "applied"},
		"pending, and ended between":         {moving{between: end}, "applied"},
		"pending, and parked between":        {moving{between: func(m *moving) { m.parked = true }}, query.Pending},
		"parked, and parked again meanwhile": {moving{parked: true, between: func(*moving) {}}, query.Parked},
	} {
		e, err := query.Explain(t.Context(), &c.db, "ledger", event.Record{Position: 3})
		if err != nil || e.Outcome != c.want || (e.Error != "") != (c.want == query.Parked) {
			t.Errorf("%s: %s, error %q, %v; want %s", name, e.Outcome, e.Error, err, c.want)
		}
		if len(e.Actions) != 1 || e.Actions[0].Last != 4 {
			t.Errorf("%s: actions %+v", name, e.Actions)
		}
	}
}
