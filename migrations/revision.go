package migrations

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	migrate "github.com/rubenv/sql-migrate"

	"github.com/safebox/safebox/storage"
)

const (
	// LatestAlembic is the newest revision that Alembic knows.
	LatestAlembic = "20260416_0003"
	// OldestCompatible is the oldest revision whose programs may still work with the newest schema.
	OldestCompatible = "20261123_0004"
)

//go:embed postgresql/*.sql sqlite/*.sql
var embedded embed.FS

// A Revision is one step of the schema. Its ID, "20260220_0001", is what people and Alembic call it; its File is what
// sql-migrate records.
type Revision struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	File   string `json:"file"`
	SHA256 string `json:"sha256"` // of the file
}

// Latest is the newest revision that this build knows, the same for every dialect.
func Latest() string {
	r := known()[storage.PostgreSQL]
	return r[len(r)-1].ID
}

// Revisions lists the revisions of a dialect, oldest first; none for an unknown dialect.
func Revisions(d storage.Dialect) []Revision { return slices.Clone(known()[d]) }

// known lists the revisions of each dialect. It is all that a process needs to know of them which finds the database ready.
var known = sync.OnceValue(func() map[storage.Dialect][]Revision {
	all := map[storage.Dialect][]Revision{}
	for _, d := range []storage.Dialect{storage.PostgreSQL, storage.SQLite} {
		found, err := list(embedded, d)
		if err != nil {
			panic(broken(d, err))
		}
		all[d] = found
	}
	return all
})

// broken is what a panic says of an embedded file that is a bug of the build.
func broken(d storage.Dialect, err error) string { return fmt.Sprintf("migrations: %s: %v", d, err) }

// set is the revisions of one dialect with their parsed statements, in the same order.
type set struct {
	dialect    storage.Dialect
	revisions  []Revision
	migrations []*migrate.Migration
	ways       []ways
}

// sets are the revisions of each dialect, whose embedded files are parsed once, when they are first asked for. A file that
// cannot be parsed is a bug of the build, hence the panic.
var sets = map[storage.Dialect]func() *set{
	storage.PostgreSQL: sync.OnceValue(func() *set { return mustLoad(storage.PostgreSQL) }),
	storage.SQLite:     sync.OnceValue(func() *set { return mustLoad(storage.SQLite) }),
}

func mustLoad(d storage.Dialect) *set {
	s, err := load(embedded, d)
	if err != nil {
		panic(broken(d, err))
	}
	return s
}

// list reads the revisions in a dialect's folder, in the order of their names.
func list(fsys fs.FS, d storage.Dialect) ([]Revision, error) {
	names, err := fs.Glob(fsys, path.Join(string(d), "*.sql"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var found []Revision
	for _, name := range names {
		content, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		file := path.Base(name)
		id := revisionOf(file)
		short, ok := strings.CutPrefix(strings.TrimSuffix(file, ".sql"), id+"_")
		if !ok {
			return nil, fmt.Errorf("%s: a file is named <date>_<number>_<name>.sql", file)
		}
		sum := sha256.Sum256(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")))
		found = append(found, Revision{ID: id, Name: short, File: file, SHA256: hex.EncodeToString(sum[:])})
	}
	return found, nil
}

// load parses the revisions that list finds.
func load(fsys fs.FS, d storage.Dialect) (*set, error) {
	found, err := list(fsys, d)
	if err != nil {
		return nil, err
	}
	s := &set{dialect: d, revisions: found}
	for place, r := range found {
		content, err := fs.ReadFile(fsys, path.Join(string(d), r.File))
		if err != nil {
			return nil, err
		}
		m, err := migrate.ParseMigration(r.File, bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		s.migrations, s.ways = append(s.migrations, m), append(s.ways, waysOf(m))
		for _, up := range []bool{true, false} {
			if st := s.lone(place, up); st != "" && s.steps(place, up) == nil {
				return nil, fmt.Errorf("%s: %.60q cannot run in a transaction: mark the way %s with notransaction", r.File, st, direction(up))
			}
		}
	}
	return s, nil
}

// lone is the first statement of a revision that cannot run in a transaction, "" for none.
func (s *set) lone(place int, up bool) string {
	for _, st := range s.own(place, up) {
		if st.Outside {
			return st.SQL
		}
	}
	return ""
}

// revisionOf is the revision that a file name stands for: its first two parts.
func revisionOf(file string) string {
	parts := strings.SplitN(strings.TrimSuffix(file, ".sql"), "_", 3)
	return strings.Join(parts[:min(len(parts), 2)], "_")
}

// index is the place of a revision ID among the revisions, -1 for one that is unknown.
func (s *set) index(id string) int {
	for i, r := range s.revisions {
		if r.ID == id {
			return i
		}
	}
	return -1
}

// file is the place of a file name among the revisions, -1 for one that is unknown.
func (s *set) file(name string) int {
	for i, r := range s.revisions {
		if r.File == name {
			return i
		}
	}
	return -1
}

// ids names revisions for people.
func ids(revisions []Revision) []string {
	names := make([]string, len(revisions))
	for i, r := range revisions {
		names[i] = r.ID
	}
	return names
}

// alembicOf is what alembic_version says when the revision at this place is the newest applied: the newest of those
// that Alembic knows; "" for none.
func (s *set) alembicOf(place int) string {
	for ; place >= 0; place-- {
		if id := s.revisions[place].ID; id <= LatestAlembic {
			return id
		}
	}
	return ""
}

// Digest names everything that Prepare sets out to make: the migrations of the dialect, the guards, the currencies of
// the seed and those that must be supported. Two builds with one digest do the same work. It is 64 hexadecimal digits.
func Digest(d storage.Dialect, seed Seed, supported []string) string {
	h := sha256.New()
	put := func(kind string, values ...string) {
		fmt.Fprintf(h, "%s %q\n", kind, values)
	}
	put("dialect", string(d))
	for _, r := range Revisions(d) {
		put("revision", r.File, r.SHA256)
	}
	for _, g := range guards {
		put("guard", g.column, g.create(d))
	}
	for _, c := range seed.orBuiltIn().sorted() {
		put("currency", c.fields()...)
	}
	for _, code := range supportedOrDefault(supported) {
		put("supported", code)
	}
	return hex.EncodeToString(h.Sum(nil))
}
