package migrations

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/storage"
)

var update = flag.Bool("update", false, "rewrite the golden catalogues from what the revisions make")

// revisionTables reads the catalogue without the tables of the bookkeeping, as a golden catalogue has it.
func revisionTables(t *testing.T, db *sql.DB, d storage.Dialect) catalogue {
	t.Helper()
	c, err := readCatalogue(context.Background(), db, d)
	if err != nil {
		t.Fatal(err)
	}
	for name := range c {
		if bookkeeping(name) {
			delete(c, name)
		}
	}
	return c
}

// Invariant 4 needs it. With -update the files are made what the revisions make.
func TestGoldenCataloguesAreWhatTheRevisionsMake(t *testing.T) {
	onBoth(t, func(t *testing.T, d storage.Dialect, open func() *sql.DB) {
		db, s := open(), sets[d]()
		for place, r := range s.revisions {
			if _, err := Upgrade(context.Background(), db, options(d), "+1"); err != nil {
				t.Fatal(err)
			}
			c := revisionTables(t, db, d)
			if *update {
				writeGolden(t, filepath.Join(string(d), strings.TrimSuffix(r.File, ".sql")+".json"), c)
				continue
			}
			golden, ok := s.golden(place)
			if !ok {
				t.Fatalf("%s has no golden catalogue: run go test ./migrations -run Golden -update", r.ID)
			}
			if diff := cmp.Diff(golden, c, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s makes something else than its golden catalogue (-golden +made); after a change that is meant, "+
					"run go test ./migrations -run Golden -update:\n%s", r.ID, diff)
			}
			if found := s.compare(c, place); len(found) > 0 {
				t.Errorf("%s differs from itself: %v", r.ID, found)
			}
			if best, found := s.best(c); best != place || len(found) > 0 {
				t.Errorf("the best match of %s is %d, with %v", r.ID, best, found)
			}
		}
	})
}

var innermost = regexp.MustCompile(`\{[^{}]*\}|\[[^\[\]{}]*\]`)

// writeGolden writes a golden catalogue with one line for each column, index and constraint.
func writeGolden(t *testing.T, file string, c catalogue) {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(c); err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`\n *`)
	text := innermost.ReplaceAllFunc(b.Bytes(), func(part []byte) []byte { return lines.ReplaceAll(part, []byte(" ")) })
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEveryGoldenCatalogueBelongsToARevision(t *testing.T) {
	for d, all := range goldens() {
		if len(all) != len(Revisions(d)) {
			t.Errorf("%s has %d golden catalogues for %d revisions", d, len(all), len(Revisions(d)))
		}
		for id := range all {
			if sets[d]().index(id) < 0 {
				t.Errorf("the golden catalogue %s of %s belongs to no revision", id, d)
			}
		}
	}
}
