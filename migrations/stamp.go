package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/safebox/safebox/storage"
)

// A Duplicate is values that several rows share where a repair has to make them unique. The values themselves may be
// secrets and stay out of it.
type Duplicate struct {
	Table   string
	Columns []string
	Key     []string   // columns of the primary key
	Groups  [][]string // the keys of rows that share a value, a list a value
	Cut     bool       // Groups has the first hundred rows; there may be more
}

// rows names the rows for people.
func (d Duplicate) rows() string {
	groups := make([]string, len(d.Groups))
	for i, g := range d.Groups {
		groups[i] = strings.Join(g, " and ")
	}
	s := fmt.Sprintf("%s: %s", strings.Join(d.Key, ", "), strings.Join(groups, "; "))
	if d.Cut {
		s += "; and more"
	}
	return s
}

// Stamp records that the database is at the target, head, base or a revision (an unambiguous beginning of one is
// enough), and changes no table unless o.Repair. The catalogue is the judge: where it contradicts the target or fits
// another revision better, and where something is missing that o.Repair is not there to make, it is a *StampError that
// names the right one; base fits a database without tables of Safebox only. Rows that share values which a repair has to
// make unique are a *DuplicatesError. With o.Purge it does not matter what alembic_version says. Records of a newer build
// are refused, never forgotten. The database must not be declared ready, for the guards and the seed are not seen to.
// The caller holds the initialisation lock, as for Prepare.
func Stamp(ctx context.Context, db *sql.DB, o Options, target string) (Report, error) {
	started := time.Now()
	j, err := newJob(db, o)
	if err != nil {
		return Report{}, err
	}
	s, err := j.judge(ctx, target)
	if err != nil {
		return Report{}, err
	}
	r := j.report(plan{applied: s.from, harmless: s.harmless})
	for _, d := range s.repairs {
		for _, statement := range d.Repair {
			if err := j.repair(ctx, d, statement); err != nil {
				return r, err
			}
			r.Repaired = append(r.Repaired, statement)
		}
	}
	if len(s.repairs) > 0 {
		// Only what the catalogue says now may be written down.
		again, err := j.judge(ctx, target)
		if err != nil {
			return r, err
		}
		if len(again.repairs) > 0 {
			return r, &StampError{Target: j.id(s.to), Differences: again.repairs}
		}
		s = again
		r.Harmless = append([]Difference{}, s.harmless...)
	}
	if err := j.keepBooks(ctx, j.set.settle(s.facts, s.to, time.Now())); err != nil {
		return r, err
	}
	r.To, r.Head = j.id(s.to), j.isHead(s.to)
	r.Took = time.Since(started)
	j.Logger.InfoContext(ctx, "database stamped", "from", orBase(r.From), "to", orBase(r.To), "repaired", r.Repaired,
		"harmless_differences", len(r.Harmless), "took", r.Took.Round(time.Millisecond))
	return r, nil
}

// stamping is what a stamp found out.
type stamping struct {
	facts    facts
	from, to int          // from: what the records say
	harmless []Difference // that stay
	repairs  []Difference // that are to be made good
}

// judge holds the catalogue against the target of a stamp.
func (j *job) judge(ctx context.Context, target string) (s stamping, err error) {
	j.progress("inspecting the database")
	if s.facts, err = inspect(ctx, j.db, j.Dialect); err != nil {
		return s, err
	}
	if s.from, err = j.set.known(s.facts); err != nil {
		return s, err
	}
	if err := j.set.goesOn(CommandStamp, s.facts, s.from); err != nil {
		return s, err
	}
	if !j.Purge {
		stated, err := j.set.stated(s.facts)
		if err != nil {
			return s, err
		}
		s.from = max(s.from, stated)
	}
	if s.to, err = j.set.target(CommandStamp, target, -1); err != nil {
		return s, err
	}
	found := j.set.compare(s.facts.catalogue, s.to)
	if err := j.set.fits(s.facts.catalogue, s.to, found, j.Repair); err != nil {
		return s, err
	}
	for _, d := range found {
		if d.Verdict == Missing {
			s.repairs = append(s.repairs, d)
		} else {
			s.harmless = append(s.harmless, d)
		}
	}
	return s, j.foreseeDuplicates(ctx, s)
}

