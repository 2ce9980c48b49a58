package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	programs "os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// runScript has the database's own program run a script, and returns what it printed.
func runScript(t *testing.T, d storage.Dialect, name, script string) (string, error) {
	t.Helper()
	ctx := context.Background()
	cmd := programs.CommandContext(ctx, "sqlite3", name)
	if d == storage.PostgreSQL {
		cmd = programs.CommandContext(ctx, dbtest.Program(t, "psql"), "-X", "-f", "-", name)
	}
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// start takes an empty database to where a command begins.
type start func(t *testing.T, db *sql.DB, d storage.Dialect)

func empty(*testing.T, *sql.DB, storage.Dialect) {}

func asAlembic(revision string) start {
	return func(t *testing.T, db *sql.DB, d storage.Dialect) { alembic(t, db, d, revision) }
}

// asCreateAll is a database whose tables SQLModel made without a version: a column and an index are absent.
func asCreateAll(t *testing.T, db *sql.DB, d storage.Dialect) {
	t.Helper()
	execFile(t, db, fmt.Sprintf("testdata/%s/create_all.sql", d))
}

// withoutIndexes is a database of Alembic's that nothing keeps from having duplicates.
func withoutIndexes(t *testing.T, db *sql.DB, d storage.Dialect) {
	t.Helper()
	alembic(t, db, d, LatestAlembic)
	exec(t, db, "DROP INDEX uq_registeredsafebox_handle")
}

func asPrepared(t *testing.T, db *sql.DB, d storage.Dialect) {
	t.Helper()
	if _, err := Prepare(context.Background(), db, options(d)); err != nil {
		t.Fatal(err)
	}
}

// run carries a command out.
func run(db *sql.DB, o Options, c Command, target string) (Report, error) {
	ctx := context.Background()
	switch c {
	case CommandDowngrade:
		return Downgrade(ctx, db, o, target)
	case CommandStamp:
		return Stamp(ctx, db, o, target)
	}
	return Upgrade(ctx, db, o, target)
}

var stamps = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*( \+0000 UTC)?`)

// state is the catalogue and every row, with the times of the books left out.
func state(t *testing.T, db *sql.DB, d storage.Dialect) []string {
	t.Helper()
	all := describe(t, db, d)
	for _, row := range contents(t, db, d) {
		if strings.HasPrefix(row, recordsTable) || strings.HasPrefix(row, checksumTable) {
			row = stamps.ReplaceAllString(row, "some time")
		}
		all = append(all, row)
	}
	c, err := readCatalogue(context.Background(), db, d)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{recordsTable, checksumTable, alembicTable} {
		if _, ok := c[name]; ok {
			all = append(all, "books: "+name)
		}
	}
	return all
}

func TestAScriptEndsWhereTheCommandEnds(t *testing.T) {
	yes := func(o *Options) { o.Yes = true }
	for _, c := range []struct {
		name    string
		from    start
		command Command
		target  string
		change  func(*Options)
	}{
		{"an empty database to head", empty, CommandUpgrade, "head", nil},
		{"an empty database to the first", empty, CommandUpgrade, "+1", nil},
		{"Alembic's first to head", asAlembic("20260220_0001"), CommandUpgrade, "head", nil},
		{"Alembic's second to head", asAlembic("20260310_0002"), CommandUpgrade, "head", nil},
		{"Alembic's third to head", asAlembic("20260416_0003"), CommandUpgrade, "head", nil},
		{"a guard's index to be built", withoutIndexes, CommandUpgrade, "head", nil},
		{"head to head", asPrepared, CommandUpgrade, "head", nil},
		{"create_all repaired", asCreateAll, CommandStamp, "20260416_0003", func(o *Options) { o.Repair = true }},
		{"Alembic's third stamped", asAlembic("20260416_0003"), CommandStamp, "20260416_0003", nil},
		{"an empty database stamped base", empty, CommandStamp, "base", nil},
		{"head to base", asPrepared, CommandDowngrade, "base", yes},
		{"head one down", asPrepared, CommandDowngrade, "-1", nil},
		{"Alembic's third one down", asAlembic("20260416_0003"), CommandDowngrade, "-1", yes},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, byCommand := context.Background(), open()
				name, reopen := named(t, d)
				byScript := reopen()
				o := options(d)
				if c.change != nil {
					c.change(&o)
				}
				c.from(t, byCommand, d)
				c.from(t, byScript, d)
				before := state(t, byScript, d)
				script, err := Script(ctx, byScript, o, c.command, c.target)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, state(t, byScript, d)); diff != "" {
					t.Errorf("making the script changed the database:\n%s", diff)
				}
				exec(t, byScript, "CREATE TABLE safebox_init (id integer PRIMARY KEY)") // the ready marker of before
				if out, err := runScript(t, d, name, script); err != nil {
					t.Fatalf("%v\n%s\n%s", err, out, script)
				}
				if _, err := run(byCommand, o, c.command, c.target); err != nil {
					t.Fatal(err)
				}
				byScript, byCommand = reopen(), open()
				if diff := cmp.Diff(state(t, byCommand, d), state(t, byScript, d)); diff != "" {
					t.Errorf("-command +script:\n%s", diff)
				}
				// The next run has nothing to do, and takes the database for what it is.
				if c.command == CommandUpgrade && c.target == "head" {
					if r, err := Prepare(ctx, byScript, options(d)); err != nil || len(r.Applied)+len(r.Indexes)+r.Seeded != 0 {
						t.Errorf("after the script: %+v, %v", r, err)
					}
				}
			})
		})
	}
}

// The form of Alembic's --sql without a database.
func TestAnOfflineScriptTakesADatabaseFromOneRevisionToAnother(t *testing.T) {
	for _, c := range []struct {
		name    string
		from    start
		command Command
		target  string
		same    string // the target of the command
		yes     bool
	}{
		{"base to head", empty, CommandUpgrade, "head", "head", false},
		{"the same, spelt out", empty, CommandUpgrade, ":head", "head", false},
		{"Alembic's second to head", asAlembic("20260310_0002"), CommandUpgrade, "20260310_0002:head", "head", false},
		{"head to Alembic's third", asPrepared, CommandDowngrade, "20261123_0004:20260416_0003", "20260416_0003", false},
		{"head to base", asPrepared, CommandDowngrade, "head:base", "base", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, byCommand := context.Background(), open()
				name, reopen := named(t, d)
				byScript := reopen()
				o := options(d)
				o.Yes = c.yes
				c.from(t, byCommand, d)
				c.from(t, byScript, d)
				script, err := Script(ctx, nil, o, c.command, c.target)
				if err != nil {
					t.Fatal(err)
				}
				if out, err := runScript(t, d, name, script); err != nil {
					t.Fatalf("%v\n%s\n%s", err, out, script)
				}
				if _, err := run(byCommand, o, c.command, c.same); err != nil {
					t.Fatal(err)
				}
				byScript, byCommand = reopen(), open()
				if diff := cmp.Diff(state(t, byCommand, d), state(t, byScript, d)); diff != "" {
					t.Errorf("-command +script:\n%s", diff)
				}
			})
		})
	}
}

// A script is for the database as it was. Whatever changed meanwhile, it ends before it has changed anything.
func TestAScriptForAnotherStateChangesNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		from    start
		command Command
		target  string
		change  string
		want    []string
	}{
		{
			"Alembic went on", asAlembic("20260220_0001"), CommandUpgrade, "head", "UPDATE alembic_version SET version_num = '20260310_0002'",
			[]string{"alembic_version no longer says what it said when this script was made: 20260220_0001", "Make the script again"},
		},
		{
			"a revision was recorded", asPrepared, CommandDowngrade, "-1", "DELETE FROM gorp_migrations WHERE id LIKE '%0004%'",
			[]string{"gorp_migrations no longer says what it said when this script was made: 20261123_0004", "Make the script again"},
		},
		{
			"duplicates arrived", withoutIndexes, CommandUpgrade, "head", "UPDATE registeredsafebox SET handle = 'same'",
			[]string{"registeredsafebox.handle has values that several rows share", "`safebox guard` lists them"},
		},
		{
			"events arrived", asPrepared, CommandDowngrade, "-1",
			"INSERT INTO event_log VALUES ('t', 1, 1, 's', 'i', 'type', 'subject', '2026-01-01T00:00:00Z', '{}', NULL, '2026-01-01T00:00:00Z')",
			[]string{"the downgrade would lose rows of event_log", "Take a backup, and make the script with --yes"},
		},
		{
			"it runs a second time", asAlembic("20260220_0001"), CommandUpgrade, "+1", "",
			[]string{"alembic_version no longer says", "Make the script again"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, d := range []storage.Dialect{storage.PostgreSQL, storage.SQLite} {
				t.Run(string(d), func(t *testing.T) {
					name, open := named(t, d)
					db := open()
					c.from(t, db, d)
					script, err := Script(context.Background(), db, options(d), c.command, c.target)
					if err != nil {
						t.Fatal(err)
					}
					if c.change != "" {
						exec(t, db, c.change)
					} else if out, err := runScript(t, d, name, script); err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
					before := state(t, open(), d)
					out, err := runScript(t, d, name, script)
					if err == nil {
						t.Error("the script ends well")
					}
					for _, want := range c.want {
						if !strings.Contains(out, want) {
							t.Errorf("it does not say %q:\n%s", want, out)
						}
					}
					if diff := cmp.Diff(before, state(t, open(), d)); diff != "" {
						t.Error(diff)
					}
				})
			}
		})
	}
}

func TestAScriptWaitsForNoLock(t *testing.T) {
	name, open := named(t, storage.PostgreSQL)
	db := open()
	script, err := Script(context.Background(), db, options(storage.PostgreSQL), CommandUpgrade, "head")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, "SELECT pg_advisory_lock(841337001)")
	out, err := runScript(t, storage.PostgreSQL, name, script)
	if err == nil || !strings.Contains(out, "another process is initialising this database; nothing was changed") ||
		!strings.Contains(out, "then make the script again") {
		t.Errorf("%v\n%s", err, out)
	}
	if left := state(t, db, storage.PostgreSQL); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
	exec(t, db, "SELECT pg_advisory_unlock(841337001)")
	if out, err := runScript(t, storage.PostgreSQL, name, script); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if held := one(t, db, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); held != "0" {
		t.Errorf("%s locks are still held", held)
	}
}

func TestAScriptIsRefusedForWhatTheCommandIsRefusedFor(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		asPrepared(t, db, d)
		exec(t, db, "INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid, npub) VALUES ('', 'h', 'q', 1, 'm', true, 'npub1')")
		_, err := Script(ctx, db, o, CommandDowngrade, "-1")
		var loss *LossError
		if !errors.As(err, &loss) {
			t.Errorf("a downgrade that loses data: %v", err)
		}
		o.Yes = true
		script, err := Script(ctx, db, o, CommandDowngrade, "-1")
		if err != nil || !strings.Contains(script, "-- It takes away what these hold: paymentquote.npub: 1 value\n") {
			t.Errorf("with --yes: %v\n%s", err, script)
		}
		for _, c := range []struct {
			command Command
			target  string
			db      *sql.DB
			want    string
		}{
			{CommandUpgrade, "nonsense", db, "there is no such revision"},
			{CommandUpgrade, "20260416_0003:20260220_0001", db, "an upgrade does not go down"},
			{CommandDowngrade, "base", nil, "without a database a downgrade wants from:to"},
			{CommandStamp, "20260416_0003", nil, "a stamp looks at the tables, and needs the database"},
			{CommandStamp, "base:head", db, "a stamp looks at the tables, and needs the database"},
			{CommandUpgrade, "+1:head", db, "only an upgrade and a downgrade count from where the database is"},
		} {
			_, err := Script(ctx, c.db, o, c.command, c.target)
			var target *TargetError
			if !errors.As(err, &target) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s %s: %v", c.command, c.target, err)
			}
		}
	})
}

// Whatever a seed holds stays text.
func TestAScriptQuotesWhatItWasGiven(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		rate, base := 1234.5, int32(100)
		o := options(d)
		o.Seed = Seed{Source: "a test", Currencies: []Currency{
			{Code: "X'Y", Rate: &rate, Symbol: `\'"$safebox$;`, Description: "two\nlines -- and :more", FractionalUnit: "€", NumberToBase: &base, RefreshedAt: time.Date(2026, 12, 25, 12, 30, 1, 500_000_000, time.UTC)},
			{Code: "SAT"},
		}}
		o.Supported = []string{"SAT", "X'Y"}
		name, reopen := named(t, d)
		script, err := Script(context.Background(), nil, o, CommandUpgrade, "head")
		if err != nil {
			t.Fatal(err)
		}
		if out, err := runScript(t, d, name, script); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		ours := open()
		if _, err := Prepare(context.Background(), ours, o); err != nil {
			t.Fatal(err)
		}
		const currencies = "SELECT * FROM currencyrate ORDER BY currency_code"
		rows := query(t, reopen(), currencies)
		if diff := cmp.Diff(query(t, ours, currencies), rows); diff != "" || !slices.ContainsFunc(rows, func(r string) bool { return strings.HasPrefix(r, "X'Y | 1234.5") }) {
			t.Errorf("-command +script:\n%s\n%q", diff, rows)
		}
	})
}
