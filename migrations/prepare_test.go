package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	migrate "github.com/rubenv/sql-migrate"

	"github.com/safebox/safebox/storage"
)

func TestPrepareMakesAnEmptyDatabaseReadyAndThenChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		exec(t, db, "CREATE TABLE safebox_init (id integer PRIMARY KEY)") // the ready marker comes first
		exec(t, db, "CREATE TABLE operators_own (id integer PRIMARY KEY)")
		r, err := Prepare(ctx, db, options(d))
		if err != nil {
			t.Fatal(err)
		}
		want := Report{
			To: Latest(), Head: true, Applied: ids(Revisions(d)), Seeded: len(builtInSeed().Currencies), Took: r.Took,
			Harmless: []Difference{}, Reverted: []string{}, Repaired: []string{}, Lost: []Loss{}, Indexes: []string{},
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Error(diff)
		}
		schema, rows := describe(t, db, d), contents(t, db, d)

		db = open()
		r, err = Prepare(ctx, db, options(d))
		if err != nil {
			t.Fatal(err)
		}
		want.From, want.Applied, want.Seeded, want.Took = Latest(), []string{}, 0, r.Took
		if diff := cmp.Diff(want, r); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(schema, describe(t, db, d)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(rows, contents(t, db, d)); diff != "" {
			t.Error(diff)
		}
		state, err := Current(ctx, db, d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(State{Revision: Latest(), Alembic: LatestAlembic, Head: true, Recorded: true, Pending: []string{}}, state); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReadersCreateNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		state, err := Current(ctx, db, d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(State{Pending: ids(Revisions(d))}, state); diff != "" {
			t.Error(diff)
		}
		if _, err := Guard(ctx, db, d); !errors.Is(err, storage.ErrNotInitialised) {
			t.Errorf("Guard: %v", err)
		}
		if left := describe(t, db, d); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

// Invariants 2 and 8: a death leaves a whole number of revisions, and the next run completes them.
func TestADeathBetweenAnyTwoStepsIsCompletedByTheNextRun(t *testing.T) {
	for _, start := range []string{"", "20260220_0001"} {
		t.Run("from "+start, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, _ func() *sql.DB) {
				for n, died := 1, true; died; n++ {
					died = dieAndComplete(t, d, start, n)
				}
			})
		})
	}
}

// dieAndComplete cancels a run at its nth step and runs again; false when there is no such step.
func dieAndComplete(t *testing.T, d storage.Dialect, start string, n int) bool {
	t.Helper()
	open := place(t, d)
	db := open()
	if start != "" {
		alembic(t, db, d, start)
	}
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	o, step, activity := options(d), 0, ""
	o.Progress = func(now string) {
		if step++; step == n {
			activity = now
			kill()
		}
	}
	_, err := Prepare(ctx, db, o)
	if step < n {
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	if err == nil {
		t.Fatalf("killed at %q, the run says that it succeeded", activity)
	}
	db = open()
	if _, err := Prepare(context.Background(), db, options(d)); err != nil {
		t.Fatalf("after a death at %q: %v", activity, err)
	}
	state, err := Current(context.Background(), db, d)
	if err != nil {
		t.Fatal(err)
	}
	if !state.Head || state.Alembic != LatestAlembic {
		t.Fatalf("after a death at %q: %+v", activity, state)
	}
	return true
}

func TestAFailingRevisionLeavesNothingOfItself(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		if _, err := Upgrade(ctx, db, options(d), "20260310_0002"); err != nil {
			t.Fatal(err)
		}
		// An index of someone else's takes a name that the next revision wants for its last statement.
		exec(t, db, "CREATE INDEX ix_receiveofferbootstrap_offer_kind ON nwcevent (event_id)")
		before := contents(t, db, d)
		_, err := Prepare(ctx, db, options(d))
		var step *StepError
		if !errors.As(err, &step) || step.Revision != "20260416_0003" {
			t.Fatalf("error %v", err)
		}
		if diff := cmp.Diff(before, contents(t, db, d)); diff != "" {
			t.Error(diff)
		}
		exec(t, db, "DROP INDEX ix_receiveofferbootstrap_offer_kind")
		if r, err := Prepare(ctx, db, options(d)); err != nil || !slices.Equal(r.Applied, []string{"20260416_0003", "20261123_0004"}) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Invariant 3: sql-migrate's own tool reads the records, adopted ones too, and finds nothing left to do.
func TestRecordsAreThoseOfSQLMigrate(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		alembic(t, db, d, "20260310_0002")
		if _, err := Prepare(ctx, db, options(d)); err != nil {
			t.Fatal(err)
		}
		records, err := migrate.GetMigrationRecords(db, engine(d))
		if err != nil {
			t.Fatal(err)
		}
		var files []string
		for _, r := range records {
			files = append(files, r.Id)
			if r.AppliedAt.IsZero() {
				t.Errorf("%s has no time", r.Id)
			}
		}
		if len(files) != 4 || files[0] != "20260220_0001_baseline.sql" {
			t.Errorf("records %q", files)
		}
		n, err := migrate.ExecContext(ctx, db, engine(d), migrate.EmbedFileSystemMigrationSource{FileSystem: embedded, Root: string(d)}, migrate.Up)
		if err != nil || n != 0 {
			t.Errorf("sql-migrate applies %d more: %v", n, err)
		}
	})
}

