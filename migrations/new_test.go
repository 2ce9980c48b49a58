package migrations_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/migrations"
)

var christmas = time.Date(2027, 12, 25, 23, 30, 0, 0, time.FixedZone("west", -3600))

// folder makes a folder of migrations with these files for both dialects.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"postgresql", "sqlite"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			put(t, filepath.Join(dir, d, f))
		}
	}
	return dir
}

func put(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("-- +migrate Up\n-- +migrate Down\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNewLaysOutTheNextRevisionForBothDialects(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		want  string
	}{
		{"the first", nil, "20271226_0001_colour.sql"},
		{"the next", []string{"20260220_0001_baseline.sql", "20261123_0004_event_log.sql"}, "20271226_0005_colour.sql"},
		{"after one of the future", []string{"20290101_0041_later.sql"}, "20290101_0042_colour.sql"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, c.files...)
			got, err := migrations.New(dir, "colour", christmas)
			if err != nil {
				t.Fatal(err)
			}
			for i, d := range []string{"postgresql", "sqlite"} {
				path := filepath.Join(dir, d, c.want)
				if len(got) != 2 || got[i] != path {
					t.Fatalf("paths %q", got)
				}
				content, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				for _, part := range []string{d, "\n-- +migrate Up\n", "\n-- +migrate Down\n", "never edited again", "notransaction"} {
					if !strings.Contains(string(content), part) {
						t.Errorf("%s lacks %q:\n%s", path, part, content)
					}
				}
			}
			if next, err := migrations.New(dir, "colour", christmas); err != nil || next[0] <= got[0] {
				t.Errorf("the one after it: %q, %v", next, err)
			}
		})
	}
}

func TestARevisionThatCannotBeLaidOutIsRefusedAndNothingIsWritten(t *testing.T) {
	whole := folder(t, "20261123_0004_event_log.sql")
	half := folder(t)
	if err := os.Remove(filepath.Join(half, "sqlite")); err != nil {
		t.Fatal(err)
	}
	uneven := folder(t, "20261123_0004_event_log.sql")
	put(t, filepath.Join(uneven, "sqlite", "20270101_0005_more.sql"))
	odd := folder(t, "notes.sql")
	full := folder(t, "20261123_9999_last.sql")
	for _, c := range []struct{ dir, name, want, do string }{
		{whole, "", `"" is no name`, "lower-case letters"},
		{whole, "Add Colour", `"Add Colour" is no name`, "lower-case letters"},
		{whole, "../x", `"../x" is no name`, "lower-case letters"},
		{whole, "a__b", `"a__b" is no name`, "single underscores"},
		{whole, strings.Repeat("a", 61), "is no name", "up to 60"},
		{half, "colour", "there is no folder " + filepath.Join(half, "sqlite"), "migrations in a checkout"},
		{filepath.Join(whole, "nowhere"), "colour", "there is no folder", "migrations in a checkout"},
		{uneven, "colour", "postgresql has no others, sqlite has 20270101_0005_more.sql", "Write the missing files first"},
		{odd, "colour", "notes.sql is not named <date>_<number>_<name>.sql", "Rename it"},
		{full, "colour", "20261123_9999_last.sql is the last revision", "Squash"},
	} {
		before := files(t, c.dir)
		_, err := migrations.New(c.dir, c.name, christmas)
		var refused *migrations.NewError
		if !errors.As(err, &refused) || refused.ExitCode() != 64 || !strings.Contains(err.Error(), c.want) || !strings.Contains(refused.Do, c.do) {
			t.Errorf("%q in %s: %v\nwant %s", c.name, c.dir, err, c.want)
		}
		if after := files(t, c.dir); after != before {
			t.Errorf("%q in %s: files before %q, after %q", c.name, c.dir, before, after)
		}
	}
}

func files(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".sql") {
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}
