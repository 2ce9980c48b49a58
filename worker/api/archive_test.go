package api_test

import (
	"context"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
	"github.com/safebox/safebox/worker/query"
)

// archive knows one event, of /shop with the id 1, and one wallet, alice with 250 entries, of whose events three are parked.
type archive struct{}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

const aliceEntries = 250

func (archive) Event(_ context.Context, source, id string) (query.Event, error) {
	if source != "/shop" || id != "1" {
		return query.Event{}, event.ErrNotFound
	}
	return query.Event{
		Event: []byte(`{"id":"1","source":"/shop"}`), Topic: event.Topic, Partition: 3, Position: 7, RecordedAt: noon, Outcome: "rejected",
		Reason: "skipped", Error: "told for the sake of the field", Entries: []ledger.Entry{entry(1)}, Actions: []event.ParkedAction{{
			Topic: event.Topic, Group: "ledger", Subject: npub, Number: 1, Action: event.ActionSkip, Actor: "bob", Reason: "a test", First: 7, Last: 7,
			Events: 1, Error: "told for the sake of the field", At: noon,
		}},
	}, nil
}

func entry(seq int64) ledger.Entry {
	return ledger.Entry{
		Partition: 3, Position: 6 + seq, Subject: npub, Seq: seq, Type: event.TypeFundsCredited, Outcome: ledger.Rejected, Reason: "skipped", At: noon,
	}
}

func (archive) Wallet(_ context.Context, key string) (ledger.Wallet, error) {
	if key != "alice" && key != npub {
		return ledger.Wallet{}, event.ErrNotFound
	}
	word := "a word"
	return ledger.Wallet{
		Npub: npub, Handle: "alice", CustomHandle: &word, Owner: &word, HomeRelay: "wss://r", CurrencyCode: &word, Balance: 5, EntryCount: aliceEntries,
	}, nil
}

func (archive) Entries(_ context.Context, _ string, after int64, limit int) (list []ledger.Entry, err error) {
	for seq := after + 1; seq > after && seq <= aliceEntries && len(list) < limit; seq++ {
		list = append(list, entry(seq))
	}
	return list, nil
}

func (archive) Status(context.Context) (query.Status, error) {
	return query.Status{
		Ready: true, State: initlock.Ready, Revision: "20261123_0004", Leader: "one", Activity: "working", Error: "an old one", Backlog: 3,
		OldestPending: &noon, LagSeconds: 1.5, Connections: map[string]storage.Connections{"one": {Open: 2, Busy: 1}}, Parked: 1, ParkedWallets: 1, Workers: []storage.Replica{{Instance: "one", Version: "v", Since: noon, SeenAt: noon, Lanes: 4, State: "ready", Leader: true}},
		Init: query.Init{State: initlock.Ready, Epoch: 1, Since: &noon, Waiters: []string{"two"}}, Database: "sqlite:////data/database.db",
	}, nil
}

func (archive) Parked(_ context.Context, subject string, after event.Place, limit int) (query.ParkedList, error) {
	list := query.ParkedList{Events: []event.Parked{}, Total: 3, Wallets: 1}
	if subject != "" && subject != npub && subject != "alice" || after.Partition > 3 {
		return list, nil
	}
	for position := max(8, after.Position+1); position <= 10; position++ {
		if len(list.Events) == limit {
			next := list.Events[limit-1].Place()
			list.Next = &next
			break
		}
		list.Events = append(list.Events, event.Parked{
			Topic: event.Topic, Group: "ledger", Partition: 3, Position: position, Source: "/shop", ID: "2", Type: event.TypeFundsCredited,
			Subject: npub, Error: "a bug: it has no answer", Attempts: 5, ParkedAt: noon,
		})
	}
	return list, nil
}

func (archive) Retry(_ context.Context, subject string, _ event.Operator) (event.ParkedResult, error) {
	if subject != "alice" && subject != npub {
		return event.ParkedResult{}, event.ErrNotFound
	}
	return event.ParkedResult{Subject: npub, Outcomes: map[string]int{"applied": 1}, Waiting: 2, Error: "the next one fails"}, nil
}

func (a archive) Skip(ctx context.Context, subject string, by event.Operator) (event.ParkedResult, error) {
	return a.Retry(ctx, subject, by)
}
