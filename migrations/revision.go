package migrations

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"sort"
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
	r := sets()[storage.PostgreSQL].revisions
	return r[len(r)-1].ID
}

// Revisions lists the revisions of a dialect, oldest first; none for an unknown dialect.
func Revisions(d storage.Dialect) []Revision {
	s, ok := sets()[d]
	if !ok {
		return nil
	}
	return append([]Revision(nil), s.revisions...)
}

// set is the revisions of one dialect with their parsed statements, in the same order.
type set struct {
	dialect    storage.Dialect
	revisions  []Revision
	migrations []*migrate.Migration
}

// sets parses the embedded files once. A file that cannot be parsed is a bug of the build, hence the panic.
var sets = sync.OnceValue(func() map[storage.Dialect]*set {
	all := map[storage.Dialect]*set{}
	for _, d := range []storage.Dialect{storage.PostgreSQL, storage.SQLite} {
		s, err := load(embedded, d)
		if err != nil {
			panic(fmt.Sprintf("migrations: %s: %v", d, err))
		}
		all[d] = s
	}
	return all
})

// load parses the revisions in a dialect's folder, in the order of their names.
func load(fsys fs.FS, d storage.Dialect) (*set, error) {
	names, err := fs.Glob(fsys, path.Join(string(d), "*.sql"))
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	s := &set{dialect: d}
	for _, name := range names {
		content, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		file := path.Base(name)
		m, err := migrate.ParseMigration(file, bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		id := revisionOf(file)
		short, ok := strings.CutPrefix(strings.TrimSuffix(file, ".sql"), id+"_")
		if !ok {
			return nil, fmt.Errorf("%s: a file is named <date>_<number>_<name>.sql", file)
		}
		sum := sha256.Sum256(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")))
		s.revisions = append(s.revisions, Revision{ID: id, Name: short, File: file, SHA256: hex.EncodeToString(sum[:])})
		s.migrations = append(s.migrations, m)
		for _, up := range []bool{true, false} {
			place := len(s.migrations) - 1
			if st := s.lone(place, up); st != "" && s.steps(place, up) == nil {
				return nil, fmt.Errorf("%s: %.60q cannot run in a transaction: mark the way %s with notransaction", file, st, direction(up))
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
