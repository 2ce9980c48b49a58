package migrations

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
)

func TestCheckHoldsTheTablesAgainstTheRevisions(t *testing.T) {
	prepared := func(changes ...string) start {
		return func(t *testing.T, db *sql.DB, d storage.Dialect) {
			t.Helper()
			asPrepared(t, db, d)
			for _, change := range changes {
				exec(t, db, change)
			}
		}
	}
	for _, c := range []struct {
		name     string
		from     start
		ok       bool // all is well
		lenient  bool // all is well but for what is harmless
		revision string
		table    []string // parts of the table of differences
		problem  string
		do       string
	}{
		{"head", prepared(), true, true, Latest(), nil, "", ""},
		{"an empty database", empty, false, false, "", nil, "", "The database is 4 revisions behind: run `safebox migrate upgrade head`."},
		{"Alembic's third", asAlembic("20260416_0003"), false, false, "20260416_0003", nil, "", "The database is 1 revision behind: run `safebox migrate upgrade head`."},
		{
			"an index too many", prepared("CREATE INDEX mine ON nwcevent (event_id)"), false, true, Latest(),
			[]string{"nwcevent mine nothing index (event_id) harmless: an index more changes no answer"},
			"", "Nothing has to be done: no program notices these differences.",
		},
		{
			"an index too few", prepared("DROP INDEX ix_nwcsecret_npub"), false, false, Latest(),
			[]string{"nwcsecret ix_nwcsecret_npub index (npub) nothing missing: it can be built"},
			"", "Run `safebox migrate stamp --repair 20261123_0004`, which shows what it does with --sql.",
		},
		{
			"a table too few", prepared("DROP TABLE ledger_entry"), false, false, Latest(),
			[]string{"ledger_entry - a table nothing contradicts: what it held cannot be made again"},
			"gorp_migrations says revision 20261123_0004, but the database differs from it in 1 place",
			"make those tables what revision 20261123_0004 says, or restore a backup",
		},
		{
			"another default", prepared("DROP TABLE nwcsecret", "CREATE TABLE nwcsecret (id integer PRIMARY KEY, nwc_secret varchar NOT NULL UNIQUE, npub varchar)",
				"CREATE INDEX ix_nwcsecret_npub ON nwcsecret (npub)"), false, false, Latest(), []string{"nwcsecret npub", "contradicts: it may hold nulls"}, "", "Make the tables what revision 20261123_0004 says, or restore a backup.",
		},
		{
			"tables without a version", asCreateAll, false, false, "20260416_0003",
			[]string{"session_nonce"},
			"the database has tables of Safebox, but no alembic_version or gorp_migrations names their revision", "`safebox migrate stamp --repair 20260416_0003`",
		},
		{
			"a hole", prepared("DELETE FROM gorp_migrations WHERE id LIKE '%0001%'"), false, false, Latest(), nil,
			"gorp_migrations has a hole", "`safebox migrate stamp 20261123_0004`",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, db := context.Background(), open()
				c.from(t, db, d)
				before := state(t, db, d)
				readOnly(t, db, d)
				r, err := Check(ctx, db, CheckOptions{Dialect: d})
				if err != nil {
					t.Fatal(err)
				}
				if r.OK != c.ok || r.Revision != c.revision || r.Head != (c.revision == Latest()) || !strings.HasPrefix(r.Problem, c.problem) ||
					(r.Problem == "") != (c.problem == "") || !strings.Contains(r.Do, c.do) || (r.Do == "") != r.OK {
					t.Errorf("%+v", r)
				}
				table := strings.Join(strings.Fields(DifferenceTable(r.Differences)), " ")
				for _, part := range c.table {
					if !strings.Contains(table, part) {
						t.Errorf("the table has no %q:\n%s", part, table)
					}
				}
				if len(c.table) == 0 && len(r.Differences) > 0 {
					t.Errorf("differences:\n%s", table)
				}
				if lenient, err := Check(ctx, db, CheckOptions{Dialect: d, AllowHarmless: true}); err != nil || lenient.OK != c.lenient {
					t.Errorf("with harmless ones allowed: %+v, %v", lenient, err)
				}
				if diff := cmp.Diff(before, state(t, open(), d)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
	if _, err := Check(context.Background(), nil, CheckOptions{Dialect: "oracle"}); err == nil {
		t.Error("an unknown dialect has a schema")
	}
}

// readOnly makes a connection one that may read and nothing else.
func readOnly(t *testing.T, db *sql.DB, d storage.Dialect) {
	t.Helper()
	if d == storage.SQLite {
		exec(t, db, "PRAGMA query_only = on")
		return
	}
	const role = "safebox_check_reader"
	exec(t, db, "SELECT pg_advisory_lock(1)") // roles are the server's, and tests run side by side
	exec(t, db, "DO $$ BEGIN CREATE ROLE "+role+"; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$")
	exec(t, db, "SELECT pg_advisory_unlock(1)")
	exec(t, db, "GRANT USAGE ON SCHEMA public TO "+role)
	exec(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+role)
	exec(t, db, "SET ROLE "+role)
}
