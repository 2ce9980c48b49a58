package migrations

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
)

func TestTablesOfCreateAllAreStampedOnceTheyAreRepaired(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		asCreateAll(t, db, d)
		wallets := query(t, db, "SELECT id, handle, npub, balance FROM registeredsafebox ORDER BY id")
		before := state(t, db, d)

		_, err := Prepare(ctx, db, o)
		reads(t, err, 65, "the database has tables of Safebox, but no alembic_version or gorp_migrations names their revision; nothing was changed",
			"The best match is revision 20260416_0003", "TABLE OBJECT EXPECTED FOUND VERDICT",
			"nfcrequesternonce ix_nfcrequesternonce_used_at index (used_at) nothing missing: it can be built",
			"registeredsafebox session_nonce", "missing: it can be added", "ix_registeredsafebox_npub", "harmless:",
			"run `safebox migrate stamp --repair 20260416_0003`, which shows it first with --sql, then start again")
		_, err = Stamp(ctx, db, o, "20260416_0003")
		reads(t, err, 65, "the tables are not those of 20260416_0003; nothing was changed", "session_nonce",
			"What is missing can be made: run `safebox migrate stamp --repair 20260416_0003`, which shows it first with --sql")
		if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
			t.Error(diff)
		}

		o.Repair = true
		r, err := Stamp(ctx, db, o, "20260416_0003")
		if err != nil {
			t.Fatal(err)
		}
		if r.From != "" || r.To != "20260416_0003" || r.Head || len(r.Repaired) != 2 || worst(r.Harmless) != Harmless {
			t.Errorf("%+v", r)
		}
		if s, err := Current(ctx, db, d); err != nil || s.Revision != "20260416_0003" || s.Alembic != "20260416_0003" || !s.Recorded || s.Problem != "" {
			t.Errorf("%+v, %v", s, err)
		}
		if r, err := Prepare(ctx, open(), options(d)); err != nil || !r.Head || !slices.Equal(r.Applied, []string{Latest()}) {
			t.Fatalf("%+v, %v", r, err)
		}
		if diff := cmp.Diff(wallets, query(t, open(), "SELECT id, handle, npub, balance FROM registeredsafebox ORDER BY id")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAStampWithTheWrongRevisionNamesTheRightOne(t *testing.T) {
	for _, c := range []struct {
		name, target string
		from         start
		want         []string
	}{
		{
			"one too far", "20260416_0003", asAlembic("20260310_0002"),
			[]string{"the tables are not those of 20260416_0003; nothing was changed", "receiveofferbootstrap - a table nothing", "The tables are those of 20260310_0002: run `safebox migrate stamp 20260310_0002`."},
		},
		{
			"one too near", "20260310_0002", asAlembic("20260416_0003"),
			[]string{"the tables are not those of 20260310_0002", "receiveofferbootstrap - nothing at this revision a table contradicts: revision 20260416_0003 makes it", "`safebox migrate stamp 20260416_0003`"},
		},
		{
			"head", "head", asAlembic("20260416_0003"),
			[]string{"the tables are not those of 20261123_0004", "event_log - a table nothing contradicts: what it held cannot be made again", "`safebox migrate stamp 20260416_0003`"},
		},
		{
			"base", "base", asAlembic("20260220_0001"),
			[]string{"the tables are not those of base", "registeredsafebox - nothing at this revision a table", "`safebox migrate stamp 20260220_0001`"},
		},
		{
			"tables that are not there", "20260416_0003", empty,
			[]string{"the tables are not those of 20260416_0003", "registeredsafebox - a table nothing", "The database has no tables of Safebox: `safebox migrate upgrade 20260416_0003` makes them."},
		},
		{
			"what cannot be repaired", "20260416_0003", func(t *testing.T, db *sql.DB, d storage.Dialect) {
				alembic(t, db, d, LatestAlembic)
				exec(t, db, "DROP TABLE nwcevent")
				exec(t, db, "CREATE TABLE nwcevent (id integer PRIMARY KEY, event_id varchar UNIQUE)")
			},
			[]string{"nwcevent event_id", "contradicts: it may hold nulls, which no program expects", "What contradicts cannot be repaired from here"},
		},
		{
			"another one that needs a repair", "20260310_0002", asCreateAll,
			[]string{"the tables are not those of 20260310_0002", "The tables fit 20260416_0003, where something is missing that can be made: run `safebox migrate stamp --repair 20260416_0003`"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				db, o := open(), options(d)
				c.from(t, db, d)
				before := state(t, db, d)
				for _, o.Repair = range []bool{false, true} {
					_, err := Stamp(context.Background(), db, o, c.target)
					reads(t, err, 65, c.want...)
				}
				if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// What the books say does not matter where the tables are those of the revision, and what alembic_version says only as
// long as nobody says --purge.
func TestAStampMendsTheBooks(t *testing.T) {
	for _, c := range []struct {
		name, change, refusal string
		purge                 bool
	}{
		{"a hole", "DELETE FROM gorp_migrations WHERE id LIKE '%0002%'", "gorp_migrations has a hole", false},
		{"a changed file", "UPDATE safebox_migration_checksum SET sha256 = 'ffff' WHERE id LIKE '%0003%'", "has changed since it was applied", false},
		{"no records", "DELETE FROM gorp_migrations", "", false},
		{"an alembic_version that lags", "UPDATE alembic_version SET version_num = '20260220_0001'", "", false},
		{"several versions", "INSERT INTO alembic_version VALUES ('20260220_0001')", "alembic_version has 2 rows (20260220_0001, 20260416_0003) where one is expected", true},
		{"an unknown version", "UPDATE alembic_version SET version_num = 'abc123'", `alembic_version names "abc123"`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, db, o := context.Background(), open(), options(d)
				asPrepared(t, db, d)
				good := state(t, db, d)
				exec(t, db, c.change)
				if c.refusal != "" {
					_, err := Prepare(ctx, db, o)
					do := "`safebox migrate stamp 20"
					if c.purge {
						do = "`safebox migrate stamp --purge REVISION`"
					}
					reads(t, err, 65, c.refusal, "nothing was changed", do)
				}
				if c.purge {
					_, err := Stamp(ctx, db, o, "head")
					reads(t, err, 65, c.refusal, "nothing was changed", "`safebox migrate stamp --purge REVISION`")
					o.Purge = true
				}
				if r, err := Stamp(ctx, db, o, "head"); err != nil || r.To != Latest() || !r.Head {
					t.Fatalf("%+v, %v", r, err)
				}
				if diff := cmp.Diff(good, state(t, db, d)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestRecordsOfANewerBuildAreNeverForgotten(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		o.Purge, o.Repair, o.Yes = true, true, true
		asPrepared(t, db, d)
		exec(t, db, "INSERT INTO gorp_migrations (id, applied_at) VALUES ('20300101_0009_future.sql', CURRENT_TIMESTAMP)")
		before := state(t, db, d)
		_, err := Stamp(ctx, db, o, "head")
		reads(t, err, 65, "gorp_migrations records the migration 20300101_0009_future.sql, which this build does not know", "run that build or a newer one")
		_, err = Downgrade(ctx, db, o, "-1")
		reads(t, err, 65, "20300101_0009_future.sql, which this build does not know", "run that build or a newer one")
		if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestARepairThatWouldMakeDuplicatesUniqueListsTheirRows(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		o.Repair = true
		alembic(t, db, d, LatestAlembic)
		if d == storage.SQLite {
			exec(t, db, "DROP TABLE nwcsecret")
			exec(t, db, "CREATE TABLE nwcsecret (id INTEGER NOT NULL, nwc_secret VARCHAR NOT NULL, npub VARCHAR NOT NULL, PRIMARY KEY (id))")
		} else {
			exec(t, db, "ALTER TABLE nwcsecret DROP CONSTRAINT nwcsecret_nwc_secret_key")
			exec(t, db, "DELETE FROM nwcsecret")
		}
		exec(t, db, "INSERT INTO nwcsecret (id, nwc_secret, npub) VALUES (1, 'sesame', 'a'), (2, 'other', 'a'), (3, 'sesame', 'b'), (10, 'third', 'c'), (11, 'third', 'c'), (12, 'third', 'c')")
		before := state(t, db, d)
		_, err := Stamp(ctx, db, o, LatestAlembic)
		reads(t, err, 65, "rows share values that the revision keeps unique, so the repair cannot be made; nothing was changed",
			"nwcsecret nwc_secret id: 1 and 3; 10 and 11 and 12", "Give all but one row of each group another value, or delete them, then repair again")
		if strings.Contains(err.Error(), "sesame") {
			t.Errorf("a secret is in the message: %v", err)
		}
		if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
			t.Error(diff)
		}
		exec(t, db, "DELETE FROM nwcsecret WHERE id IN (3, 11, 12)")
		if r, err := Stamp(ctx, db, o, LatestAlembic); err != nil || len(r.Repaired) == 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestManyDuplicatesAreCounted(t *testing.T) {
	d := Duplicate{Table: "t", Columns: []string{"a", "b"}, Key: []string{"x", "y"}, Groups: [][]string{{"1/2", "1/3"}, {"2/1", "2/2"}}, Cut: true}
	reads(t, &DuplicatesError{[]Duplicate{d}}, 65, "t a, b x, y: 1/2 and 1/3; 2/1 and 2/2; and more")
}

// The guards are seen to when the database is prepared.
func TestDuplicatesUnderAGuardDoNotStopAStamp(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		withoutIndexes(t, db, d)
		exec(t, db, "UPDATE registeredsafebox SET handle = 'same'")
		exec(t, db, "DROP TABLE alembic_version")
		if r, err := Stamp(ctx, db, options(d), LatestAlembic); err != nil || r.To != LatestAlembic {
			t.Fatalf("%+v, %v", r, err)
		}
		_, err := Prepare(ctx, db, options(d))
		reads(t, err, 65, `registeredsafebox.handle "same": 3 rows`)
	})
}

func TestAnIndexThatABuildLeftInvalidIsRepaired(t *testing.T) {
	ctx := context.Background()
	db, o := place(t, storage.PostgreSQL)(), options(storage.PostgreSQL)
	o.Repair = true
	alembic(t, db, storage.PostgreSQL, LatestAlembic)
	exec(t, db, "ALTER TABLE nwcevent DROP CONSTRAINT nwcevent_event_id_key")
	exec(t, db, "INSERT INTO nwcevent (event_id) VALUES ('twice'), ('twice')")
	if _, err := db.ExecContext(ctx, "CREATE UNIQUE INDEX CONCURRENTLY nwcevent_event_id_key ON nwcevent (event_id)"); err == nil {
		t.Fatal("the index was built")
	}
	_, err := Stamp(ctx, db, o, LatestAlembic)
	reads(t, err, 65, "rows share values that the revision keeps unique", "nwcevent event_id id:")
	exec(t, db, "DELETE FROM nwcevent WHERE event_id = 'twice'")
	r, err := Stamp(ctx, db, o, LatestAlembic)
	if err != nil || len(r.Repaired) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := one(t, db, "SELECT count(*) FROM pg_constraint WHERE conname = 'nwcevent_event_id_key'"); got != "1" {
		t.Errorf("%s constraints", got)
	}
}
