package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// asAlembicLeftIt brings an empty database to where Alembic would have brought it, with none of our own records.
func (s *site) asAlembicLeftIt(revision string) {
	s.t.Helper()
	s.ok("migrate", "upgrade", revision)
	s.exec("DROP TABLE safebox_init", "DROP TABLE gorp_migrations", "DROP TABLE safebox_migration_checksum")
}

func (s *site) insertWallet(npub, handle string) {
	s.t.Helper()
	s.exec(fmt.Sprintf(`INSERT INTO registeredsafebox (npub, handle, home_relay, onboard_code, balance) VALUES ('%s', '%s', 'wss://r', 'c', 7)`, npub, handle))
}

// dropUniqueIndexes takes away what keeps handles unique, as operators have done.
func (s *site) dropUniqueIndexes() {
	s.t.Helper()
	query := `SELECT indexname FROM pg_indexes WHERE tablename = 'registeredsafebox' AND indexdef LIKE 'CREATE UNIQUE%'
		AND indexname NOT IN (SELECT conname FROM pg_constraint)`
	if s.dialect() == storage.SQLite {
		query = `SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'registeredsafebox' AND sql LIKE 'CREATE UNIQUE%'`
	}
	for _, name := range s.column(query) {
		s.exec("DROP INDEX " + name)
	}
}

func (s *site) column(query string) []string {
	s.t.Helper()
	db := s.sql()
	defer db.Close()
	rows, err := db.QueryContext(s.t.Context(), query)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	var values []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			s.t.Fatal(err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return values
}

// catalogue lists tables, columns and indexes, and the wallets' rows.
func (s *site) catalogue() []string {
	query := `SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns WHERE table_schema = 'public'
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`
	if s.dialect() == storage.SQLite {
		query = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1"
	}
	return append(s.column(query), s.column("SELECT npub || ' ' || handle || ' ' || balance FROM registeredsafebox ORDER BY id")...)
}

func TestWorkerAdoptsWhatAlembicMadeAndKeepsEveryRow(t *testing.T) {
	for _, revision := range []string{"20260220_0001", "20260310_0002", "20260416_0003"} {
		t.Run(revision, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, url string) {
				s := newSite(t, url)
				s.asAlembicLeftIt(revision)
				s.insertWallet("npub-a", "amy")
				s.insertWallet("npub-b", "ben")
				state, _ := answer[migrations.State](s, "migrate", "current")
				if state.Revision != revision || state.Alembic != revision || state.Head || state.Recorded {
					t.Errorf("before: %+v", state)
				}
				if r := s.runWith(nil, "", "event", "publish", "-"); r.code != exitAgain || !strings.Contains(r.stderr, "safebox init") {
					t.Errorf("publish on a database that is not adopted: exit %d\n%s", r.code, r.stderr)
				}
				s.ok("worker", "--until-idle")
				state, _ = answer[migrations.State](s, "migrate", "current")
				if state.Revision != migrations.Latest() || !state.Head || !state.Recorded || state.Alembic != migrations.LatestAlembic {
					t.Errorf("after: %+v", state)
				}
				want := []string{"npub-a amy 7 7", "npub-b ben 7 7"}
				got := s.column("SELECT npub || ' ' || handle || ' ' || balance || ' ' || opening_balance FROM registeredsafebox ORDER BY id")
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				s.ok("audit")
			})
		})
	}
}

func TestTwoWalletsWithOneHandleStopTheWorkerAndNothingIsChanged(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.asAlembicLeftIt("20260416_0003")
		s.dropUniqueIndexes()
		s.insertWallet("npub-a", "amy")
		s.insertWallet("npub-b", "ben")
		s.insertWallet("npub-c", "amy")
		ids := s.column("SELECT id FROM registeredsafebox WHERE handle = 'amy' ORDER BY id")

		before := s.catalogue()
		report, r := answer[struct {
			OK         bool
			Violations []migrations.Violation
		}](s, "guard")
		if r.code != exitData || report.OK || len(report.Violations) != 1 || fmt.Sprint(report.Violations[0].IDs) != "["+strings.Join(ids, " ")+"]" {
			t.Errorf("guard: exit %d, %+v", r.code, report)
		}
		if diff := cmp.Diff(before, s.catalogue()); diff != "" {
			t.Errorf("guard changed the database: %s", diff)
		}
		for _, command := range [][]string{{"worker"}, {"init"}} {
			r := s.run(command...)
			if r.code != exitData || !strings.Contains(r.stderr, "amy") || !strings.Contains(r.stderr, strings.Join(ids, ", ")) {
				t.Errorf("%v: exit %d\n%s", command, r.code, r.stderr)
			}
		}
		after := s.catalogue()
		kept := after[:0]
		for _, line := range after {
			if !strings.Contains(line, "safebox_init") {
				kept = append(kept, line)
			}
		}
		if diff := cmp.Diff(before, kept); diff != "" {
			t.Errorf("the database changed (-before +after):\n%s", diff)
		}
		t.Run("and once the handle is unique, the worker goes on", func(t *testing.T) {
			s := s.in(t)
			s.exec("UPDATE registeredsafebox SET handle = 'amy-2' WHERE npub = 'npub-c'")
			s.ok("worker", "--until-idle")
			s.ok("guard")
		})
	})
}

func TestUpgradeStopsWhereItIsToldAndTheNextWorkerGoesOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		if r := s.run("migrate", "upgrade", "nowhere"); r.code != exitUsage || !strings.Contains(r.stderr, "nowhere") {
			t.Errorf("exit %d\n%s", r.code, r.stderr)
		}
		s.ok("migrate", "upgrade", "+2")
		if r := s.run("wallet", "list"); r.code != exitAgain || !strings.Contains(r.stderr, "20260310_0002") {
			t.Errorf("wallet list below the head: exit %d\n%s", r.code, r.stderr)
		}
		if got := s.ok("migrate", "upgrade", "20260310_0002"); !strings.Contains(got, "nothing to apply") {
			t.Errorf("to where it is: %s", got)
		}
		s.ok("worker", "--until-idle")
		if got := s.ok("migrate", "current"); got != migrations.Latest()+" (head)\n" {
			t.Errorf("current: %q", got)
		}
		if got := s.ok("migrate", "upgrade"); !strings.Contains(got, "nothing to apply") {
			t.Errorf("to the head again: %s", got)
		}
		again, r := answer[map[string]any](s, "migrate", "upgrade")
		if _, number := again["took_seconds"].(float64); !number || again["to"] != migrations.Latest() || again["took"] != nil {
			t.Errorf("as one document: %s", r.stdout)
		}
		if r := s.run("migrate", "upgrade", "20260220_0001"); r.code != exitUsage {
			t.Errorf("upgrade to an older revision: exit %d\n%s", r.code, r.stderr)
		}
	})
}
