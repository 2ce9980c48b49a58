package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// Those who wait, and the log, are told how far a migration is while its statement runs.
func TestAMigrationTellsHowFarItIs(t *testing.T) {
	url := dbtest.PostgreSQL(t)
	db := open(t, url, storage.Options{Role: "worker", Instance: "leader"})
	var told []string
	var log bytes.Buffer
	_, err := db.Initialise(initContext(t), initlock.Options{Digest: "d", Revision: migrations.Latest()}, func(ctx context.Context, session *sql.DB) error {
		o := migrations.Options{Dialect: storage.PostgreSQL, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if _, err := migrations.Upgrade(ctx, session, o, migrations.LatestAlembic); err != nil {
			return err
		}
		if _, err := session.ExecContext(ctx, `INSERT INTO registeredsafebox (npub, handle, home_relay, onboard_code, balance)
			SELECT 'npub' || n, 'handle-' || n, 'wss://relay.example.org', 'x', n FROM generate_series(1, 1000) AS n`); err != nil {
			return err
		}
		if _, err := session.ExecContext(ctx, "SET client_min_messages = 'error'"); err != nil { // as a role may have it
			return err
		}
		o.Progress = func(activity string) {
			initlock.Note(ctx, activity)
			if strings.HasPrefix(activity, "backfilling") {
				activity = ask1[string](t, db, "SELECT coalesce(activity, '') FROM safebox_init")
			}
			told = append(told, activity)
		}
		_, err := migrations.Prepare(ctx, session, o)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`backfilling registeredsafebox: [0-9]+ of 1,000 rows`)
	found := false
	for _, activity := range told {
		found = found || want.MatchString(activity)
	}
	if !found || !want.MatchString(log.String()) {
		t.Errorf("nobody was told how far it is: %q\n%s", told, log.String())
	}
}
