package migrations

import (
	"context"
	"database/sql"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
)

// revisions makes a set of a test's own: files by name, each with its content.
func revisions(t *testing.T, d storage.Dialect, files map[string]string) *set {
	t.Helper()
	s, err := loadFiles(d, files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func loadFiles(d storage.Dialect, files map[string]string) (*set, error) {
	fsys := fstest.MapFS{}
	for name, content := range files {
		fsys[string(d)+"/"+name] = &fstest.MapFile{Data: []byte(content)}
	}
	return load(fsys, d)
}

func TestLoadRefusesAFileThatIsNoRevision(t *testing.T) {
	for name, content := range map[string]string{
		"baseline.sql":               "-- +migrate Up\nSELECT 1;\n",
		"20270101_0001_broken.sql":   "SELECT 1;\n",
		"20270101_0001_unclosed.sql": "-- +migrate Up\nSELECT 1\n",
	} {
		if _, err := load(fstest.MapFS{"sqlite/" + name: {Data: []byte(content)}}, storage.SQLite); err == nil {
			t.Errorf("%s with %q is loaded", name, content)
		}
	}
}

// A script that runs the statements ends where the command ends, books included.
func TestStatementsDoAllThatARunDoes(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		ctx, byCommand, byHand := context.Background(), open(), place(t, d)()
		j, err := newJob(byHand, options(d))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.keepBooks(ctx, nil); err != nil {
			t.Fatal(err)
		}
		last := len(j.set.revisions) - 1
		for place := range j.set.revisions {
			for _, s := range j.set.statements(place, true, time.Now()) {
				exec(t, byHand, s.SQL)
			}
		}
		if _, err := Upgrade(ctx, byCommand, options(d), "head"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(describe(t, byCommand, d), describe(t, byHand, d)); diff != "" {
			t.Errorf("-command +statements:\n%s", diff)
		}
		for _, books := range []string{
			"SELECT id FROM gorp_migrations ORDER BY id", "SELECT id, sha256 FROM safebox_migration_checksum ORDER BY id",
			"SELECT version_num FROM alembic_version",
		} {
			if diff := cmp.Diff(query(t, byCommand, books), query(t, byHand, books)); diff != "" {
				t.Errorf("%s:\n-command +statements:\n%s", books, diff)
			}
		}
		for _, s := range j.set.statements(last, false, time.Now()) {
			exec(t, byHand, s.SQL)
		}
		state, err := Current(ctx, byHand, d)
		if err != nil || state.Revision != j.id(last-1) || !slices.Equal(state.Pending, []string{j.id(last)}) {
			t.Errorf("one revision down by its statements: %+v, %v", state, err)
		}
	})
}
