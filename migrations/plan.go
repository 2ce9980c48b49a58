package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"strings"

	migrate "github.com/rubenv/sql-migrate"

	"github.com/safebox/safebox/storage"
)

const (
	recordsTable  = "gorp_migrations" // sql-migrate's own name for it
	checksumTable = "safebox_migration_checksum"
	alembicTable  = "alembic_version"
)

// facts is everything about the database that decides what to do.
type facts struct {
	catalogue catalogue
	versions  []string          // rows of alembic_version
	records   []string          // files that sql-migrate has recorded, in order
	checksums map[string]string // of files, when they were applied
}

// inspect reads the facts and writes nothing.
func inspect(ctx context.Context, db *sql.DB, d storage.Dialect) (facts, error) {
	f := facts{checksums: map[string]string{}}
	var err error
	if f.catalogue, err = readCatalogue(ctx, db, d); err != nil {
		return f, err
	}
	if _, ok := f.catalogue[alembicTable]; ok {
		if f.versions, err = readStrings(ctx, db, "SELECT version_num FROM alembic_version ORDER BY version_num"); err != nil {
			return f, fmt.Errorf("read alembic_version: %w", err)
		}
	}
	if _, ok := f.catalogue[recordsTable]; ok {
		records, err := migrate.MigrationSet{DisableCreateTable: true}.GetMigrationRecords(db, engine(d))
		if err != nil {
			return f, fmt.Errorf("read %s: %w", recordsTable, err)
		}
		for _, r := range records {
			f.records = append(f.records, r.Id)
		}
		sort.Strings(f.records)
	}
	if _, ok := f.catalogue[checksumTable]; ok {
		pairs, err := readStrings(ctx, db, "SELECT id || ' ' || sha256 FROM safebox_migration_checksum ORDER BY id")
		if err != nil {
			return f, fmt.Errorf("read %s: %w", checksumTable, err)
		}
		for _, pair := range pairs {
			id, sum, _ := strings.Cut(pair, " ")
			f.checksums[id] = sum
		}
	}
	return f, nil
}

// engine is sql-migrate's name for a dialect.
func engine(d storage.Dialect) string {
	if d == storage.SQLite {
		return "sqlite3"
	}
	return "postgres"
}

// readStrings reads a statement's only column.
func readStrings(ctx context.Context, db *sql.DB, query string) ([]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// plan is what to do with a database. Places are indexes into the set's revisions; -1 stands before the first.
type plan struct {
	applied int        // newest revision that the database has, adopted ones included
	adopted string     // the revision at which the database is adopted; "" when it is not
	record  []Revision // to be recorded as applied: sql-migrate knows nothing of them yet
	trust   []Revision // applied ones without a checksum: it is recorded
	version string     // what alembic_version must say before the first migration; "" when it says so already
}

// plan decides. It refuses every database whose state it cannot explain.
func (s *set) plan(f facts) (plan, error) {
	recorded, err := s.recorded(f)
	if err != nil {
		return plan{}, err
	}
	stated, err := s.stated(f)
	if err != nil {
		return plan{}, err
	}
	p := plan{applied: recorded}
	expected := s.index(s.alembicOf(recorded))
	switch {
	case recorded < 0 && stated < 0:
		if place, differences := s.best(f.catalogue); place >= 0 {
			return plan{}, &UnstampedError{s.revisions[place].ID, differences}
		}
	case stated > expected:
		// Alembic went further than sql-migrate's records, or made the database: adopt what it made.
		if found := s.compare(f.catalogue, stated); !adoptable(found) {
			return plan{}, &MismatchError{s.revisions[stated].ID, alembicTable, found}
		}
		p.applied, p.adopted = stated, s.revisions[stated].ID
		p.record = s.revisions[recorded+1 : stated+1]
	case stated < expected:
		// alembic_version lags behind the records: they are the truth if the tables agree with them.
		if found := s.compare(f.catalogue, recorded); !adoptable(found) {
			return plan{}, &MismatchError{s.revisions[recorded].ID, recordsTable, found}
		}
		p.version = s.alembicOf(recorded)
	}
	for _, r := range s.revisions[:p.applied+1] {
		if _, ok := f.checksums[r.File]; !ok {
			p.trust = append(p.trust, r)
		}
	}
	return p, nil
}

// recorded is the place of the newest revision in sql-migrate's records, which must be an unbroken, unchanged prefix
// of the revisions.
func (s *set) recorded(f facts) (int, error) {
	has := map[int]bool{}
	newest := -1
	for _, file := range f.records {
		place := s.file(file)
		if place < 0 {
			return 0, &PlanError{
				Problem: fmt.Sprintf("%s records the migration %s, which this build does not know", recordsTable, file),
				Do:      "A newer build applied it: run that build or a newer one.",
			}
		}
		has[place] = true
		newest = max(newest, place)
	}
	for place, r := range s.revisions[:newest+1] {
		if !has[place] {
			return 0, &PlanError{
				Problem: fmt.Sprintf("%s has a hole: %s is applied, but %s before it is not", recordsTable, s.revisions[newest].File, r.File),
				Do:      "Restore the database from a backup, or put the missing record back if its tables are really there.",
			}
		}
		if sum, ok := f.checksums[r.File]; ok && sum != r.SHA256 {
			return 0, &PlanError{
				Problem: fmt.Sprintf("the migration %s has changed since it was applied: its sha256 was %.12s… and is %.12s…", r.File, sum, r.SHA256),
				Do: fmt.Sprintf("Run a build that has the file as it was applied; if both make the same tables, delete its row from %s and start again.",
					checksumTable),
			}
		}
	}
	return newest, nil
}

// stated is the place of the revision that alembic_version names, -1 when it names none.
func (s *set) stated(f facts) (int, error) {
	switch len(f.versions) {
	case 0:
		return -1, nil
	case 1:
	default:
		return 0, &PlanError{
			Problem: fmt.Sprintf("alembic_version has %d rows (%s) where one is expected", len(f.versions), strings.Join(f.versions, ", ")),
			Do:      "Leave the one row of the revision that the tables are at: `alembic heads` and `alembic merge` tell about branches.",
		}
	}
	place := s.index(f.versions[0])
	if place < 0 || place > s.index(LatestAlembic) {
		return 0, &PlanError{
			Problem: fmt.Sprintf("alembic_version names %q, which is none of the revisions that Alembic and this build share (%s)",
				f.versions[0], strings.Join(ids(s.revisions[:s.index(LatestAlembic)+1]), ", ")),
			Do: "Run a build that knows the revision, or downgrade with Alembic to one of these.",
		}
	}
	return place, nil
}

// sqlState is the SQLSTATE of a failed statement, "" where there is none.
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}