// fits refuses a catalogue that is not that of the place, or would not be after a repair.
func (s *set) fits(c catalogue, place int, found []Difference, repair bool) error {
	if adoptable(found) {
		return nil
	}
	e := &StampError{Target: s.id(place), Differences: found}
	if best, differences := s.best(c); best != place {
		e.Best, e.BestWorst = orBase(s.id(best)), worst(differences)
	}
	if e.Best == "" && repair && worst(found) == Missing {
		return nil
	}
	return e
}

// foreseeDuplicates refuses a repair that would make columns unique whose values are not.
func (j *job) foreseeDuplicates(ctx context.Context, s stamping) error {
	want, _ := j.set.golden(s.to)
	var all []Duplicate
	for _, d := range s.repairs {
		if d.Duplicates == "" {
			continue
		}
		j.progress("looking for duplicates in " + d.Table)
		found, err := j.shared(ctx, d.Table, want[d.Table], want[d.Table].Indexes[d.Object])
		if err != nil {
			return fmt.Errorf("look for values that rows of %s share: %w", d.Table, err)
		}
		if len(found.Groups) > 0 {
			all = append(all, found)
		}
	}
	if len(all) > 0 {
		return &DuplicatesError{all}
	}
	return nil
}

// maxShared is how many rows of an index's duplicates an error lists.
const maxShared = 100

// shared finds the rows that share values of an index which is to be unique.
func (j *job) shared(ctx context.Context, name string, t table, x index) (Duplicate, error) {
	d := Duplicate{Table: name, Columns: x.Columns, Key: t.Primary.Columns}
	conditions := []string{}
	if x.Predicate != "" {
		conditions = append(conditions, x.Predicate)
	}
	for _, col := range x.Columns {
		conditions = append(conditions, col+" IS NOT NULL")
	}
	var key []string
	for _, col := range t.Primary.Columns {
		key = append(key, fmt.Sprintf("CAST(%s AS text)", col))
	}
	query := fmt.Sprintf(`SELECT place, name FROM (
			SELECT %[1]s AS name, %[2]s, dense_rank() OVER (ORDER BY %[3]s) AS place, count(*) OVER (PARTITION BY %[3]s) AS copies
			FROM %[4]s WHERE %[5]s) AS counted
		WHERE copies > 1 ORDER BY place, %[2]s LIMIT %[6]d`, strings.Join(key, " || '/' || "), strings.Join(t.Primary.Columns, ", "),
		strings.Join(x.Columns, ", "), name, strings.Join(conditions, " AND "), maxShared)
	listed, last := 0, int64(-1)
	err := each(ctx, j.db, query, func(rows *sql.Rows) error {
		var place int64
		var row string
		if err := rows.Scan(&place, &row); err != nil {
			return err
		}
		if place != last {
			d.Groups, last = append(d.Groups, nil), place
		}
		d.Groups[len(d.Groups)-1] = append(d.Groups[len(d.Groups)-1], row)
		listed++
		return nil
	})
	d.Cut = listed == maxShared
	return d, err
}

// repair runs one statement that makes good what is missing, outside a transaction. An index that is built CONCURRENTLY
// waits for old transactions, and nobody queues behind it; where that fails it is left incomplete, which the next stamp
// finds and repairs.
func (j *job) repair(ctx context.Context, d Difference, statement string) error {
	j.progress(strings.TrimSpace(fmt.Sprintf("repairing %s %s", d.Table, d.Object)))
	run := func(ctx context.Context) error {
		_, err := j.db.ExecContext(ctx, statement)
		return err
	}
	var err error
	switch {
	case j.Dialect != storage.PostgreSQL:
		err = j.patiently(ctx, "repair "+d.Table, run)
	case strings.Contains(statement, "CONCURRENTLY"):
		err = j.within(ctx, "0", run)
	default:
		err = j.patiently(ctx, "repair "+d.Table, func(ctx context.Context) error { return j.within(ctx, "2s", run) })
	}
	if err != nil {
		return fmt.Errorf("repair %s with %q: %w; repairs before it stay, and nothing was recorded: mend the cause and stamp again",
			d.Table, statement, err)
	}
	j.Logger.InfoContext(ctx, "repaired", "table", d.Table, "object", d.Object, "sql", statement)
	return nil
}

// within runs work under a lock timeout and without a statement timeout.
func (j *job) within(ctx context.Context, lock string, work func(context.Context) error) error {
	restore, err := setSession(ctx, j.db, setting{"lock_timeout", lock}, setting{"statement_timeout", "0"})
	if err != nil {
		return err
	}
	defer restore()
	return work(ctx)
}
