package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

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

	interrupted *interruption // the revision that was begun step by step and is not at its end
}

// inspect reads the facts and writes nothing.
func inspect(ctx context.Context, db *sql.DB, d storage.Dialect) (facts, error) {
	f := facts{checksums: map[string]string{}}
	var err error
	if f.catalogue, err = readCatalogue(ctx, db, d); err != nil {
		return f, err
	}
	if _, ok := f.catalogue[alembicTable]; ok {
		if f.versions, err = readStrings(ctx, db, "SELECT version_num FROM alembic_version"); err != nil {
			return f, fmt.Errorf("read alembic_version: %w", err)
		}
		sort.Strings(f.versions)
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
	if _, ok := f.catalogue[stepTable]; ok {
		steps, err := readSteps(ctx, db)
		if err != nil {
			return f, fmt.Errorf("read %s: %w", stepTable, err)
		}
		f.interrupted = interrupted(steps)
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
	applied   int          // newest revision that the database has, adopted ones included
	adopted   string       // the revision at which the database is adopted; "" when it is not
	forgotten []string     // revisions that the records name and Alembic took back
	harmless  []Difference // of the catalogue from the adopted revision
	drift     []Difference // of the catalogue from the recorded revision, which are not for this plan to judge
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
	switch expected := s.index(s.alembicOf(recorded)); {
	case f.interrupted != nil && stated != expected:
		return plan{}, &PlanError{
			Problem: fmt.Sprintf("%s, and meanwhile alembic_version was set to %s, which the records do not name", f.interrupted.in(s), orBase(s.id(stated))),
			Do: fmt.Sprintf("If nothing but that row was changed, set it to %s and go on with %s; else restore a backup.",
				orNothing(s.alembicOf(recorded)), f.interrupted.goOn(s)),
		}
	case recorded < 0 && stated < 0 && f.interrupted == nil:
		if place, differences := s.best(f.catalogue); place >= 0 {
			return plan{}, &UnstampedError{s.revisions[place].ID, differences}
		}
		return plan{applied: -1}, nil
	case stated > expected:
		// Alembic went further than sql-migrate's records, or made the database: adopt what it made.
		found := s.compare(f.catalogue, stated)
		if !adoptable(found) {
			return plan{}, s.mismatch(f, stated, alembicTable, found)
		}
		return plan{applied: stated, adopted: s.id(stated), harmless: found}, nil
	case stated < expected:
		return s.behind(f, recorded, stated)
	default:
		return s.inStep(f, recorded)
	}
}

// inStep plans for a database whose records and alembic_version agree. Its catalogue is no longer judged as that of a
// database to adopt, but a table or a column that is gone is: nothing works without it.
//
// In the midst of a revision that goes step by step the tables are those of no revision, and its steps tell where they are.
func (s *set) inStep(f facts, recorded int) (plan, error) {
	if f.interrupted != nil {
		return plan{applied: recorded}, s.interruption(f, recorded)
	}
	found := s.compare(f.catalogue, recorded)
	for _, d := range found {
		if d.Found == nothing && d.rank <= rankColumn {
			return plan{}, s.mismatch(f, recorded, recordsTable, found)
		}
	}
	return plan{applied: recorded, drift: found}, nil
}

// interruption refuses an interrupted revision that does not follow from the records.
func (s *set) interruption(f facts, recorded int) error {
	place, next := s.file(f.interrupted.File), recorded
	if f.interrupted.Up {
		next++
	}
	if place == next {
		return nil
	}
	return &PlanError{
		Problem: fmt.Sprintf("%s, but the records are at %s", f.interrupted.in(s), orBase(s.id(recorded))),
		Do:      "Run the build that began it, or restore a backup.",
	}
}

// goesOn refuses a command that would not take an interrupted revision to its end.
func (s *set) goesOn(c Command, f facts, to int) error {
	i := f.interrupted
	if i == nil {
		return nil
	}
	place := s.file(i.File)
	if c == CommandUpgrade && i.Up && to >= place || c == CommandDowngrade && !i.Up && to < place {
		return nil
	}
	return &PlanError{
		Problem: i.in(s),
		Do:      fmt.Sprintf("Bring it to its end with %s first.", i.goOn(s)),
	}
}

// in says where a revision was interrupted.
func (i *interruption) in(s *set) string {
	return fmt.Sprintf("the revision %s was interrupted on its way %s, with %d of %d steps done", i.id(s), direction(i.Up), i.Done, i.Of)
}

// goOn is the command that takes it to its end.
func (i *interruption) goOn(s *set) string {
	if i.Up {
		return fmt.Sprintf("`safebox migrate upgrade %s`", i.id(s))
	}
	return fmt.Sprintf("`safebox migrate downgrade %s`", orBase(s.id(s.file(i.File)-1)))
}

// id is the revision's, or what its file is called where this build does not know it.
func (i *interruption) id(s *set) string {
	if place := s.file(i.File); place >= 0 {
		return s.id(place)
	}
	return i.File
}

// behind plans for a database whose alembic_version names an older revision than its records. Either the row lags, and
// the tables are those of the records; or Alembic took revisions back, and the tables are those that it names.
func (s *set) behind(f facts, recorded, stated int) (plan, error) {
	kept := s.compare(f.catalogue, recorded)
	if adoptable(kept) {
		return plan{applied: recorded, harmless: kept}, nil
	}
	_, hasVersion := f.catalogue[alembicTable]
	if back := s.compare(f.catalogue, stated); hasVersion && adoptable(back) {
		p := plan{applied: stated, adopted: s.id(stated), harmless: back, forgotten: ids(s.revisions[stated+1 : recorded+1])}
		return p, nil
	}
	if last := s.index(LatestAlembic); !hasVersion || recorded <= last {
		return plan{}, s.mismatch(f, recorded, recordsTable, kept)
	}
	return plan{}, &BesideError{s.id(stated), s.id(recorded), kept}
}

// mismatch says that the catalogue is not that of the revision at a place, and names the one that fits better.
func (s *set) mismatch(f facts, place int, source string, found []Difference) error {
	e := &MismatchError{Revision: s.id(place), Source: source, Differences: found}
	if better, differences := s.best(f.catalogue); better >= 0 && better != place && adoptable(differences) {
		e.Best = s.id(better)
	}
	return e
}

// settle gives the statements that make the books say that exactly the revisions up to a place are applied: what they say
// already stays as it is.
func (s *set) settle(f facts, place int, at time.Time) []string {
	var all []string
	for i, r := range s.revisions {
		recorded := slices.Contains(f.records, r.File)
		sum, summed := f.checksums[r.File]
		switch {
		case i <= place && !recorded:
			all = append(all, record(r, at))
		case i > place && recorded:
			all = append(all, forget(r))
		}
		switch {
		case i <= place && sum != r.SHA256:
			all = append(all, rememberChecksum(r, at))
		case i > place && summed:
			all = append(all, forgetChecksum(r))
		}
	}
	if version := s.alembicOf(place); version != strings.Join(f.versions, " ") {
		all = append(all, setVersion(version)...)
	}
	return all
}

// known is the place of the newest revision in sql-migrate's records, all of which this build must know.
func (s *set) known(f facts) (int, error) {
	newest := -1
	for _, file := range f.records {
		place := s.file(file)
		if place < 0 {
			return 0, &PlanError{
				Problem: fmt.Sprintf("%s records the migration %s, which this build does not know", recordsTable, file),
				Do:      "A newer build applied it: run that build or a newer one.",
			}
		}
		newest = max(newest, place)
	}
	return newest, nil
}

// recorded is the place of the newest revision in sql-migrate's records, which must be an unbroken, unchanged prefix
// of the revisions.
func (s *set) recorded(f facts) (int, error) {
	newest, err := s.known(f)
	if err != nil {
		return 0, err
	}
	for _, r := range s.revisions[:newest+1] {
		if !slices.Contains(f.records, r.File) {
			return 0, &PlanError{
				Problem: fmt.Sprintf("%s has a hole: %s is applied, but %s before it is not", recordsTable, s.revisions[newest].File, r.File),
				Do: fmt.Sprintf("If the tables are those of %[1]s, `safebox migrate stamp %[1]s` finds that out and mends the records; else restore a backup.",
					s.revisions[newest].ID),
			}
		}
		if sum, ok := f.checksums[r.File]; ok && sum != r.SHA256 {
			return 0, &PlanError{
				Problem: fmt.Sprintf("the migration %s has changed since it was applied: its sha256 was %.12s… and is %.12s…", r.File, sum, r.SHA256),
				Do: fmt.Sprintf("Run a build that has the file as it was applied; if both make the same tables, `safebox migrate stamp %s` finds that out "+
					"and takes the file as it is now.", s.revisions[newest].ID),
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
			Do: "Run `safebox migrate stamp --purge REVISION` with the revision that the tables are at: it looks whether they are, forgets these rows " +
				"and writes the right one.",
		}
	}
	place := s.index(f.versions[0])
	if place < 0 || place > s.index(LatestAlembic) {
		return 0, &PlanError{
			Problem: fmt.Sprintf("alembic_version names %q, which is none of the revisions that Alembic and this build share (%s)",
				f.versions[0], strings.Join(ids(s.revisions[:s.index(LatestAlembic)+1]), ", ")),
			Do: "Run a build that knows the revision, or downgrade with Alembic to one of these. If the row is wrong, " +
				"`safebox migrate stamp --purge REVISION` forgets it, once the tables are found to be those of the revision that you name.",
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
