package storagetest

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// patience bounds everything that a test waits for; nothing here takes long unless it is broken.
const patience = 2 * time.Minute

// Ready opens a database and brings it to the newest revision; the handle closes with the test. Called again with the
// same URL it gives another handle on the same database, as another process would have. An empty one becomes a copy of one
// that the migrations have made, where it can. The backend of the URL must be registered: the test imports it.
func Ready(tb testing.TB, url string) storage.DB {
	tb.Helper()
	filled := dbtest.Fill(tb, url, "ready", func(url string) error {
		db, err := open(tb, url, Keys)
		if err != nil {
			return err
		}
		return errors.Join(prepare(tb, db), db.Close())
	})
	db := Open(tb, url)
	if filled {
		return db
	}
	if err := prepare(tb, db); err != nil {
		tb.Fatalf("preparing the database: %v", err)
	}
	return db
}

// prepare brings a database to the newest revision.
func prepare(tb testing.TB, db storage.DB) error {
	tb.Helper()
	_, err := db.Initialise(Context(tb), lockOptions(db.Dialect()), func(ctx context.Context, conn *sql.DB) error {
		_, err := migrations.Prepare(ctx, conn, migrations.Options{Dialect: db.Dialect(), Logger: silent()})
		return err
	})
	return err
}

// Open opens a database as it is; the handle closes with the test.
func Open(tb testing.TB, url string) storage.DB {
	tb.Helper()
	return openWith(tb, url, Keys)
}

func openWith(tb testing.TB, url string, keys *event.Keyring) storage.DB {
	tb.Helper()
	db, err := open(tb, url, keys)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("closing the database: %v", err)
		}
	})
	return db
}

func open(tb testing.TB, url string, keys *event.Keyring) (storage.DB, error) {
	tb.Helper()
	parsed, err := storage.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return storage.Open(Context(tb), storage.Options{URL: parsed, Role: "test", Instance: tb.Name(), Secrets: keys, Logger: silent()})
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
