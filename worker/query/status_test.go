package query_test

import (
	"testing"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	_ "github.com/safebox/safebox/storage/postgres"
	_ "github.com/safebox/safebox/storage/sqlite"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/query"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestTheStatusTellsTheLagAndTheConnections(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		const group = "ledger"
		db, ctx := storagetest.Ready(t, url), storagetest.Context(t)
		if err := db.Join(ctx, event.Topic, group); err != nil {
			t.Fatal(err)
		}
		read := func() query.Status {
			t.Helper()
			s, err := query.ReadStatus(ctx, db, query.StatusOptions{Group: group, Usable: func(initlock.Record) error { return nil }})
			if err != nil || !s.Ready {
				t.Fatalf("status: %+v, %v", s, err)
			}
			return s
		}
		if s := read(); s.OldestPending != nil || s.LagSeconds != 0 {
			t.Errorf("nothing is pending, and the oldest has waited %g s since %v", s.LagSeconds, s.OldestPending)
		}
		npub := event.EncodeNpub([32]byte{1})
		e := event.Event{ID: "1", Source: "/test", Type: event.TypeFundsCredited, Subject: npub, Data: []byte(`{"amount":1}`)}
		if r, err := db.Append(ctx, event.Topic, []event.Event{e}); err != nil || r[0].Result != event.Appended {
			t.Fatalf("append: %+v, %v", r, err)
		}
		first, s := read(), read()
		if s.Backlog != 1 || s.OldestPending == nil || s.LagSeconds < first.LagSeconds || s.LagSeconds > 60 {
			t.Errorf("status: %+v", s)
		}
		if known := s.Connections != nil; known != (db.Dialect() == storage.PostgreSQL) {
			t.Errorf("connections: %+v", s.Connections)
		}
	})
}
