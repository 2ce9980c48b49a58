package migrations

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
)

const fourth = "npub1g3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zqysvy7t"

// dropUnique takes the guards' indexes away, as an operator might have.
func dropUnique(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, g := range guards {
		exec(t, db, "DROP INDEX uq_registeredsafebox_"+g.column)
	}
}

func insertWallet(t *testing.T, db *sql.DB, id, npub, handle, accessKey string) {
	t.Helper()
	exec(t, db, "INSERT INTO registeredsafebox (id, npub, handle, home_relay, onboard_code, access_key, balance) VALUES ("+
		id+", '"+npub+"', '"+handle+"', 'wss://relay.example.org', 'x', "+accessKey+", 5)")
}

// Invariants 1 and 5.
func TestTwoWalletsWithOneHandleEndTheRunWithNothingChanged(t *testing.T) {
	for _, revision := range []string{"20260220_0001", "20260310_0002", "20260416_0003"} {
		t.Run(revision, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, db := context.Background(), open()
				alembic(t, db, d, revision)
				dropUnique(t, db)
				insertWallet(t, db, "9", fourth, "fern-lynx-20", "NULL")
				schema, rows := describe(t, db, d), contents(t, db, d)

				_, err := Prepare(ctx, db, options(d))
				var bad *GuardError
				if !errors.As(err, &bad) || bad.ExitCode() != 65 {
					t.Fatalf("error %v", err)
				}
				want := []Violation{{Guard: "registeredsafebox.handle", Value: "fern-lynx-20", Count: 2, IDs: []int64{2, 9}}}
				if diff := cmp.Diff(want, bad.Violations); diff != "" {
					t.Error(diff)
				}
				if !strings.Contains(err.Error(), `"fern-lynx-20": 2 rows, ids 2, 9`) {
					t.Errorf("error %v", err)
				}
				unchanged(t, db, d, schema, rows)
				found, err := Guard(ctx, db, d)
				if diff := cmp.Diff(want, found); diff != "" || err != nil {
					t.Error(diff, err)
				}

				exec(t, db, "UPDATE registeredsafebox SET handle = 'birch-owl-90' WHERE id = 9")
				r, err := Prepare(ctx, db, options(d))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"uq_registeredsafebox_npub", "uq_registeredsafebox_handle", "uq_registeredsafebox_access_key"}, r.Indexes); diff != "" {
					t.Error(diff)
				}
				if found, err := Guard(ctx, db, d); err != nil || len(found) > 0 {
					t.Error(found, err)
				}
				fails(t, db, "UPDATE registeredsafebox SET handle = 'fern-lynx-20' WHERE id = 9")
			})
		})
	}
}

func fails(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), statement); err == nil {
		t.Errorf("%s succeeds", statement)
	}
}

func TestAGuardFindsWhatIsSharedAndNeverShowsAnAccessKey(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, db := context.Background(), open()
		if _, err := Prepare(ctx, db, options(d)); err != nil {
			t.Fatal(err)
		}
		dropUnique(t, db)
		insertWallet(t, db, "1", fourth, "a", "'correct-horse-battery'")
		insertWallet(t, db, "2", fourth, "b", "'correct-horse-battery'")
		insertWallet(t, db, "3", fourth, "c", "'short'")
		insertWallet(t, db, "4", "npub1other", "d", "'short'")
		insertWallet(t, db, "5", "npub1third", "e", "NULL")
		insertWallet(t, db, "6", "npub1fourth", "f", "NULL")
		want := []Violation{
			{Guard: "registeredsafebox.npub", Value: fourth, Count: 3, IDs: []int64{1, 2, 3}},
			{Guard: "registeredsafebox.access_key", Value: "co…y", Count: 2, IDs: []int64{1, 2}},
			{Guard: "registeredsafebox.access_key", Value: "***", Count: 2, IDs: []int64{3, 4}},
		}
		found, err := Guard(ctx, db, d)
		if diff := cmp.Diff(want, found); diff != "" || err != nil {
			t.Error(diff, err)
		}
		_, err = Prepare(ctx, db, options(d))
		var bad *GuardError
		if !errors.As(err, &bad) || strings.Contains(err.Error(), "correct-horse") || strings.Contains(err.Error(), "short") {
			t.Errorf("error %v", err)
		}
	})
}

