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

// Invariant 4 needs it: our files make, name by name, what Alembic makes.
func TestRevisionsMakeTheSchemaOfAlembic(t *testing.T) {
	for _, revision := range []string{"20260220_0001", "20260310_0002", "20260416_0003"} {
		t.Run(revision, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ours, theirs := open(), place(t, d)()
				alembic(t, theirs, d, revision)
				r, err := Upgrade(context.Background(), ours, options(d), revision)
				if err != nil {
					t.Fatal(err)
				}
				if r.To != revision || r.Head {
					t.Errorf("report %+v", r)
				}
				if diff := cmp.Diff(describe(t, theirs, d), describe(t, ours, d)); diff != "" {
					t.Errorf("the schema differs from Alembic's (-Alembic +ours):\n%s", diff)
				}
				if got := one(t, ours, "SELECT version_num FROM alembic_version"); got != revision {
					t.Errorf("alembic_version says %s", got)
				}
			})
		})
	}
}

func TestUpDownUpGivesTheSameSchema(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		if _, err := Prepare(ctx, db, options(d)); err != nil {
			t.Fatal(err)
		}
		full := describe(t, db, d)
		o, revisions := options(d), Revisions(d)
		o.Yes = true
		for place := len(revisions) - 1; place >= 0; place-- {
			r := ""
			if place > 0 {
				r = revisions[place-1].ID
			}
			down, err := Downgrade(ctx, db, o, "-1")
			if err != nil || down.From != revisions[place].ID || down.To != r || !slices.Equal(down.Reverted, []string{revisions[place].ID}) || down.Head {
				t.Fatalf("one step down to %q: %+v, %v", r, down, err)
			}
			state, err := Current(ctx, db, d)
			if err != nil {
				t.Fatal(err)
			}
			if state.Revision != r || state.Alembic != r || state.Problem != "" {
				t.Errorf("one step down to %q: %+v", r, state)
			}
		}
		exec(t, db, "DROP TABLE alembic_version")
		if left := describe(t, db, d); len(left) > 0 {
			t.Errorf("the way down leaves %q", left)
		}
		if _, err := Prepare(ctx, db, options(d)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(full, describe(t, db, d)); diff != "" {
			t.Errorf("the second way up differs:\n%s", diff)
		}
	})
}

func TestRevisionsAreTheSameOnBothDialects(t *testing.T) {
	pg, lite := Revisions(storage.PostgreSQL), Revisions(storage.SQLite)
	if diff := cmp.Diff(ids(pg), ids(lite)); diff != "" {
		t.Error(diff)
	}
	if got := lite[len(lite)-1].ID; got != Latest() {
		t.Errorf("the newest revision is %s, Latest says %s", got, Latest())
	}
	for i, r := range pg {
		if r.File != lite[i].File || r.File != r.ID+"_"+r.Name+".sql" || len(r.SHA256) != 64 {
			t.Errorf("%+v", r)
		}
	}
	if Revisions("oracle") != nil {
		t.Error("an unknown dialect has revisions")
	}
}

func TestDigestChangesWithEverythingItCovers(t *testing.T) {
	base := Digest(storage.SQLite, Seed{}, nil)
	if len(base) != 64 || strings.Trim(base, "0123456789abcdef") != "" {
		t.Fatalf("digest %q", base)
	}
	rate := 2.5
	other := map[string]string{
		"dialect":   Digest(storage.PostgreSQL, Seed{}, nil),
		"supported": Digest(storage.SQLite, Seed{}, []string{"SAT"}),
		"seed":      Digest(storage.SQLite, Seed{Source: "x", Currencies: []Currency{{Code: "SAT"}}}, nil),
		"rate":      Digest(storage.SQLite, Seed{Source: "x", Currencies: []Currency{{Code: "SAT", Rate: &rate}}}, nil),
	}
	seen := map[string]string{base: "base"}
	for what, digest := range other {
		if twin, twice := seen[digest]; twice {
			t.Errorf("%s and %s have one digest", what, twin)
		}
		seen[digest] = what
	}
	builtIn, err := LoadSeed("")
	if err != nil {
		t.Fatal(err)
	}
	reversed := []string{"INR", "JPY", "GBP", "EUR", "USD", "CAD", "SAT"}
	if Digest(storage.SQLite, builtIn, reversed) != base {
		t.Error("the built-in seed and the default currencies in another order change the digest")
	}
}
