package migrations

import (
	"context"
	"database/sql"
	"os"
	osexec "os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/storage"
)

// These tests run Alembic itself, on the project in testdata/alembic.

// realAlembic runs a test on an empty database of each dialect; run is Alembic with that database, and gives what it prints.
func realAlembic(t *testing.T, test func(t *testing.T, d storage.Dialect, open func() *sql.DB, run func(args ...string) string)) {
	t.Helper()
	for _, d := range []storage.Dialect{storage.PostgreSQL, storage.SQLite} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			name, open := named(t, d)
			url := "sqlite:///" + name
			if d == storage.PostgreSQL {
				_, rest, _ := strings.Cut(name, "://")
				url = "postgresql+psycopg2://" + rest
			}
			test(t, d, open, func(args ...string) string {
				t.Helper()
				command := osexec.CommandContext(t.Context(), "alembic", append([]string{"-c", "testdata/alembic/alembic.ini"}, args...)...)
				command.Env = append(os.Environ(), "DATABASE="+url, "PYTHONDONTWRITEBYTECODE=1")
				var problem strings.Builder
				command.Stderr = &problem
				out, err := command.Output()
				if err != nil {
					t.Fatalf("alembic %q (.ci/need alembic installs it): %v\n%s", args, err, problem.String())
				}
				return strings.TrimSpace(string(out))
			})
		})
	}
}

// Invariant 4: what is expected of a database of Alembic's is what Alembic makes.
func TestAlembicMakesTheGoldenCatalogues(t *testing.T) {
	realAlembic(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB, run func(...string) string) {
		db, s := open(), sets[d]()
		for place := range s.index(LatestAlembic) + 1 {
			run("upgrade", "+1")
			golden, ok := s.golden(place)
			if diff := cmp.Diff(golden, revisionTables(t, db, d), cmpopts.EquateEmpty()); diff != "" || !ok {
				t.Errorf("%s: -golden +Alembic:\n%s", s.id(place), diff)
			}
			if got := one(t, db, "SELECT version_num FROM alembic_version"); got != s.id(place) {
				t.Errorf("Alembic calls %s %s", s.id(place), got)
			}
		}
		r, err := Prepare(context.Background(), db, options(d))
		if err != nil || r.Adopted != LatestAlembic || !r.Head {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Invariant 3.
func TestAlembicFindsNothingToDoAfterAnUpgradeOfOurs(t *testing.T) {
	realAlembic(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB, run func(...string) string) {
		db := open()
		if _, err := Prepare(context.Background(), db, options(d)); err != nil {
			t.Fatal(err)
		}
		insertWallet(t, db, "1", fourth, "maple-wren-10", "NULL")
		if got := run("current"); got != LatestAlembic+" (head)" {
			t.Errorf("alembic current says %q", got)
		}
		schema, rows := describe(t, db, d), contents(t, db, d)
		run("upgrade", "head")
		if diff := cmp.Diff(schema, describe(t, db, d)) + cmp.Diff(rows, contents(t, db, d)); diff != "" {
			t.Errorf("alembic upgrade head changed:\n%s", diff)
		}
	})
}

func TestAlembicGoingOnBesideUsIsFollowed(t *testing.T) {
	realAlembic(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB, run func(...string) string) {
		ctx, db := context.Background(), open()
		if _, err := Upgrade(ctx, db, options(d), "20260220_0001"); err != nil {
			t.Fatal(err)
		}
		run("upgrade", "20260310_0002")
		if s, err := Current(ctx, db, d); err != nil || s.Revision != "20260310_0002" || s.Problem != "" {
			t.Errorf("%+v, %v", s, err)
		}
		r, err := Upgrade(ctx, db, options(d), "20260310_0002")
		if err != nil || r.Adopted != "20260310_0002" || len(r.Applied) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		run("upgrade", "head")
		r, err = Prepare(ctx, db, options(d))
		if err != nil || r.Adopted != LatestAlembic || !slices.Equal(r.Applied, []string{"20261123_0004"}) {
			t.Errorf("%+v, %v", r, err)
		}
		if found, err := Check(ctx, open(), CheckOptions{Dialect: d}); err != nil || !found.OK {
			t.Errorf("%+v, %v", found, err)
		}
	})
}

func TestAlembicGoingBackBesideUsIsFollowed(t *testing.T) {
	realAlembic(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB, run func(...string) string) {
		ctx, db := context.Background(), open()
		if _, err := Upgrade(ctx, db, options(d), LatestAlembic); err != nil {
			t.Fatal(err)
		}
		insertWallet(t, db, "1", fourth, "maple-wren-10", "NULL")
		run("downgrade", "20260310_0002")
		if s, err := Current(ctx, db, d); err != nil || s.Revision != "20260310_0002" || s.Alembic != "20260310_0002" || s.Problem != "" {
			t.Errorf("%+v, %v", s, err)
		}
		r, err := Prepare(ctx, db, options(d))
		if err != nil || r.From != "20260310_0002" || !slices.Equal(r.Applied, []string{LatestAlembic, "20261123_0004"}) {
			t.Errorf("%+v, %v", r, err)
		}
		if got := one(t, db, "SELECT count(*) FROM registeredsafebox"); got != "1" {
			t.Errorf("%s wallets are left", got)
		}
		if found, err := Check(ctx, open(), CheckOptions{Dialect: d}); err != nil || !found.OK {
			t.Errorf("%+v, %v", found, err)
		}
	})
}
