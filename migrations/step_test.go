package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// on makes a job for revisions of a test's own, with the books begun.
func on(t *testing.T, db *sql.DB, s *set) *job {
	t.Helper()
	j := &job{Options: options(s.dialect), db: db, set: s}
	if err := j.keepBooks(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestOutsideIsWhatNoTransactionCanHold(t *testing.T) {
	for sql, want := range map[string]bool{
		"CREATE INDEX CONCURRENTLY i ON t (a)":                                true,
		"create unique index concurrently i on t (a)":                         true,
		"DROP INDEX CONCURRENTLY i":                                           true,
		"REINDEX TABLE CONCURRENTLY t":                                        true,
		"CALL p()":                                                            true,
		"VACUUM":                                                              true,
		"PRAGMA user_version = 3":                                             true,
		"DO $$ BEGIN UPDATE t SET a = 1; COMMIT; END $$":                      true,
		"DO $$ BEGIN UPDATE t SET a = 1; END $$":                              false,
		"CREATE INDEX i ON t (a)":                                             false,
		"CREATE TABLE vacuumed (concurrently integer)":                        false,
		"CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$":    false,
		"INSERT INTO t VALUES ('CALL me; CREATE INDEX CONCURRENTLY COMMIT;')": false,
	} {
		if got := outside(bare("  -- a remark\n /* and\none */ " + sql + ";\n")); got != want {
			t.Errorf("%s: %t", sql, got)
		}
	}
}

func TestARevisionSaysThatItHasStatementsOutsideATransaction(t *testing.T) {
	for _, content := range []string{
		"-- +migrate Up\nCREATE INDEX CONCURRENTLY i ON t (a);\n-- +migrate Down\nDROP INDEX i;\n",
		"-- +migrate Up\nSELECT 1;\n-- +migrate Down\nDROP INDEX CONCURRENTLY i;\n",
	} {
		_, err := loadFiles(storage.PostgreSQL, map[string]string{"20270101_0001_x.sql": content})
		if err == nil || !strings.Contains(err.Error(), "20270101_0001_x.sql") || !strings.Contains(err.Error(), "notransaction") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// Invariants 2 and 8, of the revision that goes step by step, with the Python program at its work between the deaths.
func TestADeathAtAnyBoundaryOfAStepIsCompletedByTheNextRun(t *testing.T) {
	t.Parallel()
	const d = storage.PostgreSQL
	untroubled := place(t, d)()
	alembic(t, untroubled, d, LatestAlembic)
	if _, err := Prepare(context.Background(), untroubled, options(d)); err != nil {
		t.Fatal(err)
	}

	url := dbtest.PostgreSQL(t)
	look := openURL(t, url)
	alembic(t, look, d, LatestAlembic)
	exec(t, look, "SELECT setval(pg_get_serial_sequence(of, 'id'), 100) FROM unnest(ARRAY['registeredsafebox', 'paymentquote']) AS of")
	died := map[string]bool{}
	for finished := false; !finished; {
		db, pid := session(t, url)
		o, at := options(d), ""
		o.Logger = slog.New(boundaries{reached: func(boundary string) {
			if at == "" && !died[boundary] {
				at, died[boundary] = boundary, true
				terminate(t, look, pid)
			}
		}})
		_, err := Prepare(context.Background(), db, o)
		if finished = at == ""; finished != (err == nil) {
			t.Fatalf("ended at %q: %v", at, err)
		}
		if one(t, look, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'registeredsafebox'::regclass AND attname = 'balance'") == "integer" {
			n := len(died)
			exec(t, look, fmt.Sprintf(`INSERT INTO registeredsafebox (npub, handle, home_relay, onboard_code, balance)
				VALUES ('npub1%[1]d', 'handle-%[1]d', 'wss://relay.example.org', 'x', %[1]d)`, n))
			exec(t, look, "UPDATE registeredsafebox SET balance = balance + 1 WHERE id % 2 = 1 AND balance < 1000000")
			exec(t, look, fmt.Sprintf("INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid) VALUES ('', 'h', 'q%[1]d', %[1]d, 'm', false)", n))
		}
	}
	if steps := sets[d]().steps(3, true); len(died) < 2*len(steps) {
		t.Errorf("there were only %d deaths in %d steps: %v", len(died), len(steps), died)
	}
	if diff := cmp.Diff(describe(t, untroubled, d), describe(t, look, d)); diff != "" {
		t.Errorf("-untroubled +after %d deaths:\n%s", len(died), diff)
	}
	for _, none := range []string{
		"SELECT count(*) FROM registeredsafebox WHERE opening_balance <> balance",
		"SELECT count(*) FROM paymentquote WHERE quote LIKE 'q%' AND amount <> substr(quote, 2)::integer",
		"SELECT count(*) FROM safebox_migration_step",
		"SELECT count(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace",
		"SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal",
	} {
		if n := one(t, look, none); n != "0" {
			t.Errorf("%s: %s", none, n)
		}
	}
	if got := one(t, look, "SELECT balance FROM registeredsafebox WHERE handle = 'moss-hare-50'"); got != "2000000000" {
		t.Errorf("a balance of 2000000000 became %s", got)
	}
	t.Logf("%d deaths", len(died))
}

// An index that is built concurrently waits for every transaction that is older than it. A leader that dies meanwhile
// leaves it invalid.
func TestAnIndexThatADeathLeftInvalidIsBuiltAgain(t *testing.T) {
	t.Parallel()
	const d, name = storage.PostgreSQL, "uq_paymentquote_quote"
	url := dbtest.PostgreSQL(t)
	look, older := openURL(t, url), openURL(t, url)
	alembic(t, look, d, LatestAlembic)
	db, pid := session(t, url)
	let, held := func() {}, make(chan struct{})
	o := options(d)
	number := stepOf(t, "CREATE UNIQUE INDEX CONCURRENTLY "+name)
	o.Logger = slog.New(boundaries{reached: func(boundary string) {
		if boundary == fmt.Sprintf("%d intent recorded", number) {
			let = hold(t, older, sql.LevelRepeatableRead, "SELECT count(*) FROM nwcevent")
			close(held)
		}
	}})
	prepared := make(chan error, 1)
	go func() {
		_, err := Prepare(context.Background(), db, o)
		prepared <- err
	}()
	select {
	case <-held:
	case err := <-prepared:
		t.Fatal("the index was never begun: ", err)
	}
	soon(t, "the build waits", func() bool {
		return one(t, look, "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase LIKE 'waiting for %' AND pid = "+pid) == "1"
	})
	terminate(t, look, pid)
	if err := <-prepared; err == nil {
		t.Fatal("the run outlived its session")
	}
	if got := one(t, look, "SELECT indisvalid FROM pg_index WHERE indexrelid = '"+name+"'::regclass"); got != "false" {
		t.Fatalf("the index is valid: %s", got)
	}
	f, err := inspect(context.Background(), look, d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&interruption{"20261123_0004_event_log.sql", true, number - 1, len(sets[d]().steps(3, true))}, f.interrupted); diff != "" {
		t.Error(diff)
	}
	let()
	if _, err := Script(context.Background(), look, options(d), CommandUpgrade, "head"); err == nil || !strings.Contains(err.Error(), "was interrupted on its way up, with ") {
		t.Errorf("a script from the midst of a revision: %v", err)
	}
	db, _ = session(t, url)
	if r, err := Prepare(context.Background(), db, options(d)); err != nil || !slices.Equal(r.Applied, []string{"20261123_0004"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	untroubled := place(t, d)()
	alembic(t, untroubled, d, LatestAlembic)
	if _, err := Prepare(context.Background(), untroubled, options(d)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(describe(t, untroubled, d), describe(t, look, d)); diff != "" {
		t.Errorf("-untroubled +after a death:\n%s", diff)
	}
	if got := one(t, look, "SELECT count(*) FROM pg_index WHERE NOT indisvalid"); got != "0" {
		t.Errorf("%s indexes are invalid", got)
	}
}

// stepOf is the number of the newest revision's step that begins so.
func stepOf(t *testing.T, beginning string) int {
	t.Helper()
	s := sets[storage.PostgreSQL]()
	for _, st := range s.steps(s.index("20261123_0004"), true) {
		if strings.HasPrefix(st.SQL, beginning) {
			return st.number
		}
	}
	t.Fatalf("no step begins with %s", beginning)
	return 0
}

func openURL(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

const stepsSQLite = `-- +migrate Up notransaction
CREATE TABLE a (n integer PRIMARY KEY);
INSERT INTO a VALUES (1);
VACUUM;
INSERT INTO a VALUES (2);
-- +migrate Down notransaction
DELETE FROM a WHERE n = 2;
PRAGMA user_version = 7;
DROP TABLE a;
`

// The same on SQLite, up and down, with the process itself killed.
func TestADeathAtAnyBoundaryOfAStepIsCompletedOnSQLite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "safebox.db")
	deaths := func(down bool, boundaries ...string) {
		t.Helper()
		for _, at := range boundaries {
			if !kill(t, file, stepsSQLite, at, down) {
				t.Errorf("down %t: %q was never reached", down, at)
			}
		}
		if kill(t, file, stepsSQLite, "none", down) {
			t.Errorf("down %t: not at its end", down)
		}
	}
	deaths(false, "1 step begins", "1 step finished", "2 step begins", "2 step finished", "3 step begins", "3 intent recorded",
		"3 statement finished", "3 step finished", "4 step begins", "4 step finished")
	look := openLite(t, file)
	if got := query(t, look, "SELECT n FROM a ORDER BY n"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("rows %q", got)
	}
	if got := query(t, look, "SELECT id FROM gorp_migrations"); !slices.Equal(got, []string{victimName}) {
		t.Errorf("records %q", got)
	}
	deaths(true, "1 step finished", "2 intent recorded", "2 statement finished", "3 step finished")
	if got := one(t, look, "SELECT count(*) FROM sqlite_master WHERE name = 'a'"); got != "0" {
		t.Error("the table is still there")
	}
	for _, table := range []string{stepTable, recordsTable, checksumTable} {
		if got := one(t, look, "SELECT count(*) FROM "+table); got != "0" {
			t.Errorf("%s has %s rows", table, got)
		}
	}
}

func openLite(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", lite(file))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// What was done is known by its text: a file that has changed meanwhile does not go on with it, and nothing else begins.
func TestAnInterruptedRevisionIsWhatGoesOn(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		const name, other = "20270101_0001_x.sql", "20270102_0002_y.sql"
		file := "-- +migrate Up notransaction\nCREATE TABLE a (n integer);\nCREATE TABLE b (n integer);\n" +
			"-- +migrate Down notransaction\nDROP TABLE b;\nDROP TABLE a;\n"
		exec(t, db, "CREATE TABLE b (wrong integer)")
		s := revisions(t, d, map[string]string{name: file, other: strings.ReplaceAll(file, "TABLE ", "TABLE other_")})
		_, err := on(t, db, s).apply(ctx, -1, 0)
		var step *StepError
		if !errors.As(err, &step) || step.Step != 2 || step.Of != 2 {
			t.Fatalf("error %v", err)
		}
		if text := err.Error(); !strings.Contains(text, "20270101_0001 failed at step 2 of 2, and the steps before it are kept") {
			t.Error(text)
		}
		f, err := inspect(ctx, db, d)
		if diff := cmp.Diff(&interruption{name, true, 1, 2}, f.interrupted); diff != "" || err != nil {
			t.Error(diff, err)
		}
		exec(t, db, "DROP TABLE b")

		refused := func(what string, err error, says ...string) {
			t.Helper()
			var refusal *PlanError
			if !errors.As(err, &refusal) || refusal.ExitCode() != 65 {
				t.Errorf("%s: %v", what, err)
				return
			}
			for _, s := range says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%s: %v does not say %q", what, err, s)
				}
			}
		}
		_, err = on(t, db, s).revert(ctx, 0, -1)
		refused("the other direction", err, name, "interrupted on its way up", "Bring that to its end first")
		_, err = on(t, db, s).apply(ctx, 0, 1)
		refused("another revision", err, name, "comes before "+other)
		changed := revisions(t, d, map[string]string{name: strings.Replace(file, "TABLE a (n", "TABLE a (m", 1)})
		_, err = on(t, db, changed).apply(ctx, -1, 0)
		refused("a changed step", err, name+" has changed since it was interrupted at step 1", "Run the build that began it")

		if _, err := on(t, db, s).apply(ctx, -1, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := on(t, db, s).revert(ctx, 1, -1); err != nil {
			t.Fatal(err)
		}
		if got := one(t, db, "SELECT count(*) FROM safebox_migration_step"); got != "0" {
			t.Errorf("%s steps are left", got)
		}
	})
}

func TestAnIndexOfSomebodyElsesIsNotTakenForTheStepsOwn(t *testing.T) {
	t.Parallel()
	const d = storage.PostgreSQL
	ctx, db := context.Background(), place(t, d)()
	exec(t, db, "CREATE TABLE a (n integer, m integer)")
	exec(t, db, "CREATE INDEX i ON a (m)")
	s := revisions(t, d, map[string]string{
		"20270101_0001_x.sql": "-- +migrate Up notransaction\nCREATE INDEX CONCURRENTLY i ON a (n);\n-- +migrate Down notransaction\nDROP INDEX CONCURRENTLY i;\n",
	})
	for range 2 { // the refusal leaves nothing that the next run would take for an intent
		_, err := on(t, db, s).apply(ctx, -1, 0)
		var coded interface{ ExitCode() int }
		if !errors.As(err, &coded) || coded.ExitCode() != 65 || !strings.Contains(err.Error(), "the index i, which the revision builds, exists already: rename or drop it") {
			t.Fatalf("error %v", err)
		}
	}
	exec(t, db, "DROP INDEX i")
	if _, err := on(t, db, s).apply(ctx, -1, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := on(t, db, s).revert(ctx, 0, -1); err != nil {
		t.Fatal(err)
	}
	if got := one(t, db, "SELECT count(*) FROM pg_indexes WHERE indexname = 'i'"); got != "0" {
		t.Error("the index is still there")
	}
}

// A unique index that cannot be built says why and is not left behind for writers to keep up.
func TestAUniqueIndexOverDuplicatesIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	const d = storage.PostgreSQL
	ctx, db := context.Background(), place(t, d)()
	exec(t, db, "CREATE TABLE a (n integer)")
	exec(t, db, "INSERT INTO a VALUES (1), (1)")
	s := revisions(t, d, map[string]string{
		"20270101_0001_x.sql": "-- +migrate Up notransaction\nCREATE UNIQUE INDEX CONCURRENTLY i ON a (n);\n-- +migrate Down\nDROP INDEX i;\n",
	})
	if _, err := on(t, db, s).apply(ctx, -1, 0); sqlState(err) != "23505" {
		t.Fatalf("error %v", err)
	}
	if got := one(t, db, "SELECT count(*) FROM pg_indexes WHERE indexname = 'i'"); got != "0" {
		t.Error("the index is still there")
	}
	exec(t, db, "DELETE FROM a WHERE ctid = '(0,1)'")
	if _, err := on(t, db, s).apply(ctx, -1, 0); err != nil {
		t.Fatal(err)
	}
}

// What hangs on a column that is replaced is named, and nothing of the revision is begun.
func TestWhatDependsOnAReplacedColumnIsNamed(t *testing.T) {
	t.Parallel()
	const d = storage.PostgreSQL
	for object, c := range map[string]struct{ create, drop string }{
		"rule _RETURN on view richest": {"CREATE VIEW richest AS SELECT handle FROM registeredsafebox ORDER BY balance DESC LIMIT 9", "DROP VIEW richest"},
		"index by_amount":              {"CREATE INDEX by_amount ON paymentquote (amount)", "DROP INDEX by_amount"},
		"statistics object spread":     {"CREATE STATISTICS spread ON balance, currency_code FROM registeredsafebox", "DROP STATISTICS spread"},
		"a privilege on the column":    {"GRANT SELECT (requester_ts) ON nfcrequesternonce TO PUBLIC", "REVOKE SELECT (requester_ts) ON nfcrequesternonce FROM PUBLIC"},
	} {
		t.Run(object, func(t *testing.T) {
			t.Parallel()
			ctx, db := context.Background(), place(t, d)()
			alembic(t, db, d, LatestAlembic)
			if _, err := Upgrade(ctx, db, options(d), LatestAlembic); err != nil { // an adoption would name the index itself
				t.Fatal(err)
			}
			before := describe(t, db, d)
			exec(t, db, c.create)
			_, err := Prepare(ctx, db, options(d))
			var coded interface{ ExitCode() int }
			if !errors.As(err, &coded) || coded.ExitCode() != 65 || !strings.Contains(err.Error(), object) ||
				!strings.Contains(err.Error(), "drop that, start again, and make it anew afterwards") {
				t.Fatalf("error %v", err)
			}
			exec(t, db, c.drop)
			if diff := cmp.Diff(before, describe(t, db, d)); diff != "" {
				t.Errorf("it left something:\n%s", diff)
			}
			if got := one(t, db, "SELECT count(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"); got != "0" {
				t.Errorf("%s functions are left", got)
			}
			if r, err := Prepare(ctx, db, options(d)); err != nil || !r.Head {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// A row that somebody keeps locked is filled in as soon as it is let go, and keeps nobody waiting until then.
func TestTheBackfillWaitsForALockedRowWithoutHoldingAny(t *testing.T) {
	t.Parallel()
	const d = storage.PostgreSQL
	url := dbtest.PostgreSQL(t)
	db, look, holder := openURL(t, url), openURL(t, url), openURL(t, url)
	alembic(t, look, d, LatestAlembic)
	crowd(t, look, 500)
	let := func() {}
	filled := stepOf(t, "CALL safebox_backfill('registeredsafebox'")
	o := options(d)
	o.Logger = slog.New(boundaries{reached: func(boundary string) {
		if boundary == fmt.Sprintf("%d intent recorded", filled) {
			let = hold(t, holder, sql.LevelDefault, "UPDATE registeredsafebox SET balance = 70000 WHERE id = 1007")
		}
	}})
	prepared := make(chan error, 1)
	go func() {
		_, err := Prepare(context.Background(), db, o)
		prepared <- err
	}()
	soon(t, "all but the locked row are filled in", func() bool {
		return one(t, look, "SELECT coalesce((SELECT count(*) FROM pg_attribute WHERE attrelid = 'registeredsafebox'::regclass AND attname = 'balance_wide'), 0)") == "1" &&
			one(t, look, "SELECT count(*) FROM registeredsafebox WHERE balance_wide <> balance") == "1"
	})
	exec(t, look, "SET lock_timeout = '5s'")
	exec(t, look, "UPDATE registeredsafebox SET balance = balance + 1 WHERE id <> 1007 AND balance < 1000000")
	let()
	if err := <-prepared; err != nil {
		t.Fatal(err)
	}
	if got := one(t, look, "SELECT count(*) FROM registeredsafebox WHERE opening_balance <> balance"); got != "0" {
		t.Errorf("%s opening balances are wrong", got)
	}
	if got := one(t, look, "SELECT opening_balance FROM registeredsafebox WHERE id = 1007"); got != "70000" {
		t.Errorf("the row that was locked has the opening balance %s", got)
	}
}
