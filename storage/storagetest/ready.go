package storagetest

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// patience bounds everything that a test waits for; nothing here takes long unless it is broken.
const patience = 60 * time.Second

// Ready opens a database and brings it to the newest revision; the handle closes with the test. Called again with the
// same URL it gives another handle on the same database, as another process would have. The backend of the URL must be
// registered: the test imports it.
func Ready(tb testing.TB, url string) storage.DB {
	tb.Helper()
	db := Open(tb, url)
	prepare := func(ctx context.Context, conn *sql.DB) error {
		_, err := migrations.Prepare(ctx, conn, migrations.Options{Dialect: db.Dialect(), Logger: silent()})
		return err
	}
	if _, err := db.Initialise(Context(tb), lockOptions(db.Dialect()), prepare); err != nil {
		tb.Fatalf("preparing the database: %v", err)
	}
	return db
}

// Open opens a database as it is; the handle closes with the test.
func Open(tb testing.TB, url string) storage.DB {
	tb.Helper()
	return openWith(tb, url, Keys)
}

func openWith(tb testing.TB, url string, keys *event.Keyring) storage.DB {
	tb.Helper()
	parsed, err := storage.ParseURL(url)
	if err != nil {
		tb.Fatal(err)
	}
	db, err := storage.Open(Context(tb), storage.Options{URL: parsed, Role: "test", Instance: tb.Name(), Secrets: keys, Logger: silent()})
	if err != nil {
		tb.Fatalf("opening %s: %v", parsed, err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("closing %s: %v", parsed, err)
		}
	})
	return db
}

// Context is a context that ends with the test, and after a while in any case.
func Context(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	return ctx
}

func lockOptions(d storage.Dialect) initlock.Options {
	return initlock.Options{
		Digest:           migrations.Digest(d, migrations.Seed{}, nil),
		Revision:         migrations.Latest(),
		OldestCompatible: migrations.OldestCompatible,
		Name:             "storagetest",
		Logger:           silent(),
	}
}

func silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
