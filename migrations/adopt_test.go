package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/storage"
)

func TestEveryRevisionOfAlembicIsAdoptedWithEveryRow(t *testing.T) {
	for _, revision := range []string{"20260220_0001", "20260310_0002", "20260416_0003"} {
		t.Run(revision, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, db, fresh := context.Background(), open(), place(t, d)()
				alembic(t, db, d, revision)
				wallets := `SELECT id, handle, custom_handle, npub, nsec, home_relay, onboard_code, access_key, balance, owner, session_nonce,
					emergency_code, currency_code FROM registeredsafebox ORDER BY id`
				others := []string{
					"SELECT id, nsec, handle, quote, amount, mint, paid FROM paymentquote ORDER BY id",
					"SELECT * FROM currencyrate WHERE currency_code = 'EUR'", "SELECT * FROM nwcevent", "SELECT * FROM nwcsecret",
				}
				if revision >= "20260310_0002" {
					others = append(others, "SELECT id, requester_pubkey, flow, nonce, requester_ts, used_at FROM nfcrequesternonce")
				}
				if revision >= "20260416_0003" {
					others = append(others, "SELECT * FROM receiveofferbootstrap")
				}
				before := query(t, db, wallets)
				for _, q := range others {
					before = append(before, query(t, db, q)...)
				}
				if state, err := Current(ctx, db, d); err != nil || state.Revision != revision || state.Alembic != revision || state.Recorded || state.Problem != "" {
					t.Errorf("before: %+v, %v", state, err)
				}

				r, err := Prepare(ctx, db, options(d))
				if err != nil {
					t.Fatal(err)
				}
				if r.From != revision || r.Adopted != revision || r.To != Latest() || len(r.Applied) != 3-slices.Index(ids(Revisions(d)), revision) {
					t.Errorf("%+v", r)
				}
				db = open() // a connection whose statements were prepared for the old types cannot run them any more
				after := query(t, db, wallets)
				for _, q := range others {
					after = append(after, query(t, db, q)...)
				}
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("rows changed:\n%s", diff)
				}
				openings := query(t, db, "SELECT id, balance, opening_balance, entry_count FROM registeredsafebox ORDER BY id")
				if diff := cmp.Diff([]string{"1 | 4200 | 4200 | 0", "2 | 0 | 0 | 0", "5 | 2000000000 | 2000000000 | 0"}, openings); diff != "" {
					t.Error(diff)
				}
				if _, err := Prepare(ctx, fresh, options(d)); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(describe(t, fresh, d), describe(t, db, d)); diff != "" {
					t.Errorf("an adopted database differs from a fresh one:\n%s", diff)
				}
			})
		})
	}
}

// Invariants 1 and 4.
func TestADatabaseThatIsNotWhatItsRevisionSaysIsLeftAlone(t *testing.T) {
	cases := []struct {
		name, change, sqlite string // sqlite: "" is the same, "-" is impossible there
		want                 string
	}{
		{"a table is missing", "DROP TABLE nwcsecret", "", "table nwcsecret: expected a table, found nothing"},
		{"a later table is there", "CREATE TABLE receiveofferbootstrap (id integer PRIMARY KEY)", "", "table receiveofferbootstrap: expected nothing at this revision, found a table"},
		{"a column is missing", "ALTER TABLE registeredsafebox DROP COLUMN session_nonce", "", "registeredsafebox.session_nonce: expected"},
		{"a type differs", "ALTER TABLE registeredsafebox ALTER COLUMN balance TYPE bigint", "-", "registeredsafebox.balance: expected integer not null, found bigint not null"},
		{"a primary key is gone", "ALTER TABLE nwcevent DROP CONSTRAINT nwcevent_pkey", "-", "nwcevent.primary key: expected (id), found no primary key"},
		{"a unique constraint is gone", "ALTER TABLE nwcevent DROP CONSTRAINT nwcevent_event_id_key", "-", "nwcevent.nwcevent_event_id_key: expected unique constraint (event_id), found nothing"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				if d == storage.SQLite && c.sqlite == "-" {
					return // SQLite has no such statement; the comparison is the same code
				}
				db := open()
				alembic(t, db, d, "20260310_0002")
				exec(t, db, c.change)
				schema, rows := describe(t, db, d), contents(t, db, d)
				_, err := Prepare(context.Background(), db, options(d))
				var mismatch *MismatchError
				if !errors.As(err, &mismatch) || mismatch.ExitCode() != 65 {
					t.Fatalf("error %v", err)
				}
				if len(mismatch.Differences) != 1 || !strings.Contains(mismatch.Differences[0].String(), c.want) {
					t.Errorf("error %v\nwant %s", err, c.want)
				}
				unchanged(t, db, d, schema, rows)
			})
		})
	}
}

func TestSQLiteTypesAndNullabilityAreHeldAgainstTheRevision(t *testing.T) {
	db := place(t, storage.SQLite)()
	alembic(t, db, storage.SQLite, "20260220_0001")
	exec(t, db, "DROP TABLE nwcsecret")
	exec(t, db, "CREATE TABLE nwcsecret (id INTEGER NOT NULL PRIMARY KEY, nwc_secret TEXT NOT NULL UNIQUE, npub varchar)")
	_, err := Prepare(context.Background(), db, options(storage.SQLite))
	var mismatch *MismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("error %v", err)
	}
	want := []Difference{
		{
			Table: "nwcsecret", Object: "npub", Expected: "VARCHAR not null", Found: "varchar", Verdict: Contradicts,
			Why: "it may hold nulls, which no program expects",
		},
		{
			Table: "nwcsecret", Object: "nwc_secret", Expected: "VARCHAR not null", Found: "TEXT not null", Verdict: Harmless,
			Why: "SQLite gives both types the same affinity",
		},
	}
	if diff := cmp.Diff(want, mismatch.Differences, cmpopts.IgnoreUnexported(Difference{})); diff != "" {
		t.Error(diff)
	}
}

