package migrations

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
)

// reads holds an error against what an operator has to find in it, and its exit code.
func reads(t *testing.T, err error, code int, parts ...string) {
	t.Helper()
	var coded interface{ ExitCode() int }
	if !errors.As(err, &coded) || coded.ExitCode() != code {
		t.Fatalf("error %v, want one with the exit code %d", err, code)
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the message does not say %q:\n%v", part, err)
		}
	}
}

// busy is a prepared database that has been worked on.
func busy(t *testing.T, db *sql.DB, d storage.Dialect) {
	t.Helper()
	asPrepared(t, db, d)
	now := "now()"
	if d == storage.SQLite {
		now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
	}
	for _, statement := range []string{
		"INSERT INTO registeredsafebox (id, handle, npub, home_relay, onboard_code, balance, entry_count) VALUES (1, 'alice', 'npub1', 'r', 'o', 21, 2), (2, 'bob', 'npub2', 'r', 'o', 0, 0)",
		"INSERT INTO event_log VALUES ('wallet', 1, 1, 's', '1', 't', 'npub1', '2026-01-01T00:00:00Z', '{}', NULL, '2026-01-01T00:00:00Z'), " +
			"('wallet', 1, 2, 's', '2', 't', 'npub1', '2026-01-01T00:00:00Z', '{}', NULL, '2026-01-01T00:00:00Z')",
		"INSERT INTO paymentquote (id, nsec, handle, quote, amount, mint, paid, npub) VALUES (1, '', 'h', 'q', 1, 'm', true, 'npub1'), (2, '', 'h', 'q', 1, 'm', true, NULL)",
		"INSERT INTO safebox_replica (instance, version, since, seen_at, lanes, state, leader) VALUES ('old', 'v', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 4, 'ready', false), " +
			"('new', 'v', " + now + ", " + now + ", 4, 'ready', true)",
	} {
		exec(t, db, statement)
	}
}

func TestADowngradeNamesWhatItWouldLoseAndWantsAYes(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		busy(t, db, d)
		before := state(t, db, d)
		_, err := Downgrade(ctx, db, options(d), "-1")
		reads(t, err, 65, "the downgrade from 20261123_0004 to 20260416_0003 would lose data; nothing was changed",
			"TABLE COLUMN WOULD BE LOST", "event_log - 2 rows", "paymentquote npub 1 value", "registeredsafebox entry_count 1 value",
			"safebox_replica - 1 worker at work", "Stop the workers. Take a backup (--backup FILE does), then say --yes")
		var loss *LossError
		if !errors.As(err, &loss) || strings.Contains(err.Error(), "opening_balance") || strings.Contains(err.Error(), "event_cursor") {
			t.Errorf("it names what holds nothing, or is made again: %v", err)
		}
		if foreseen := Foresee(ctx, db, options(d), CommandDowngrade, "-1"); foreseen == nil || foreseen.Error() != err.Error() {
			t.Errorf("foreseen: %v", foreseen)
		}
		if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
			t.Error(diff)
		}

		o := options(d)
		o.Yes = true
		r, err := Downgrade(ctx, db, o, "20260416_0003")
		if err != nil || r.From != Latest() || r.To != LatestAlembic || !slices.Equal(r.Reverted, []string{Latest()}) || r.Head {
			t.Fatalf("%+v, %v", r, err)
		}
		if diff := cmp.Diff(loss.Losses, r.Lost); diff != "" {
			t.Errorf("lost:\n%s", diff)
		}
		if got := query(t, open(), "SELECT id, handle, balance FROM registeredsafebox ORDER BY id"); !slices.Equal(got, []string{"1 | alice | 21", "2 | bob | 0"}) {
			t.Errorf("wallets %q", got)
		}
	})
}

// Adopting a database and thinking better of it costs nothing.
func TestADowngradeThatLosesNothingNeedsNoYes(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		alembic(t, db, d, LatestAlembic)
		const wallets = `SELECT id, handle, custom_handle, npub, nsec, home_relay, onboard_code, access_key, balance, owner, session_nonce,
			emergency_code, currency_code FROM registeredsafebox ORDER BY id`
		before := query(t, db, wallets)
		if _, err := Prepare(ctx, db, options(d)); err != nil {
			t.Fatal(err)
		}
		r, err := Downgrade(ctx, open(), options(d), LatestAlembic)
		if err != nil || r.To != LatestAlembic || len(r.Lost) != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		db = open()
		if diff := cmp.Diff(before, query(t, db, wallets)); diff != "" {
			t.Error(diff)
		}
		c, err := readCatalogue(ctx, db, d)
		if err != nil {
			t.Fatal(err)
		}
		if found := sets[d]().compare(c, sets[d]().index(LatestAlembic)); len(found) > 0 {
			t.Errorf("not what Alembic made:\n%s", DifferenceTable(found))
		}
	})
}