func TestADatabaseMadeBySQLMigrateAloneIsTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		source := migrate.EmbedFileSystemMigrationSource{FileSystem: embedded, Root: string(d)}
		if _, err := migrate.ExecMaxContext(ctx, db, engine(d), source, migrate.Up, 2); err != nil {
			t.Fatal(err)
		}
		r, err := Prepare(ctx, db, options(d))
		if err != nil {
			t.Fatal(err)
		}
		if r.From != "20260310_0002" || r.Adopted != "" {
			t.Errorf("%+v", r)
		}
		if got := one(t, db, "SELECT count(*) FROM safebox_migration_checksum"); got != "4" {
			t.Errorf("%s checksums", got)
		}
		if got := one(t, db, "SELECT version_num FROM alembic_version"); got != LatestAlembic {
			t.Errorf("alembic_version says %s", got)
		}
	})
}

func TestUpgradeGoesToItsTarget(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		for _, step := range []struct{ target, to string }{
			{"+1", "20260220_0001"}, {"20260220_0001", "20260220_0001"}, {"20260310", "20260310_0002"}, {"head", Latest()}, {"head", Latest()},
		} {
			r, err := Upgrade(ctx, db, options(d), step.target)
			if err != nil || r.To != step.to {
				t.Errorf("%s: %+v, %v", step.target, r, err)
			}
		}
		for _, target := range []string{"", "+1", "+0", "+x", "20260220_0001", "2026", "nonsense", "-1", "base"} {
			_, err := Upgrade(ctx, db, options(d), target)
			var bad *TargetError
			if !errors.As(err, &bad) || bad.ExitCode() != 64 {
				t.Errorf("%q: %v", target, err)
			}
		}
	})
}

// Invariant 7, on PostgreSQL; SQLite's twin is a writer that outlasts the busy timeout.
func TestMigratingWaitsForALongReaderWithoutLosingItsPlace(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, other := context.Background(), open(), open()
		alembic(t, db, d, "20260416_0003")
		if d == storage.SQLite {
			exec(t, db, "PRAGMA busy_timeout = 20")
		}
		tx, err := other.BeginTx(ctx, nil) // immediate on SQLite
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "SELECT count(*) FROM registeredsafebox"); err != nil {
			t.Fatal(err)
		}
		o, waited := options(d), false
		var log strings.Builder
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Progress = func(activity string) {
			if strings.HasPrefix(activity, "waiting for a lock") && !waited {
				waited = true
				if err := tx.Rollback(); err != nil {
					t.Error(err)
				}
			}
		}
		r, err := Prepare(ctx, db, o)
		if err != nil || !r.Head {
			t.Fatalf("%+v, %v", r, err)
		}
		if !waited {
			t.Error("it did not wait")
		}
		if d == storage.PostgreSQL && !strings.Contains(log.String(), "holds AccessShareLock on registeredsafebox") {
			t.Errorf("the log does not say who was waited for:\n%s", log.String())
		}
	})
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		db, other := open(), open()
		alembic(t, db, d, "20260416_0003")
		if d == storage.SQLite {
			exec(t, db, "PRAGMA busy_timeout = 20")
		}
		tx, err := other.BeginTx(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(context.Background(), "SELECT count(*) FROM registeredsafebox"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := options(d)
		o.Progress = func(activity string) {
			if strings.HasPrefix(activity, "waiting for a lock") {
				cancel()
			}
		}
		if _, err := Prepare(ctx, db, o); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAnUnknownDialectIsAnError(t *testing.T) {
	if _, err := Prepare(context.Background(), nil, Options{Dialect: "oracle"}); err == nil {
		t.Error("no error")
	}
	if _, err := Current(context.Background(), nil, "oracle"); err == nil {
		t.Error("no error")
	}
}

func ExampleTargetError() {
	_, err := sets[storage.SQLite]().target(CommandUpgrade, "20260416_0003", 3)
	fmt.Println(err)
	// Output: cannot upgrade to "20260416_0003": the database is at 20261123_0004 already, and an upgrade does not go down: `safebox migrate downgrade 20260416_0003` does; name head, +n or one of 20260220_0001, 20260310_0002, 20260416_0003, 20261123_0004
}
