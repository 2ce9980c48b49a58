package migrations

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/safebox/safebox/storage"
)

const (
	// family is two tables, the second of which refers to the first and would lose its rows with it.
	family = `CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'ann'), (2, 'bob');
INSERT INTO child VALUES (10, 1), (20, 2), (21, 2);`

	rebuild = `-- +migrate Up
SELECT boundary('begun');
CREATE TABLE parent_new (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL);
SELECT boundary('made');
INSERT INTO parent_new SELECT id, name FROM parent;
SELECT boundary('filled');
DROP TABLE parent;
SELECT boundary('dropped');
ALTER TABLE parent_new RENAME TO parent;
SELECT boundary('renamed');
-- +migrate Down
CREATE TABLE parent_old (id INTEGER PRIMARY KEY, name VARCHAR);
INSERT INTO parent_old SELECT id, name FROM parent;
DROP TABLE parent;
ALTER TABLE parent_old RENAME TO parent;
`
)

// Invariants 8 and 9: a death in the midst of a rebuild leaves the old table whole, and the next run completes it.
func TestADeathInARebuildLeavesTheOldTableWhole(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "safebox.db")
	look := openLite(t, file)
	exec(t, look, family)
	whole := func(notNull string) {
		t.Helper()
		for question, want := range map[string][]string{
			`SELECT "notnull" FROM pragma_table_info('parent') WHERE name = 'name'`:       {notNull},
			"SELECT id, name FROM parent ORDER BY id":                                     {"1 | ann", "2 | bob"},
			"SELECT id, parent FROM child ORDER BY id":                                    {"10 | 1", "20 | 2", "21 | 2"},
			`SELECT "table", on_delete FROM pragma_foreign_key_list('child')`:             {"parent | CASCADE"},
			"SELECT name FROM sqlite_master WHERE name LIKE 'parent%' AND type = 'table'": {"parent"},
			"SELECT count(*) FROM pragma_foreign_key_check":                               {"0"},
		} {
			if got := query(t, look, question); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", question, got, want)
			}
		}
	}
	for _, at := range []string{"begun", "made", "filled", "dropped", "renamed"} {
		if !kill(t, file, rebuild, at, false) {
			t.Fatalf("%q was never reached", at)
		}
		whole("0")
		if got := one(t, look, "SELECT count(*) FROM gorp_migrations"); got != "0" {
			t.Errorf("%q: %s revisions are recorded", at, got)
		}
	}
	if kill(t, file, rebuild, "none", false) {
		t.Fatal("not at its end")
	}
	whole("1")
	if got := one(t, look, "SELECT count(*) FROM gorp_migrations"); got != "1" {
		t.Errorf("%s revisions are recorded", got)
	}
	if kill(t, file, rebuild, "none", true) {
		t.Fatal("not at its end")
	}
	whole("0")
}

func TestARevisionThatLosesReferencesIsRolledBack(t *testing.T) {
	t.Parallel()
	ctx, db := context.Background(), openLite(t, filepath.Join(t.TempDir(), "safebox.db"))
	exec(t, db, family)
	exec(t, db, "PRAGMA foreign_keys = off")
	exec(t, db, "INSERT INTO child VALUES (90, 9)") // was dangling before: not the revision's doing
	exec(t, db, "PRAGMA foreign_keys = on")
	lossy := strings.ReplaceAll(rebuild, "SELECT id, name FROM parent;", "SELECT id, name FROM parent WHERE id = 1;")
	lossy = withoutBoundaries(lossy)
	_, err := on(t, db, revisions(t, storage.SQLite, map[string]string{victimName: lossy})).apply(ctx, -1, 0)
	var step *StepError
	if !errors.As(err, &step) {
		t.Fatalf("error %v", err)
	}
	for _, says := range []string{"20270101_0001 failed and was rolled back", "2 references of child to parent", "correct the revision's statements"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q is not in: %v", says, err)
		}
	}
	if got := query(t, db, "SELECT name FROM parent ORDER BY id"); !slices.Equal(got, []string{"ann", "bob"}) {
		t.Errorf("rows %q", got)
	}
	if got := one(t, db, "PRAGMA foreign_keys"); got != "1" {
		t.Error("foreign keys are no longer enforced")
	}

	kept := revisions(t, storage.SQLite, map[string]string{victimName: withoutBoundaries(rebuild)})
	if _, err := on(t, db, kept).apply(ctx, -1, 0); err != nil {
		t.Fatal(err)
	}
	if got := query(t, db, "SELECT id FROM child ORDER BY id"); !slices.Equal(got, []string{"10", "20", "21", "90"}) {
		t.Errorf("children %q", got)
	}
	if got := one(t, db, "PRAGMA foreign_keys"); got != "1" {
		t.Error("foreign keys are no longer enforced")
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO child VALUES (91, 9)"); err == nil {
		t.Error("a child without a parent is taken")
	}
}

func withoutBoundaries(revision string) string {
	kept := slices.DeleteFunc(strings.Split(revision, "\n"), func(line string) bool { return strings.Contains(line, "boundary(") })
	return strings.Join(kept, "\n")
}