// What a start makes again by itself is no loss: the seed, and cursors that have not moved.
func TestADatabaseThatNobodyUsedGoesDownAndUpAgainWithoutAYes(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		asPrepared(t, db, d)
		exec(t, db, "INSERT INTO event_cursor (topic, consumer_group, partition, position) VALUES ('wallet', 'ledger', 1, 0)")
		before := describe(t, db, d)
		if r, err := Downgrade(ctx, db, options(d), "base"); err != nil || r.To != "" || len(r.Lost) != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if _, err := Prepare(ctx, db, options(d)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, describe(t, db, d)); diff != "" {
			t.Errorf("up, down and up again:\n%s", diff)
		}
		exec(t, db, "UPDATE currencyrate SET currency_rate = 1.5 WHERE currency_code = 'EUR'")
		exec(t, db, "INSERT INTO currencyrate (currency_code) VALUES ('XQQ')")
		exec(t, db, "UPDATE event_cursor SET position = 7")
		reads(t, Foresee(ctx, db, options(d), CommandDowngrade, "base"), 65, "currencyrate - 2 rows")
	})
}

func TestEveryStepDownKeepsAlembicVersionInStep(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		o.Yes = true
		asPrepared(t, db, d)
		var at []string
		o.Progress = func(activity string) {
			if strings.HasPrefix(activity, "taking back") {
				at = append(at, strings.Join(query(t, db, "SELECT version_num FROM alembic_version"), " "))
			}
		}
		r, err := Downgrade(ctx, db, o, "base")
		if err != nil || r.To != "" || len(r.Reverted) != len(Revisions(d)) {
			t.Fatalf("%+v, %v", r, err)
		}
		at = append(at, strings.Join(query(t, db, "SELECT version_num FROM alembic_version"), " "))
		if want := []string{LatestAlembic, LatestAlembic, "20260310_0002", "20260220_0001", ""}; !slices.Equal(at, want) {
			t.Errorf("alembic_version said %q, want %q", at, want)
		}
		if _, err := Prepare(ctx, db, options(d)); err != nil {
			t.Errorf("up again: %v", err)
		}
	})
}

// No --yes cuts a number off.
func TestValuesThatDoNotFitBelowKeepTheDatabaseWhereItIs(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		o.Yes = true
		asPrepared(t, db, d)
		exec(t, db, "INSERT INTO registeredsafebox (handle, npub, home_relay, onboard_code, balance) VALUES ('a', 'npub1', 'r', 'o', 2147483648), ('b', 'npub2', 'r', 'o', 3000000000), ('c', 'npub3', 'r', 'o', 2147483647)")
		exec(t, db, "INSERT INTO nfcrequesternonce (requester_pubkey, flow, nonce, requester_ts, used_at) VALUES ('p', 'f', 'n', 4000000000, '2026-01-01')")
		before := state(t, db, d)
		r, err := Downgrade(ctx, db, o, "-1")
		if d == storage.SQLite {
			// One width holds them all, on both sides of the step.
			if err != nil || r.To != LatestAlembic || one(t, db, "SELECT max(balance) FROM registeredsafebox") != "3000000000" {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}
		reads(t, err, 65, "values are too large for the columns of 20260416_0003; nothing was changed", "TABLE COLUMN ROWS CAN HOLD THERE",
			"registeredsafebox balance 2 integer: -2147483648 to 2147483647", "nfcrequesternonce requester_ts 1 integer",
			"Bring those values into the range first, or stay above that revision; --yes does not help")
		if foreseen := Foresee(ctx, db, o, CommandDowngrade, "-1"); foreseen == nil || foreseen.Error() != err.Error() {
			t.Errorf("foreseen: %v", foreseen)
		}
		if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestADowngradeAdoptsFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		alembic(t, db, d, LatestAlembic)
		before := state(t, db, d)
		_, err := Downgrade(ctx, db, o, "-1")
		reads(t, err, 65, "the downgrade from 20260416_0003 to 20260310_0002 would lose data; nothing was changed", "receiveofferbootstrap - 1 row")
		if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
			t.Error(diff)
		}
		o.Yes = true
		r, err := Downgrade(ctx, db, o, "-1")
		if err != nil || r.Adopted != LatestAlembic || r.From != LatestAlembic || r.To != "20260310_0002" {
			t.Fatalf("%+v, %v", r, err)
		}
		if s, err := Current(ctx, db, d); err != nil || s.Revision != "20260310_0002" || s.Alembic != "20260310_0002" || !s.Recorded {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func TestADowngradePastAHoleIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		o.Yes = true
		asPrepared(t, db, d)
		exec(t, db, "DELETE FROM gorp_migrations WHERE id LIKE '%0002%'")
		before := state(t, db, d)
		_, err := Downgrade(ctx, db, o, "base")
		reads(t, err, 65, "gorp_migrations has a hole: 20261123_0004_event_log.sql is applied, but 20260310_0002_nfc_requester_nonce.sql before it is not",
			"nothing was changed", "`safebox migrate stamp 20261123_0004` finds that out and mends the records")
		if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
			t.Error(diff)
		}
		if r, err := Stamp(ctx, db, options(d), "20261123_0004"); err != nil || r.To != Latest() {
			t.Fatalf("%+v, %v", r, err)
		}
		if r, err := Downgrade(ctx, db, o, "base"); err != nil || len(r.Reverted) != 4 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestADowngradeToWhereTheDatabaseIsChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		busy(t, db, d)
		before := state(t, db, d)
		r, err := Downgrade(ctx, db, options(d), "head")
		if err != nil || r.From != Latest() || r.To != Latest() || !r.Head || len(r.Reverted) != 0 || r.Took <= 0 || r.Took > time.Minute {
			t.Errorf("%+v, %v", r, err)
		}
		if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
			t.Error(diff)
		}
	})
}
