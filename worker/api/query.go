package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
	"github.com/safebox/safebox/worker/query"
)

// queryTimeout bounds the answer to a question.
const queryTimeout = 35 * time.Second // longer than the pool's default timeout, whose error says more

// Queries answers questions about the log, the wallets and the cluster: what was committed before a question is in its answer,
// and no secret ever is. What is not there is event.ErrNotFound.
type Queries interface {
	// Event is an event and what became of it.
	Event(ctx context.Context, source, id string) (query.Event, error)
	// Wallet finds a wallet by npub, handle or custom handle.
	Wallet(ctx context.Context, key string) (ledger.Wallet, error)
	// Entries lists the numbered entries of a wallet's journal after a number, the oldest first; at most limit.
	Entries(ctx context.Context, npub string, after int64, limit int) ([]ledger.Entry, error)
	// Status is the cluster as it is now; it must answer for a database that is not ready, too.
	Status(ctx context.Context) (query.Status, error)
	// Parked lists parked events, of one subject (or the wallet that goes by that handle) or of all (""), after a place of the
	// log; at most limit.
	Parked(ctx context.Context, subject string, after event.Place, limit int) (query.ParkedList, error)
}

// queries answers the GET requests below /v1.
type queries struct {
	from     Queries
	gate     *gate
	troubles *troubles
}

// answer makes a handler of a question whose answer is one JSON document. Where the replica has never been ready, it is not
// asked: there may be no tables yet.
func (q *queries) answer(ask func(ctx context.Context, r *http.Request) (any, *problem, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := q.gate.shut(r.Context()); p != nil {
			p.write(w)
			return
		}
		q.ask(w, r, ask)
	})
}

func (q *queries) ask(w http.ResponseWriter, r *http.Request, ask func(ctx context.Context, r *http.Request) (any, *problem, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), queryTimeout)
	defer cancel()
	body, p, err := ask(ctx, r)
	if err != nil {
		p = q.troubles.answer(r.Context(), err, "a query", "the database could not answer now; ask again")
	}
	if p != nil {
		p.write(w)
		return
	}
	writeJSON(w, "application/json", http.StatusOK, body)
}

// event answers GET /v1/events/{source}/{id}.
func (q *queries) event(ctx context.Context, r *http.Request) (any, *problem, error) {
	if _, p := parameterised(r); p != nil {
		return nil, p, nil
	}
	keys, p := keyed(r, "source", "id")
	if p != nil {
		return nil, p, nil
	}
	e, err := q.from.Event(ctx, keys[0], keys[1])
	if errors.Is(err, event.ErrNotFound) {
		return nil, missing("event-not-found", "No such event", "the log has no event "+shortened(keys[1])+" of the source "+shortened(keys[0])), nil
	}
	return e, nil, err
}

// wallet answers GET /v1/wallets/{key}.
func (q *queries) wallet(ctx context.Context, r *http.Request) (any, *problem, error) {
	if _, p := parameterised(r); p != nil {
		return nil, p, nil
	}
	return q.find(ctx, r)
}

func (q *queries) find(ctx context.Context, r *http.Request) (ledger.Wallet, *problem, error) {
	keys, p := keyed(r, "key")
	if p != nil {
		return ledger.Wallet{}, p, nil
	}
	w, err := q.from.Wallet(ctx, keys[0])
	if errors.Is(err, event.ErrNotFound) {
		return w, missing("wallet-not-found", "No such wallet", "no wallet has the npub, the handle or the custom handle "+shortened(keys[0])), nil
	}
	return w, nil, err
}

// journal is a page of a wallet's entries, the oldest first.
type journal struct {
	Npub    string         `json:"npub"`
	Entries []ledger.Entry `json:"entries"`
	// Next is what to ask for next, as after; null where the journal ends.
	Next *int64 `json:"next"`
}

// entries answers GET /v1/wallets/{key}/entries.
func (q *queries) entries(ctx context.Context, r *http.Request) (any, *problem, error) {
	params, p := parameterised(r, "after", "limit")
	if p != nil {
		return nil, p, nil
	}
	limit, p := params.limit()
	if p != nil {
		return nil, p, nil
	}
	after, p := params.whole("after", 0, math.MaxInt64, 0)
	if p != nil {
		return nil, p, nil
	}
	wallet, p, err := q.find(ctx, r)
	if p != nil || err != nil {
		return nil, p, err
	}
	list, err := q.from.Entries(ctx, wallet.Npub, after, limit+1)
	page := journal{Npub: wallet.Npub, Entries: append([]ledger.Entry{}, list...)}
	if len(list) > limit {
		page.Entries, page.Next = list[:limit], &list[limit-1].Seq
	}
	return page, nil, err
}

// status answers GET /v1/status, of a database that is not ready, too.
func (q *queries) status(w http.ResponseWriter, r *http.Request) {
	q.ask(w, r, func(ctx context.Context, r *http.Request) (any, *problem, error) {
		if _, p := parameterised(r); p != nil {
			return nil, p, nil
		}
		s, err := q.from.Status(ctx)
		return s, nil, err
	})
}

// parked answers GET /v1/parked.
func (q *queries) parked(ctx context.Context, r *http.Request) (any, *problem, error) {
	params, p := parameterised(r, "subject", "after", "limit")
	if p != nil {
		return nil, p, nil
	}
	limit, p := params.limit()
	if p != nil {
		return nil, p, nil
	}
	subject, there := params["subject"]
	if fault := keyFault(subject); there && fault != "" {
		return nil, badParameter("subject", fault), nil
	}
	var after event.Place
	if text, there := params["after"]; there {
		if err := after.UnmarshalText([]byte(text)); err != nil {
			return nil, badParameter("after", err.Error()+", found "+shortened(text)), nil
		}
	}
	list, err := q.from.Parked(ctx, subject, after, limit)
	return list, nil, err
}

func missing(name, title, detail string) *problem {
	return named(http.StatusNotFound, name, title, detail)
}