func TestAnyRightUniqueIndexSatisfiesAGuard(t *testing.T) {
	cases := []struct {
		name, index string
		satisfied   bool
	}{
		{"the guard's own index", "CREATE UNIQUE INDEX uq_registeredsafebox_access_key ON registeredsafebox (access_key) WHERE access_key IS NOT NULL", true},
		{"a full one of another name", "CREATE UNIQUE INDEX ix_registeredsafebox_access_key ON registeredsafebox (access_key)", true},
		{"a partial one written otherwise", `CREATE UNIQUE INDEX other ON registeredsafebox ("access_key") where ("access_key"  is not null)`, true},
		{"one that is not unique", "CREATE INDEX other ON registeredsafebox (access_key)", false},
		{"one on more columns", "CREATE UNIQUE INDEX other ON registeredsafebox (access_key, handle)", false},
		{"one on an expression", "CREATE UNIQUE INDEX other ON registeredsafebox (lower(access_key))", false},
		{"one that is partial by something else", "CREATE UNIQUE INDEX other ON registeredsafebox (access_key) WHERE id > 0", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
				ctx, db := context.Background(), open()
				if _, err := Upgrade(ctx, db, options(d), "20260416_0003"); err != nil {
					t.Fatal(err)
				}
				exec(t, db, "DROP INDEX uq_registeredsafebox_access_key")
				exec(t, db, "DROP INDEX ix_registeredsafebox_access_key")
				exec(t, db, c.index)
				r, err := Prepare(ctx, db, options(d))
				if err != nil {
					t.Fatal(err)
				}
				if built := slices.Contains(r.Indexes, "uq_registeredsafebox_access_key"); built == c.satisfied {
					t.Errorf("indexes built: %q", r.Indexes)
				}
			})
		})
	}
}

func TestAnIndexOfTheGuardsNameThatIsNotUniqueIsRefusedNotDropped(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		db := open()
		if _, err := Prepare(context.Background(), db, options(d)); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "DROP INDEX uq_registeredsafebox_handle")
		exec(t, db, "CREATE INDEX uq_registeredsafebox_handle ON registeredsafebox (handle, balance)")
		schema, rows := describe(t, db, d), contents(t, db, d)
		_, err := Prepare(context.Background(), db, options(d))
		var refusal *PlanError
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "uq_registeredsafebox_handle") {
			t.Errorf("error %v", err)
		}
		if diff := cmp.Diff(schema, describe(t, db, d)) + cmp.Diff(rows, contents(t, db, d)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnIndexLeftInvalidIsReplaced(t *testing.T) {
	ctx, db := context.Background(), place(t, storage.PostgreSQL)()
	if _, err := Prepare(ctx, db, options(storage.PostgreSQL)); err != nil {
		t.Fatal(err)
	}
	dropUnique(t, db)
	insertWallet(t, db, "2", "npub1other", "fern-lynx-20", "NULL")
	insertWallet(t, db, "9", fourth, "fern-lynx-20", "NULL")
	fails(t, db, guards[1].create(storage.PostgreSQL))
	exec(t, db, "DELETE FROM registeredsafebox WHERE id = 9")
	valid := "SELECT indisvalid FROM pg_index WHERE indexrelid = 'uq_registeredsafebox_handle'::regclass"
	if got := one(t, db, valid); got != "false" {
		t.Fatalf("the failed build left an index that is valid: %s", got)
	}
	r, err := Prepare(ctx, db, options(storage.PostgreSQL))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(r.Indexes, "uq_registeredsafebox_handle") || one(t, db, valid) != "true" {
		t.Errorf("%+v", r)
	}
	if got := one(t, db, "SHOW lock_timeout"); got != "0" {
		t.Errorf("lock_timeout is left at %s", got)
	}
}

// The Python program goes on writing while the index is built: what it adds after the search is found all the same.
func TestADuplicateThatArrivesAfterTheSearchIsStillFound(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		db, python := open(), open()
		alembic(t, db, d, "20260416_0003")
		dropUnique(t, db)
		o := options(d)
		o.Progress = func(activity string) {
			if activity == "building the unique index uq_registeredsafebox_handle" {
				insertWallet(t, python, "9", fourth, "fern-lynx-20", "NULL")
			}
		}
		_, err := Prepare(context.Background(), db, o)
		var bad *GuardError
		if !errors.As(err, &bad) || len(bad.Violations) != 1 || !strings.Contains(err.Error(), "the schema is at 20261123_0004") {
			t.Fatalf("error %v", err)
		}
		c, err := readCatalogue(context.Background(), db, d)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c[guardedTable].Indexes["uq_registeredsafebox_handle"]; ok {
			t.Error("the failed build left its index")
		}
	})
}

func TestALongListOfViolationsIsCut(t *testing.T) {
	all := make([]Violation, 60)
	for i := range all {
		all[i] = Violation{Guard: "registeredsafebox.npub", Value: "x", Count: 100, IDs: make([]int64, 100)}
	}
	text := (&GuardError{Violations: all}).Error()
	if !strings.Contains(text, "and 10 more") || !strings.Contains(text, "and 50 more") || strings.Count(text, "\n") > 55 {
		t.Error(text)
	}
}
