package migrations

import (
	"context"
	"database/sql"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	migrate "github.com/rubenv/sql-migrate"

	"github.com/safebox/safebox/storage"
)

// alembicDown does what `alembic downgrade` does to a database, down to a revision; "" is base.
func alembicDown(t *testing.T, db *sql.DB, to string) {
	t.Helper()
	for _, step := range []struct {
		revision string
		tables   []string
	}{
		{"20260416_0003", []string{"receiveofferbootstrap"}},
		{"20260310_0002", []string{"nfcrequesternonce"}},
		{"20260220_0001", []string{"nwcsecret", "nwcevent", "currencyrate", "paymentquote", "registeredsafebox"}},
	} {
		if step.revision > to {
			for _, table := range step.tables {
				exec(t, db, "DROP TABLE "+table)
			}
		}
	}
	exec(t, db, "DELETE FROM alembic_version")
	if to != "" {
		exec(t, db, "INSERT INTO alembic_version (version_num) VALUES ('"+to+"')")
	}
}

func TestADatabaseThatAlembicTookBackIsRecognised(t *testing.T) {
	for _, to := range []string{"20260310_0002", "20260220_0001", ""} {
		t.Run("to "+orBase(to), func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, db := context.Background(), open()
				if _, err := Upgrade(ctx, db, options(d), LatestAlembic); err != nil {
					t.Fatal(err)
				}
				alembicDown(t, db, to)
				if s, err := Current(ctx, db, d); err != nil || s.Revision != to || s.Alembic != to || s.Problem != "" {
					t.Fatalf("%+v, %v", s, err)
				}
				var log strings.Builder
				o := options(d)
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				r, err := Upgrade(ctx, db, o, "+1")
				if err != nil || r.From != to || r.Adopted != to || len(r.Applied) != 1 {
					t.Fatalf("%+v, %v", r, err)
				}
				if !strings.Contains(log.String(), "adopted the database as Alembic left it") || !strings.Contains(log.String(), LatestAlembic) {
					t.Errorf("the log does not tell what was taken back:\n%s", log.String())
				}
				if got := query(t, db, "SELECT id FROM gorp_migrations ORDER BY id"); !slices.Equal(got, filesOf(Revisions(d)[:len(got)])) || revisionOf(got[len(got)-1]) != r.To {
					t.Errorf("records %q", got)
				}
				if r, err := Prepare(ctx, db, options(d)); err != nil || !r.Head {
					t.Fatalf("%+v, %v", r, err)
				}
				if found, err := Check(ctx, open(), CheckOptions{Dialect: d}); err != nil || !found.OK {
					t.Errorf("%+v, %v", found, err)
				}
			})
		})
	}
}

func TestAlembicGoingBackBelowOurOwnRevisionsIsRefusedWithTheWayOut(t *testing.T) {
	for _, c := range []struct{ to, gone, do string }{
		{"20260310_0002", "receiveofferbootstrap - a table nothing missing", "`safebox migrate stamp --repair 20261123_0004`, which makes what is gone again, empty, and shows it first with --sql"},
		{"20260220_0001", "nfcrequesternonce - a table nothing missing", "`safebox migrate stamp --repair 20261123_0004`"},
		{"", "registeredsafebox - a table nothing contradicts: what it held cannot be made again", "Run `alembic upgrade 20260416_0003`, which makes its tables again, empty"},
	} {
		t.Run("to "+orBase(c.to), func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, db, o := context.Background(), open(), options(d)
				asPrepared(t, db, d)
				alembicDown(t, db, c.to)
				before := state(t, db, d)
				message := []string{
					"Alembic went back to " + orBase(c.to) + " beside this program, below 20261123_0004", "gorp_migrations records as applied",
					"nothing was changed", c.gone, c.do, "To have the rows again, restore a backup.",
				}
				_, err := Prepare(ctx, db, o)
				reads(t, err, 65, message...)
				_, err = Downgrade(ctx, db, o, "base")
				reads(t, err, 65, message...)
				if r, err := Check(ctx, db, CheckOptions{Dialect: d}); err != nil || r.OK || !strings.HasPrefix(r.Problem, "Alembic went back") || len(r.Differences) == 0 {
					t.Errorf("%+v, %v", r, err)
				}
				if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
					t.Error(diff)
				}
				if c.to == "" {
					return
				}
				o.Repair = true
				if r, err := Stamp(ctx, db, o, "head"); err != nil || len(r.Repaired) == 0 {
					t.Fatalf("%+v, %v", r, err)
				}
				if r, err := Prepare(ctx, db, options(d)); err != nil || !r.Head {
					t.Errorf("%+v, %v", r, err)
				}
				if found, err := Check(ctx, open(), CheckOptions{Dialect: d}); err != nil || !found.OK {
					t.Errorf("%+v, %v", found, err)
				}
			})
		})
	}
}

