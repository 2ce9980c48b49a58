package migrations

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/safebox/safebox/storage"
)

// Beside each revision's file stands its golden catalogue: what the revisions up to it make of an empty database,
// without the tables of the bookkeeping.
//
//go:embed postgresql/*.json sqlite/*.json
var embeddedGoldens embed.FS

// goldens is the golden catalogues of each dialect by revision. One that cannot be read is a bug of the build.
var goldens = sync.OnceValue(func() map[storage.Dialect]map[string]catalogue {
	all := map[storage.Dialect]map[string]catalogue{}
	for _, d := range []storage.Dialect{storage.PostgreSQL, storage.SQLite} {
		found, err := readGoldens(embeddedGoldens, d)
		if err != nil {
			panic(fmt.Sprintf("migrations: %s: %v", d, err))
		}
		all[d] = found
	}
	return all
})

func readGoldens(fsys fs.FS, d storage.Dialect) (map[string]catalogue, error) {
	files, err := fs.Glob(fsys, path.Join(string(d), "*.json"))
	if err != nil {
		return nil, err
	}
	all := map[string]catalogue{}
	for _, file := range files {
		content, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		var c catalogue
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all[revisionOf(strings.TrimSuffix(path.Base(file), ".json"))] = c
	}
	return all, nil
}

// golden is what a database at this place has; nothing before the first revision. It is false for a revision that has
// no golden catalogue.
func (s *set) golden(place int) (catalogue, bool) {
	if place < 0 {
		return catalogue{}, true
	}
	c, ok := goldens()[s.dialect][s.revisions[place].ID]
	return c, ok
}

// tables names the tables that any revision makes, in order.
func (s *set) tables() []string {
	var names []string
	for place := range s.revisions {
		c, _ := s.golden(place)
		for name := range c {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// present lists the tables of any revision that the catalogue has, in order.
func (s *set) present(c catalogue) []string {
	return slices.DeleteFunc(s.tables(), func(name string) bool {
		_, ok := c[name]
		return !ok
	})
}

// bookkeeping tells whether a table is kept about the schema or its initialisation, and so no part of any revision.
func bookkeeping(table string) bool {
	return table == alembicTable || table == recordsTable || table == "safebox_init" || strings.HasPrefix(table, "safebox_migration_")
}