func unchanged(t *testing.T, db *sql.DB, d storage.Dialect, schema, rows []string) {
	t.Helper()
	if diff := cmp.Diff(schema, describe(t, db, d)); diff != "" {
		t.Errorf("the schema changed:\n%s", diff)
	}
	if diff := cmp.Diff(rows, contents(t, db, d)); diff != "" {
		t.Errorf("rows changed:\n%s", diff)
	}
	c, err := readCatalogue(context.Background(), db, d)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{recordsTable, checksumTable} {
		if _, ok := c[name]; ok {
			t.Errorf("%s was made", name)
		}
	}
}

func TestTablesWithoutAVersionAreNotGuessedAt(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		alembic(t, db, d, "20260310_0002")
		exec(t, db, "DROP TABLE alembic_version")
		schema, rows := describe(t, db, d), contents(t, db, d)
		_, err := Prepare(ctx, db, options(d))
		var unstamped *UnstampedError
		if !errors.As(err, &unstamped) || unstamped.ExitCode() != 65 || unstamped.Best != "20260310_0002" || len(unstamped.Differences) != 0 {
			t.Fatalf("error %v", err)
		}
		if !strings.Contains(err.Error(), "safebox migrate stamp 20260310_0002") {
			t.Errorf("error %v", err)
		}
		unchanged(t, db, d, schema, rows)

		exec(t, db, "ALTER TABLE registeredsafebox DROP COLUMN session_nonce")
		_, err = Prepare(ctx, db, options(d))
		if !errors.As(err, &unstamped) || unstamped.Best != "20260310_0002" || len(unstamped.Differences) != 1 {
			t.Fatalf("error %v", err)
		}
		if state, err := Current(ctx, db, d); err != nil || state.Problem == "" || state.Revision != "" {
			t.Errorf("%+v, %v", state, err)
		}
	})
}

func TestAlembicGoingOnAfterAnAdoptionIsFollowed(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		alembic(t, db, d, "20260220_0001")
		if _, err := Upgrade(ctx, db, options(d), "20260220_0001"); err != nil {
			t.Fatal(err)
		}
		execFile(t, db, fmt.Sprintf("testdata/%s/20260310_0002.sql", d))
		exec(t, db, "UPDATE alembic_version SET version_num = '20260310_0002'")
		r, err := Prepare(ctx, db, options(d))
		if err != nil {
			t.Fatal(err)
		}
		if r.From != "20260310_0002" || r.Adopted != "20260310_0002" || len(r.Applied) != 2 {
			t.Errorf("%+v", r)
		}
	})
}

func TestAnAlembicVersionThatLagsIsBroughtIntoStepOnlyIfTheTablesAreThere(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		if _, err := Prepare(ctx, db, options(d)); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "UPDATE alembic_version SET version_num = '20260310_0002'")
		if _, err := Prepare(ctx, db, options(d)); err != nil {
			t.Fatal(err)
		}
		if got := one(t, db, "SELECT version_num FROM alembic_version"); got != LatestAlembic {
			t.Errorf("alembic_version says %s", got)
		}
		exec(t, db, "UPDATE alembic_version SET version_num = '20260310_0002'")
		exec(t, db, "DROP TABLE receiveofferbootstrap")
		_, err := Prepare(ctx, db, options(d))
		var beside *BesideError
		if !errors.As(err, &beside) || beside.ExitCode() != 65 || !strings.Contains(err.Error(), "safebox migrate stamp --repair "+Latest()) {
			t.Errorf("error %v", err)
		}
	})
}

func TestDatabasesWhoseRecordsMakeNoSenseAreRefused(t *testing.T) {
	cases := []struct{ name, change, want string }{
		{"several versions", "INSERT INTO alembic_version VALUES ('20260220_0001')", "alembic_version has 2 rows"},
		{"an unknown version", "UPDATE alembic_version SET version_num = 'abc123'", `alembic_version names "abc123"`},
		{"a version only this project has", "UPDATE alembic_version SET version_num = '20261123_0004'", `alembic_version names "20261123_0004"`},
		{"a newer migration", "INSERT INTO gorp_migrations (id, applied_at) VALUES ('20300101_0009_future.sql', CURRENT_TIMESTAMP)", "20300101_0009_future.sql, which this build does not know"},
		{"a hole", "DELETE FROM gorp_migrations WHERE id LIKE '%0002%'", "20260310_0002_nfc_requester_nonce.sql before it is not"},
		{"a changed file", "UPDATE safebox_migration_checksum SET sha256 = 'ffff' WHERE id LIKE '%0003%'", "20260416_0003_receive_offer_bootstrap.sql has changed since it was applied"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, db := context.Background(), open()
				if _, err := Prepare(ctx, db, options(d)); err != nil {
					t.Fatal(err)
				}
				exec(t, db, c.change)
				rows := contents(t, db, d)
				_, err := Prepare(ctx, db, options(d))
				var refusal *PlanError
				if !errors.As(err, &refusal) || refusal.ExitCode() != 65 || refusal.Do == "" || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v", err)
				}
				if diff := cmp.Diff(rows, contents(t, db, d)); diff != "" {
					t.Error(diff)
				}
				if state, err := Current(ctx, db, d); err != nil || state.Problem == "" || state.Revision == "" {
					t.Errorf("%+v, %v", state, err)
				}
			})
		})
	}
}