// Records without any alembic_version may be sql-migrate's, which does not keep one: nothing is concluded from that.
func TestTablesThatAreGoneWithoutAlembicAreNotForgotten(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		if _, err := Upgrade(ctx, db, options(d), LatestAlembic); err != nil {
			t.Fatal(err)
		}
		alembicDown(t, db, "")
		exec(t, db, "DROP TABLE alembic_version")
		_, err := Prepare(ctx, db, options(d))
		reads(t, err, 65, "gorp_migrations says revision 20260416_0003, but the database differs from it in 7 places; nothing was changed",
			"registeredsafebox - a table nothing contradicts", "restore a backup")
	})
}

// What makes programs fail ends a start; what only makes them slow is said in the log.
func TestADatabaseOfOursThatLostATableIsRefusedAndOneThatDriftedIsNot(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		asPrepared(t, db, d)
		exec(t, db, "DROP INDEX ix_nwcsecret_npub")
		var log strings.Builder
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		if r, err := Prepare(ctx, db, o); err != nil || !r.Head {
			t.Fatalf("%+v, %v", r, err)
		}
		if !strings.Contains(log.String(), "`safebox migrate check` lists what differs") || !strings.Contains(log.String(), "differences=1") {
			t.Errorf("the log does not tell of the drift:\n%s", log.String())
		}
		exec(t, db, "ALTER TABLE registeredsafebox DROP COLUMN entry_count")
		_, err := Prepare(ctx, db, o)
		reads(t, err, 65, "gorp_migrations says revision 20261123_0004, but the database differs from it in 2 places; nothing was changed",
			"registeredsafebox entry_count", "contradicts", "restore a backup")
	})
}

func TestHarmlessDifferencesAreAdoptedAndNamed(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db, o := context.Background(), open(), options(d)
		alembic(t, db, d, "20260310_0002")
		exec(t, db, "CREATE INDEX mine ON nwcevent (event_id)")
		exec(t, db, "ALTER TABLE paymentquote ADD COLUMN colour varchar")
		var log strings.Builder
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		r, err := Prepare(ctx, db, o)
		if err != nil || r.Adopted != "20260310_0002" || len(r.Harmless) != 2 || worst(r.Harmless) != Harmless {
			t.Fatalf("%+v, %v", r, err)
		}
		adopted := 0
		for _, line := range strings.Split(log.String(), "\n") {
			if strings.Contains(line, "adopted the database") {
				adopted++
				if !strings.Contains(line, "paymentquote.colour") || !strings.Contains(line, "nwcevent.mine") {
					t.Errorf("the line does not name the differences: %s", line)
				}
			}
		}
		if adopted != 1 {
			t.Errorf("%d lines tell of the adoption:\n%s", adopted, log.String())
		}
	})
}

