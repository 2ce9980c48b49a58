package worker_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	_ "github.com/safebox/safebox/storage/postgres"
	_ "github.com/safebox/safebox/storage/sqlite"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/event"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var silent = slog.New(slog.DiscardHandler)

// drain runs a replica until every event is processed.
func drain(tb testing.TB, db storage.DB, lanes int) {
	tb.Helper()
	r := worker.New(worker.Options{
		DB: db, Instance: tb.Name(), Lanes: lanes, UntilIdle: true, Logger: silent, Initialise: findsReady(tb, db),
	})
	if err := r.Run(storagetest.Context(tb)); err != nil {
		tb.Fatal(err)
	}
}

// findsReady is the initialisation of a build that finds the database ready.
func findsReady(tb testing.TB, db storage.DB) func(context.Context) (initlock.Result, error) {
	tb.Helper()
	marker, err := db.Marker().Read(storagetest.Context(tb))
	if err != nil {
		tb.Fatal(err)
	}
	o := initlock.Options{
		Digest: marker.Digest, Revision: marker.Revision, OldestCompatible: marker.OldestCompatible, Name: tb.Name(), Logger: silent,
	}
	return func(ctx context.Context) (initlock.Result, error) {
		return db.Initialise(ctx, o, func(context.Context, *sql.DB) error { return nil })
	}
}

func appendAll(tb testing.TB, db storage.DB, events []event.Event) {
	tb.Helper()
	if _, err := db.Append(storagetest.Context(tb), event.Topic, events); err != nil {
		tb.Fatal(err)
	}
}

func walletEvent(typ, subject string, i int, data string) event.Event {
	return event.Event{
		ID: fmt.Sprintf("e-%d", i), Source: "/test", Type: typ, Subject: subject, Data: []byte(data),
		Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Millisecond),
	}
}