func TestAMismatchNamesTheRevisionThatFitsBetter(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		alembic(t, db, d, "20260310_0002")
		exec(t, db, "UPDATE alembic_version SET version_num = '20260416_0003'")
		_, err := Prepare(ctx, db, options(d))
		reads(t, err, 65, "alembic_version says revision 20260416_0003, but the database differs from it in 1 place; nothing was changed",
			"The tables are those of 20260310_0002: run `safebox migrate stamp 20260310_0002`")
		if _, err := Stamp(ctx, db, options(d), "20260310_0002"); err != nil {
			t.Fatal(err)
		}
		if r, err := Prepare(ctx, db, options(d)); err != nil || len(r.Applied) != 2 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Only what takes an interrupted revision to its end may be run, and everything else says what that is.
func TestAnInterruptedRevisionIsBroughtToItsEndFirst(t *testing.T) {
	s := sets[storage.PostgreSQL]()
	last := len(s.revisions) - 1
	for _, c := range []struct {
		up      bool
		command Command
		to      int
		do      string // "": it goes on
	}{
		{true, CommandUpgrade, last, ""},
		{true, CommandUpgrade, last - 1, "`safebox migrate upgrade 20261123_0004`"},
		{true, CommandDowngrade, last - 2, "`safebox migrate upgrade 20261123_0004`"},
		{true, CommandStamp, last, "`safebox migrate upgrade 20261123_0004`"},
		{false, CommandDowngrade, last - 1, ""},
		{false, CommandDowngrade, -1, ""},
		{false, CommandDowngrade, last, "`safebox migrate downgrade 20260416_0003`"},
		{false, CommandUpgrade, last, "`safebox migrate downgrade 20260416_0003`"},
		{false, CommandStamp, last, "`safebox migrate downgrade 20260416_0003`"},
	} {
		err := s.goesOn(c.command, facts{interrupted: &interruption{s.revisions[last].File, c.up, 3, 9}}, c.to)
		if c.do == "" {
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		reads(t, err, 65, "the revision 20261123_0004 was interrupted on its way "+direction(c.up)+", with 3 of 9 steps done; nothing was changed",
			"Bring it to its end with "+c.do+" first")
	}
	if got := (&interruption{s.revisions[0].File, false, 1, 2}).goOn(s); got != "`safebox migrate downgrade base`" {
		t.Error(got)
	}
}

func TestAnInterruptedRevisionThatTheBooksContradictIsRefused(t *testing.T) {
	s := sets[storage.PostgreSQL]()
	last := len(s.revisions) - 1
	up, down := &interruption{s.revisions[last].File, true, 3, 9}, &interruption{s.revisions[last].File, false, 3, 9}
	first, third := filesOf(s.revisions[:1]), filesOf(s.revisions[:last])
	for _, c := range []struct {
		name string
		f    facts
		want []string
	}{
		{"Alembic went back", facts{interrupted: up, records: third, versions: []string{"20260310_0002"}}, []string{
			"20261123_0004 was interrupted on its way up", "meanwhile alembic_version was set to 20260310_0002", "set it to 20260416_0003 and go on with `safebox migrate upgrade 20261123_0004`; else restore a backup",
		}},
		{"it does not follow", facts{interrupted: up, records: first, versions: []string{"20260220_0001"}}, []string{
			"20261123_0004 was interrupted on its way up", "but the records are at 20260220_0001", "Run the build that began it, or restore a backup",
		}},
		{"it is not recorded", facts{interrupted: down, records: third, versions: []string{"20260416_0003"}}, []string{
			"20261123_0004 was interrupted on its way down", "but the records are at 20260416_0003",
		}},
		{"it is not known", facts{interrupted: &interruption{"20300101_0009_future.sql", true, 1, 2}, records: third, versions: []string{"20260416_0003"}}, []string{
			"the revision 20300101_0009_future.sql was interrupted", "Run the build that began it",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.plan(c.f)
			reads(t, err, 65, c.want...)
		})
	}
}

func TestReadersTellOfAnInterruptedRevision(t *testing.T) {
	ctx, d := context.Background(), storage.PostgreSQL
	db := place(t, d)()
	if _, err := Upgrade(ctx, db, options(d), LatestAlembic); err != nil {
		t.Fatal(err)
	}
	step := sets[d]().steps(len(Revisions(d))-1, true)[0]
	for _, statement := range []string{createSteps, step.SQL, step.ran(time.Now())} {
		exec(t, db, statement)
	}
	const says = "the revision 20261123_0004 was interrupted on its way up, with 1 of "
	before := state(t, db, d)
	if s, err := Current(ctx, db, d); err != nil || s.Revision != LatestAlembic || s.Problem != "" || !strings.HasPrefix(s.Interrupted, says) {
		t.Errorf("%+v, %v", s, err)
	}
	r, err := Check(ctx, db, CheckOptions{Dialect: d})
	if err != nil || r.OK || len(r.Differences) > 0 || !strings.HasPrefix(r.Problem, says) || r.Do != "Bring it to its end with `safebox migrate upgrade 20261123_0004`." {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = Downgrade(ctx, db, options(d), "-1")
	reads(t, err, 65, says, "Bring it to its end with `safebox migrate upgrade 20261123_0004` first")
	_, err = Stamp(ctx, db, options(d), LatestAlembic)
	reads(t, err, 65, says, "Bring it to its end with `safebox migrate upgrade 20261123_0004` first")
	_, err = Script(ctx, db, options(d), CommandUpgrade, "head")
	reads(t, err, 65, says, "and a script begins at a revision", "Bring it to its end with `safebox migrate upgrade 20261123_0004`, then make the script")
	if diff := cmp.Diff(before, state(t, db, d)); diff != "" {
		t.Error(diff)
	}
	if r, err := Prepare(ctx, db, options(d)); err != nil || !r.Head {
		t.Errorf("%+v, %v", r, err)
	}
}

// Invariant 3: the table is the one that sql-migrate makes itself.
func TestTheRecordsTableIsThatOfSQLMigrate(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ours, theirs := open(), place(t, d)()
		if _, err := Stamp(context.Background(), ours, options(d), "base"); err != nil {
			t.Fatal(err)
		}
		if _, err := (migrate.MigrationSet{}).GetMigrationRecords(theirs, engine(d)); err != nil {
			t.Fatal(err)
		}
		var tables []table
		for _, db := range []*sql.DB{ours, theirs} {
			c, err := readCatalogue(context.Background(), db, d)
			if err != nil {
				t.Fatal(err)
			}
			tables = append(tables, c[recordsTable])
		}
		if diff := cmp.Diff(tables[1], tables[0]); diff != "" || len(tables[0].Columns) == 0 {
			t.Errorf("-sql-migrate +ours:\n%s", diff)
		}
	})
}
